"""One block of a network moved back along the line to its start θ⁰, with noise added, and restored."""

from collections.abc import Collection, Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from ftcli.seeds import derive_seed


class Perturbed:
    """The named parameters of a model, to be moved between θ⁰ and the model's own θᶠ; leaving the context restores
    them, to the bit.

    Nothing else of the model changes: no other parameter, and no buffer.

    Args:
        start: θ⁰ by parameter name, at least of `tensors`, in the shapes of the model's.
    """

    def __init__(self, model: nn.Module, tensors: Collection[str], start: Mapping[str, Tensor]) -> None:
        own = dict(model.named_parameters())
        self.parameters = [own[name].detach() for name in tensors]
        self.end = [parameter.clone() for parameter in self.parameters]
        # In the memory order of the model's own: mixed orders would make every step through them slow.
        self.start = [
            torch.empty_like(parameter).copy_(start[name])
            for name, parameter in zip(tensors, self.parameters, strict=True)
        ]
        self.caching = [module for module in model.modules() if type(module).train is not nn.Module.train]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for parameter, value in zip(self.parameters, self.end, strict=True):
            parameter.copy_(value)
        self._clear_caches()

    @property
    def distance(self) -> float:
        """‖θᶠ - θ⁰‖ over all elements, in float64."""
        squares = [
            (b.cpu().double() - a.cpu().double()).square().sum() for a, b in zip(self.start, self.end, strict=True)
        ]
        return float(torch.stack(squares).sum().sqrt())

    def noise(self, seed: int, name: str, draw: int) -> list[Tensor]:
        """z ~ N(0, I), one tensor per parameter: it depends on these three words and the shapes only."""
        generator = torch.Generator().manual_seed(derive_seed("criticality", seed, name, draw))
        return [
            torch.empty_like(parameter).copy_(torch.randn(parameter.shape, generator=generator))
            for parameter in self.parameters
        ]

    @torch.no_grad()
    def move_to(self, alpha: float, sigma: float = 0.0, noise: Sequence[Tensor] = ()) -> None:
        """Set the block to (1 - α) θ⁰ + α θᶠ + σ z; α = 0 and α = 1 without noise are θ⁰ and θᶠ to the bit."""
        for parameter, a, b in zip(self.parameters, self.start, self.end, strict=True):
            torch.lerp(a, b, alpha, out=parameter)
        for parameter, z in zip(self.parameters, noise, strict=True) if noise else ():
            parameter.add_(z, alpha=sigma)
        self._clear_caches()

    def _clear_caches(self) -> None:
        """Some attention layers cache what they compute from their parameters until train() or eval() is called."""
        for module in self.caching:
            module.train()  # timm's LeViT returns None here, so the calls cannot be chained
            module.eval()
