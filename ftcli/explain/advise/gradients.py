"""Which blocks the target's loss wants to move: gradients at the model as it is, on a few batches of the target."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ftcli.data.loader import Batch, Loader
from ftcli.engine.device import Machine
from ftcli.engine.gradient_scores import SCORED_BATCHES, GradientSource
from ftcli.engine.micro_batches import MicroBatches
from ftcli.log import Log
from ftcli.model.blocks import blocks_of


@dataclass(frozen=True)
class BlockGradients:
    """norm: ‖g‖/‖θ‖ of a block, the mean over batches. sign_agreement: mean over parameters of |mean sign over
    batches|: 1 where all batches agree, about 0.4 where signs of five are chance.
    """

    norm: float
    sign_agreement: float


def block_gradients(
    model: nn.Module, loader: Loader, covered: list[int] | None, machine: Machine, seed: int, log: Log
) -> dict[str, BlockGradients]:
    """Of every block, the head last, in eval mode, on five class-balanced batches. covered: classes of the target, to
    which the loss is restricted; None where it has all.
    """
    model.eval()
    body, head = blocks_of(model)
    tensors = dict(model.named_parameters())
    wanted = {name: parameter.requires_grad for name, parameter in tensors.items()}
    for parameter in tensors.values():
        parameter.requires_grad_(True)
    classes = None if covered is None else torch.tensor(covered, device=loader.device)

    def loss(logits: Tensor, batch: Batch) -> Tensor:
        if classes is None:
            return cross_entropy(logits, batch.labels)
        return cross_entropy(logits[:, classes], torch.searchsorted(classes, batch.labels))

    batches = list(islice(balanced_batches(loader, seed), SCORED_BATCHES))
    micro_batches = MicroBatches("the gradients of the target", len(batches[0].labels), log)
    source = GradientSource(model, tensors, batches, loss, machine, micro_batches)
    ratios: dict[str, list[float]] = {}
    signs: dict[str, Tensor] = {}
    for gradients in log.track(source.by_batch(), "gradients of the target", len(batches)):
        of_batch = dict(zip(tensors, gradients, strict=True))
        for block in [*body, head]:
            ratios.setdefault(block.name, []).append(relative_norm(of_batch, tensors, block.tensors))
        for name, gradient in of_batch.items():
            signs[name] = signs.get(name, torch.zeros_like(gradient)) + gradient.sign()
    for name, parameter in tensors.items():
        parameter.requires_grad_(wanted[name])
    return {
        block.name: BlockGradients(
            sum(ratios[block.name]) / len(batches),
            sum(float(signs[name].abs().sum()) for name in block.tensors) / (block.parameters * len(batches)),
        )
        for block in [*body, head]
    }


def relative_norm(gradients: dict[str, Tensor], tensors: dict[str, nn.Parameter], names: tuple[str, ...]) -> float:
    """√Σ‖g‖² / √Σ‖θ‖² over some tensors; 0 where all of them are zeros."""
    of_gradients = sum(float(gradients[name].double().square().sum()) for name in names)
    of_weights = sum(float(tensors[name].detach().double().square().sum()) for name in names)
    return float((of_gradients / of_weights) ** 0.5) if of_weights else 0.0


def balanced_batches(loader: Loader, seed: int) -> Iterator[Batch]:
    """Class-balanced batches without end: of one epoch after the other."""
    for epoch in count():
        yield from loader.shuffled(seed, epoch, skip_single=False, balanced=True)
