"""Which values of C can still be the pick: what a set would say of solutions that are only nearly solved."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ftcli.engine.probe.logistic_loss import Problem

MARGIN = 2.0  # how many times as far as the next step of the search the solution may lie
LOGIT_ROUNDING = 1e-5  # of the largest logit, in float32
BLOCK_BYTES = 256 << 20  # logits computed at once


@dataclass(frozen=True)
class Bounds:
    """The correct examples and the summed losses of G points, and between what numbers those of the solutions near lie.

    All are [G] float64.
    """

    correct: Tensor
    loss: Tensor
    least_correct: Tensor
    most_correct: Tensor
    least_loss: Tensor
    most_loss: Tensor

    @classmethod
    def unknown(cls, count: int, device: torch.device) -> "Bounds":
        """Of solutions that have not been judged yet."""
        low = torch.full((count,), -torch.inf, dtype=torch.float64, device=device)
        return cls(low.clone(), -low, low.clone(), -low, low.clone(), -low)

    def update(self, members: Sequence[int], new: "Bounds") -> None:
        """Write those of some members, in place."""
        for field in fields(self):
            getattr(self, field.name)[list(members)] = getattr(new, field.name)

    def may_be_best(self) -> Tensor:
        """Whether no other is certainly better: bool [G]. Better is more correct examples, then less loss."""
        sure = self.least_correct.max()
        surest = self.most_loss[self.least_correct == sure].min()
        return (self.most_correct > sure) | ((self.most_correct == sure) & (self.least_loss <= surest))

    def uncertain(self) -> Tensor:
        """Whether the number of correct examples is not known: bool [G]."""
        return self.most_correct > self.least_correct


class Validation:
    """A set on which solutions are judged.

    features: [M, D] as those of the problem. labels: [M] among the problem's classes; -1 for a class that the problem
    does not have, whose logit is the constant `absent`.
    """

    def __init__(self, problem: Problem, features: Tensor, labels: Tensor, absent: float) -> None:
        V, mean = problem.V, problem.mean.to(problem.V.dtype)
        self.Z = (features.to(V.device, V.dtype) - mean) @ V  # [M, R]
        self.labels, self.absent = labels.to(V.device), absent

    def bounds(self, x: Tensor, direction: Tensor) -> Bounds:
        """Of the solutions near points x [G, K, R + 1]; direction [G, K, R + 1]: the next step of the search there."""
        G, K = x.shape[:2]
        sums = [x.new_zeros(G, dtype=torch.float64) for _ in range(5)]
        size = max(1, BLOCK_BYTES // (4 * G * K))
        for Z, labels in zip(self.Z.split(size), self.labels.split(size), strict=True):
            for total, part in zip(sums, self._block(x, direction, Z, labels), strict=True):
                total += part
        correct, sure, unsure, loss, change = sums
        reach = MARGIN * change.abs() + LOGIT_ROUNDING * loss
        return Bounds(correct, loss, sure, sure + unsure, loss - reach, loss + reach)

    def _block(self, x: Tensor, direction: Tensor, Z: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        """Of n examples: how many are right, how many for sure, how many are unsure, the loss, its change."""
        logits, change = self._logits(x, Z), self._logits(direction, Z)  # [G, K, n]
        own = labels.clamp_min(0).expand(len(x), 1, -1)
        known = labels >= 0
        label = torch.where(known, logits.gather(1, own)[:, 0], self.absent)  # [G, n]
        moved = torch.where(known, change.gather(1, own)[:, 0], 0.0)
        loss = logits.logsumexp(dim=1).double() - label
        new_loss = (logits + change).logsumexp(dim=1).double() - label - moved
        rounding = LOGIT_ROUNDING * logits.abs().amax(dim=(1, 2))[:, None]
        reach = MARGIN * (change.amax(dim=1) - change.amin(dim=1)) + rounding  # [G, n]
        others = logits.scatter(1, own, -torch.inf).amax(dim=1)
        margin = torch.where(known, label - others, -torch.inf)
        correct, sure, unsure = (met.sum(dim=1).double() for met in (margin > 0, margin > reach, margin.abs() <= reach))
        return correct, sure, unsure, loss.sum(dim=1), (new_loss - loss).sum(dim=1)

    @staticmethod
    def _logits(x: Tensor, Z: Tensor) -> Tensor:
        """[G, K, n], with the mean zero over the classes."""
        logits = torch.addmm(x[:, :, -1].reshape(-1, 1), x[:, :, :-1].flatten(0, 1), Z.T).view(*x.shape[:2], -1)
        return logits - logits.mean(dim=1, keepdim=True)
