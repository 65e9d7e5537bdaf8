"""Scores of tensors by their gradients: which of them a task wants to move (Lee et al. 2022, section 4).

A score is a function of `GradientSource` that gives one number per tensor. The weights do not change meanwhile, and the
whole network is in eval mode.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from ftcli.data.loader import Batch
from ftcli.engine.device import Machine
from ftcli.engine.micro_batches import MicroBatches

SCORED_BATCHES = 5  # at the beginning of an epoch
SMALL = 1e-8  # added to a variance
AT_ONCE = 8  # examples whose gradients are in memory together
CODE_THRESHOLD = 0.95  # the authors' code keeps what scores at least this

Tensors = Mapping[str, nn.Parameter]
Loss = Callable[[Tensor, Batch], Tensor]


@dataclass(frozen=True)
class GradientSource:
    """Where a score's gradients come from: by which tensors, of which batches' loss, computed how."""

    model: nn.Module
    tensors: Tensors
    batches: Sequence[Batch]
    loss: Loss
    machine: Machine
    micro_batches: MicroBatches

    def by_batch(self) -> Iterator[list[Tensor]]:
        """For each batch, summed over all processes: the gradients of its loss, one per tensor."""
        for batch in self.batches:
            yield [self.machine.sum(gradient) for gradient in self._in_micro_batches(batch)]

    def _in_micro_batches(self, batch: Batch) -> list[Tensor]:
        while True:
            with self.micro_batches:
                first, *others = (self._of(micro_batch) for micro_batch in self.micro_batches.of(batch))
                return [sum(rest, start) for start, *rest in zip(first, *others, strict=True)]

    def _of(self, batch: Batch) -> tuple[Tensor, ...]:
        with self.machine.autocast():
            logits = self.model(batch.images)  # [b, K]
        return torch.autograd.grad(self.loss(logits.float(), batch), list(self.tensors.values()))


Score = Callable[[GradientSource], dict[str, float]]


@dataclass(frozen=True)
class Scoring:
    """A score and its use: a tensor's share of the rate is its score or, with a `threshold`, 1 at or above it, else 0.

    relative: scores are divided by the highest of them first.
    """

    score: Score
    relative: bool = True
    threshold: float | None = None

    def scores(self, gradients: GradientSource) -> dict[str, float]:
        """The scores of all tensors, finite or not."""
        scores = self.score(gradients)
        highest = max(scores.values()) if self.relative else 1.0
        return {name: value / highest if highest else 0.0 for name, value in scores.items()}

    def rate_shares(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Each tensor's share of the rate; 0 freezes it for the epoch."""
        if self.threshold is None:
            return dict(scores)
        return {name: float(value >= self.threshold) for name, value in scores.items()}


def rgn(gradients: GradientSource) -> dict[str, float]:
    """Relative gradient norm: the mean over batches of ‖g‖₂ / ‖θ‖₂, g the gradient of the batch's loss.

    A tensor of zeros, such as a fresh bias, has the score of its module's weight, and 0 where there is none.
    """
    norms = torch.stack([parameter.detach().norm() for parameter in gradients.tensors.values()])  # [T]
    ratios = [torch.stack([gradient.norm() for gradient in of_batch]) / norms for of_batch in gradients.by_batch()]
    scores = dict(zip(gradients.tensors, torch.stack(ratios).mean(0).tolist(), strict=True))
    for name, norm in zip(gradients.tensors, norms.tolist(), strict=True):
        if norm == 0:
            weight = f"{name.rpartition('.')[0]}.weight"
            scores[name] = scores.get(weight, 0.0) if weight != name else 0.0
    return scores


def snr(gradients: GradientSource) -> dict[str, float]:
    """Signal to noise: the mean over a tensor's elements of E[g]² / (Var[g] + 1e-8).

    E and Var (ddof 1) are over the examples of all batches, g the gradient of one example's cross-entropy.
    """

    model, batches = gradients.model, gradients.batches

    def example_loss(values: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        return cross_entropy(functional_call(model, values, (image[None],)), label[None])

    values = {name: parameter.detach() for name, parameter in gradients.tensors.items()}
    example_gradients = vmap(grad(example_loss), in_dims=(None, 0, 0))
    sums = {name: torch.zeros(2, *value.shape, dtype=torch.float64) for name, value in values.items()}  # Σ g, Σ g²
    sums = {name: value.to(gradients.machine.device) for name, value in sums.items()}
    for batch in batches:
        for images, labels in zip(batch.images.split(AT_ONCE), batch.labels.split(AT_ONCE), strict=True):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "There is a performance drop")  # of operators that vmap does in turn
                by_name = example_gradients(values, images, labels)
            for name, of_examples in by_name.items():  # [n, *shape]
                wide = of_examples.double() * batch.counted
                sums[name] += torch.stack([wide.sum(0), wide.square().sum(0)])
    n = sum(len(batch.whole) for batch in batches)
    scores = []
    for value in sums.values():
        total, squares = gradients.machine.sum(value)
        mean = total / n
        variance = (squares / n - mean.square()).clamp_min(0) * n / (n - 1)
        scores.append((mean.square() / (variance + SMALL)).mean())
    return dict(zip(values, torch.stack(scores).tolist(), strict=True))


def snr_code(gradients: GradientSource) -> dict[str, float]:
    """Signal to noise as the authors' published code has it: the mean over a tensor's elements, and over batches, of
    g² / (Var(g) + 1e-8), g the gradient of a batch's loss and the variance (ddof 1) along its first dimension.

    Where that dimension is one there is no variance: the score is 0.
    """
    by_batch = []
    for of_batch in gradients.by_batch():
        spread = [g.var(0, keepdim=True) if len(g) > 1 else torch.full_like(g, torch.inf) for g in of_batch]
        ratios = [g.square() / (v + SMALL) for g, v in zip(of_batch, spread, strict=True)]
        by_batch.append(torch.stack([ratio.mean() for ratio in ratios]))
    return dict(zip(gradients.tensors, torch.stack(by_batch).mean(0).tolist(), strict=True))


SCORINGS: dict[str, Callable[[float], Scoring]] = {  # by name, for a threshold of snr
    "rgn": lambda threshold: Scoring(rgn),
    "snr": lambda threshold: Scoring(snr, threshold=threshold),
    "snr-code": lambda threshold: Scoring(snr_code, relative=False, threshold=CODE_THRESHOLD),
}
