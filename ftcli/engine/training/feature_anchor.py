"""LDIFS: a penalty on how far the outputs of the blocks move from those of the starting weights θ⁰.

Mukhoti et al. 2023 (arXiv 2308.13320).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ftcli.data.loader import Batch, Loader
from ftcli.engine.device import Machine
from ftcli.engine.training.gradient_checkpointing import GradientCheckpointing
from ftcli.log import Log
from ftcli.model.block_outputs import BlockEnd, find_block_ends, first_tensor, hooked, pool
from ftcli.model.head import features

SMALLEST = 1e-10  # what is added to the norm of a block's output


class FeatureAnchor:
    """α times the mean over blocks, channels and examples of (f - f⁰)², where f is the output of a block, its mean over
    positions, divided by its norm over channels, and f⁰ that of a frozen copy of the model as it is now.

    The blocks are those that feature distortion is measured on.

    same: the training images, where they are the same in every epoch: f⁰ is then computed once, before the first step.
    checkpointing: whether the model runs with gradient checkpointing, which passes over modules that only hold others.
    """

    def __init__(
        self, model: nn.Module, strength: float, machine: Machine, same: Loader | None, log: Log,
        checkpointing: bool = False,
    ) -> None:  # fmt: skip
        self.model, self.strength, self.machine, self.same, self.log = model, strength, machine, same, log
        self.start = deepcopy(model).eval().requires_grad_(False)
        self.checkpointing = GradientCheckpointing(self.start, checkpointing)
        self._ends: tuple[list[BlockEnd], list[BlockEnd]] | None = None

    @cached_property
    def kept(self) -> Tensor | None:
        """f⁰ of every training image, [N, ΣC]; None where it is computed batch by batch."""
        if self.same is None:
            return None
        passes = self.log.track(self.same.ordered(), "outputs of the start", self.same.steps(skip_single=False))
        return torch.cat([self._of_start(batch.images) for batch in passes])

    @contextmanager
    def recording(self, images: Tensor) -> Iterator[list[Tensor]]:
        """Inside, one pass of the model over images [b, C, H, W] fills the list with f, [b, C] for each block."""
        outputs: dict[nn.Module, Tensor] = {}
        with _pooled(self._ends_of(images)[1], outputs):
            found: list[Tensor] = []
            yield found
        found += [_normalised(outputs[end.module]) for end in self._ends_of(images)[1]]

    def penalty(self, found: list[Tensor], batch: Batch) -> Tensor:
        """The share of these examples in the penalty of the whole batch, a scalar."""
        if self.kept is None:
            start = self._of_start(batch.images)
        else:
            assert batch.rows is not None
            start = self.kept[batch.rows.to(self.kept.device)]
        widths = [values.shape[1] for values in found]
        pairs = zip(found, start.split(widths, 1), strict=True)
        total = torch.stack([(now - then).square().mean(1).sum() for now, then in pairs]).sum()
        share = self.strength * total / (len(found) * len(batch.whole))
        return share if batch.counted else share * 0

    def _of_start(self, images: Tensor) -> Tensor:
        """f⁰, [b, ΣC]."""
        ends, outputs = self._ends_of(images)[0], dict[nn.Module, Tensor]()
        with _pooled(ends, outputs), torch.no_grad(), self.machine.autocast():
            features(self.start, images)
        return torch.cat([_normalised(outputs[end.module]) for end in ends], 1)

    def _ends_of(self, images: Tensor) -> tuple[list[BlockEnd], list[BlockEnd]]:
        """The ends of the blocks in the frozen copy and in the model."""
        if self._ends is None:
            names = {module: name for name, module in self.start.named_modules()}
            with self.checkpointing.on():
                of_start = find_block_ends(self.start, images[:1])
            of_model = [
                BlockEnd(end.block, self.model.get_submodule(names[end.module]), end.channels) for end in of_start
            ]
            self._ends = of_start, of_model
        return self._ends


@contextmanager
def _pooled(ends: list[BlockEnd], outputs: dict[nn.Module, Tensor]) -> Iterator[None]:
    """Inside, a pass fills `outputs` with the mean over positions of each block's output, [b, C]."""
    channels = {end.module: end.channels for end in ends}

    def keep(module: nn.Module, _: Any, output: Any) -> None:
        tensor = first_tensor(output)
        assert tensor is not None
        outputs[module] = pool(tensor, channels[module]).float()

    with hooked(list(channels), keep):
        yield


def _normalised(values: Tensor) -> Tensor:
    """[b, C], each row divided by its norm."""
    return values / (torch.linalg.vector_norm(values, dim=1, keepdim=True) + SMALLEST)
