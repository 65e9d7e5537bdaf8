"""Scores of tensors by their gradients: which of them a task wants to move (Lee et al. 2022, section 4).

A score is a function (model, tensors, batches, loss, machine, parts) -> one number per tensor. The weights do not move
meanwhile, and the whole network is in eval behaviour. `parts` cuts batches that do not fit into memory.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from ftcli.data.loaders import Batch
from ftcli.engine.device import Machine
from ftcli.engine.micro_batches import MicroBatches

BATCHES = 5  # of an epoch's beginning that are looked at
SMALL = 1e-8  # added to a variance
AT_ONCE = 8  # examples whose gradients are in memory together
CODE_CUT = 0.95  # the authors' code keeps what scores at least this

Tensors = Mapping[str, nn.Parameter]
Loss = Callable[[Tensor, Batch], Tensor]
Score = Callable[[nn.Module, Tensors, Sequence[Batch], Loss, Machine, MicroBatches], dict[str, float]]


@dataclass(frozen=True)
class Scoring:
    """A score and what follows from it: a tensor's share of the rate is its score, or, with a `cut`, all or nothing.

    relative: scores are divided by the highest of them first.
    """

    score: Score
    relative: bool = True
    cut: float | None = None

    def scores(self, *seen: object) -> dict[str, float]:
        """The scores of this epoch, finite or not."""
        found = self.score(*seen)  # type: ignore[arg-type]
        top = max(found.values()) if self.relative else 1.0
        return {name: value / top if top else 0.0 for name, value in found.items()}

    def shares(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Each tensor's share of the rate; 0 freezes it for the epoch."""
        if self.cut is None:
            return dict(scores)
        return {name: float(value >= self.cut) for name, value in scores.items()}


def rgn(
    model: nn.Module, tensors: Tensors, batches: Sequence[Batch], loss: Loss, machine: Machine, parts: MicroBatches
) -> dict[str, float]:
    """Relative gradient norm: the mean over batches of ‖g‖₂ / ‖θ‖₂, g the gradient of the batch's loss.

    A tensor of zeros, such as a fresh bias, has the score of the weight beside it, and 0 where there is none.
    """
    lengths = torch.stack([parameter.detach().norm() for parameter in tensors.values()])  # [T]
    every = batch_gradients(model, tensors, batches, loss, machine, parts)
    ratios = [torch.stack([gradient.norm() for gradient in gradients]) / lengths for gradients in every]
    found = dict(zip(tensors, torch.stack(ratios).mean(0).tolist(), strict=True))
    for name, length in zip(tensors, lengths.tolist(), strict=True):
        if length == 0:
            beside = f"{name.rpartition('.')[0]}.weight"
            found[name] = found.get(beside, 0.0) if beside != name else 0.0
    return found


def snr(
    model: nn.Module, tensors: Tensors, batches: Sequence[Batch], loss: Loss, machine: Machine, _: MicroBatches
) -> dict[str, float]:
    """Signal to noise: the mean over a tensor's elements of E[g]² / (Var[g] + 1e-8).

    E and Var (ddof 1) are over the examples of all batches, g the gradient of one example's cross-entropy.
    """

    def of_one(moving: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        return cross_entropy(functional_call(model, moving, (image[None],)), label[None])

    moving = {name: parameter.detach() for name, parameter in tensors.items()}
    of_each = vmap(grad(of_one), in_dims=(None, 0, 0))
    sums = {name: torch.zeros(2, *value.shape, dtype=torch.float64) for name, value in moving.items()}  # Σ g, Σ g²
    sums = {name: value.to(machine.device) for name, value in sums.items()}
    for batch in batches:
        for images, labels in zip(batch.images.split(AT_ONCE), batch.labels.split(AT_ONCE), strict=True):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "There is a performance drop")  # of operators that vmap does in turn
                every = of_each(moving, images, labels)
            for name, gradients in every.items():  # [n, *shape]
                wide = gradients.double() * batch.counted
                sums[name] += torch.stack([wide.sum(0), wide.square().sum(0)])
    n = sum(len(batch.whole) for batch in batches)
    found = []
    for value in sums.values():
        total, squares = machine.sum(value)
        mean = total / n
        variance = (squares / n - mean.square()).clamp_min(0) * n / (n - 1)
        found.append((mean.square() / (variance + SMALL)).mean())
    return dict(zip(moving, torch.stack(found).tolist(), strict=True))


def snr_code(
    model: nn.Module, tensors: Tensors, batches: Sequence[Batch], loss: Loss, machine: Machine, parts: MicroBatches
) -> dict[str, float]:
    """What the authors' published code computes in its place: the mean over a tensor's elements, and over batches, of
    g² / (Var(g) + 1e-8), g the gradient of a batch's loss and the variance (ddof 1) along its first dimension.

    Where that dimension is one there is no variance: the score is 0.
    """
    found = []
    for gradients in batch_gradients(model, tensors, batches, loss, machine, parts):
        spread = [g.var(0, keepdim=True) if len(g) > 1 else torch.full_like(g, torch.inf) for g in gradients]
        ratios = [g.square() / (v + SMALL) for g, v in zip(gradients, spread, strict=True)]
        found.append(torch.stack([ratio.mean() for ratio in ratios]))
    return dict(zip(tensors, torch.stack(found).mean(0).tolist(), strict=True))


def batch_gradients(
    model: nn.Module, tensors: Tensors, batches: Sequence[Batch], loss: Loss, machine: Machine, parts: MicroBatches
) -> Iterator[list[Tensor]]:
    """Of each batch, over all processes: the gradient of its loss by every tensor."""

    def of_part(part: Batch) -> tuple[Tensor, ...]:
        with machine.autocast():
            logits = model(part.images)  # [b, K]
        return torch.autograd.grad(loss(logits.float(), part), list(tensors.values()))

    def of_batch(batch: Batch) -> list[Tensor]:
        while True:
            with parts:
                first, *others = (of_part(part) for part in parts.of(batch))
                return [sum(rest, start) for start, *rest in zip(first, *others, strict=True)]

    for batch in batches:
        yield [machine.sum(gradient) for gradient in of_batch(batch)]


SCORINGS: dict[str, Callable[[float], Scoring]] = {  # by name, for a threshold of snr
    "rgn": lambda threshold: Scoring(rgn),
    "snr": lambda threshold: Scoring(snr, cut=threshold),
    "snr-code": lambda threshold: Scoring(snr_code, relative=False, cut=CODE_CUT),
}
