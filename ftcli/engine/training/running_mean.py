"""Means of the weights over the steps of a run, which are measured, picked and saved in the place of the weights."""

from copy import deepcopy

import torch
from timm.utils import ModelEmaV3
from torch import nn

from ftcli.config.training import Training


class UniformMean:
    """θ̄ ← θ̄ + (θ - θ̄)/(1 + c) after every step, c being the steps from the second epoch on before this one; until then
    θ̄ is θ (Arpit et al. 2022, section 3; Rame et al. 2022).

    module: the network with the weights θ̄. Its buffers are those of θ: of a mean BatchNorm has to be estimated anew.
    """

    def __init__(self, model: nn.Module, first: int) -> None:
        """first: the steps before the first one that counts."""
        self.module = deepcopy(model).requires_grad_(False)
        self.first, self.steps = first, 0  # steps: so far, those before the first that counts included

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Call it after every step."""
        share = 1 / (1 + max(0, self.steps - self.first))
        self.steps += 1
        torch._foreach_lerp_(list(self.module.parameters()), list(model.parameters()), share)
        for mean, buffer in zip(self.module.buffers(), model.buffers(), strict=True):
            mean.copy_(buffer)

    @property
    def is_mean(self) -> bool:
        """Whether it is one of several steps' weights."""
        return self.steps > self.first + 1


def running_mean_of(model: nn.Module, config: Training, steps_per_epoch: int) -> ModelEmaV3 | UniformMean | None:
    """The mean that the options ask for."""
    if config.ma:
        return UniformMean(model, steps_per_epoch)
    return None if config.ema is None else ModelEmaV3(model, decay=config.ema)
