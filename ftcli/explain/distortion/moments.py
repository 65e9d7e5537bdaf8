"""Sums over the examples of a set, a batch at a time, in float64: memory does not grow with the number of examples."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

ROUNDING = 1e-6  # of the length of a feature that a float32 network computes: a few of its last bits


@dataclass
class Mean:
    """Mean and standard error of values that come a batch at a time (Chan, Golub and LeVeque 1979); NaN are counted."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0  # sum of squared deviations from the mean
    dropped: int = 0

    def add(self, values: Tensor) -> None:
        """values [b]; those that are NaN have no value and are left out."""
        valid = values[~values.isnan()].double()
        self.dropped += len(values) - len(valid)
        if not len(valid):
            return
        mean = valid.mean().item()
        change, total = mean - self.mean, self.n + len(valid)
        self.squares += (valid - mean).square().sum().item() + change**2 * self.n * len(valid) / total
        self.mean += change * len(valid) / total
        self.n = total

    @property
    def standard_error(self) -> float | None:
        """std (ddof 1) / √n; None for fewer than two values."""
        return (self.squares / (self.n - 1) / self.n) ** 0.5 if self.n > 1 else None

    @property
    def value(self) -> float | None:
        """The mean; None of no values."""
        return self.mean if self.n else None


@dataclass
class Products:
    """Σ (x - x̄)(y - ȳ)ᵀ over the examples, [C, C'] float64, of two streams x [b, C] and y [b, C'].

    Each stream is shifted by its first batch's mean before anything is summed, so that little cancels in the end.
    """

    n: int = 0
    shifts: tuple[Tensor, Tensor] | None = None
    sums: tuple[Tensor, Tensor] | None = None  # [C], [C']
    products: Tensor | None = None  # [C, C']

    def add(self, x: Tensor, y: Tensor) -> None:
        """Two float64 batches of the same examples."""
        if self.shifts is None:
            self.shifts = x.mean(0), y.mean(0)
        same, x = x is y, x - self.shifts[0]
        y = x if same else y - self.shifts[1]
        sums, products = (x.sum(0), y.sum(0)), x.T @ y
        if self.sums is None or self.products is None:
            self.sums, self.products = sums, products
        else:
            self.sums = self.sums[0] + sums[0], self.sums[1] + sums[1]
            self.products += products
        self.n += len(x)

    def centred(self) -> Tensor:
        """[C, C']; of no examples there is none."""
        assert self.sums is not None and self.products is not None
        return self.products - torch.outer(*self.sums) / self.n

    def scatter(self) -> Tensor:
        """Σ (x - x̄)(x - x̄)ᵀ, [C, C], where both streams are one: zeros where it varies by no more than rounding."""
        assert self.shifts is not None and self.sums is not None
        centred, mean = self.centred(), self.shifts[0] + self.sums[0] / self.n
        constant = centred.trace() <= ROUNDING**2 * self.n * mean.square().sum()
        return torch.zeros_like(centred) if constant else centred


def centred(x: Tensor) -> Tensor:
    """A batch [n, C] about its mean; zeros where it varies by no more than rounding."""
    moved = x - x.mean(0)
    return torch.zeros_like(x) if moved.norm() <= ROUNDING * x.norm() else moved


@dataclass
class FixedBatches:
    """Joins rows that come in batches of any size into batches of exactly `size`."""

    size: int
    waiting: list[tuple[Tensor, ...]] = field(default_factory=list)

    def add(self, *matrices: Tensor) -> list[tuple[Tensor, ...]]:
        """Several matrices [b, ·] of the same b examples; gives the batches that are now full."""
        self.waiting.append(matrices)
        if sum(len(batch[0]) for batch in self.waiting) < self.size:
            return []
        joined = [torch.cat(column) for column in zip(*self.waiting, strict=True)]
        whole = len(joined[0]) // self.size * self.size
        self.waiting = [tuple(matrix[whole:] for matrix in joined)]
        return list(zip(*(matrix[:whole].split(self.size) for matrix in joined), strict=True))

    def rest(self) -> tuple[Tensor, ...] | None:
        """What has not filled a batch; None where nothing is left."""
        if not self.waiting or not sum(len(batch[0]) for batch in self.waiting):
            return None
        return tuple(torch.cat(column) for column in zip(*self.waiting, strict=True))
