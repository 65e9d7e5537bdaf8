"""The scale of every feature by itself, over a feature matrix that may be in a file."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ftcli.engine.features.feature_matrix import FeatureMatrix

CONSTANT = 1e-7  # of a feature's size: below, its deviation is rounding of float32


@dataclass(frozen=True)
class StandardScale:
    """mean, deviation: float64 [D] on the CPU; the deviation is that of the population, and 1 of a constant feature."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, features: FeatureMatrix) -> "StandardScale":
        """Over the N rows."""
        N, D = features.shape
        mean, squares, count = torch.zeros(D, dtype=torch.float64), torch.zeros(D, dtype=torch.float64), 0
        for span, block in features.blocks():
            wide, n = block.double().cpu(), span.stop - span.start
            of_block = wide.mean(dim=0)
            delta = of_block - mean
            squares = squares + (wide - of_block).square().sum(dim=0) + delta**2 * count * n / (count + n)
            mean, count = mean + delta * n / (count + n), count + n
        deviation = (squares / N).sqrt()
        constant = deviation <= CONSTANT * mean.abs()
        return cls(mean, torch.where(constant, 1.0, deviation))

    def __call__(self, features: Tensor) -> Tensor:
        """Features [n, D] with mean 0 and deviation 1, float64."""
        return (features.double() - self.mean) / self.deviation

    def undone(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Of a head of scaled features, weight [K, D] and bias [K], the head of plain ones with the same logits."""
        plain = weight / self.deviation
        return plain, bias - plain @ self.mean


def rows_of(features: FeatureMatrix, rows: np.ndarray) -> Tensor:
    """Some rows, float32 [n, D] on the CPU. rows: sorted."""
    parts = []
    for span, block in features.blocks():
        inside = rows[(rows >= span.start) & (rows < span.stop)] - span.start
        parts.append(block[torch.from_numpy(inside).to(block.device)].cpu())
    return torch.cat(parts)
