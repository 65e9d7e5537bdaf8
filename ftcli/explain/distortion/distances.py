"""How far the features of the same images lie apart in two models (Kumar et al. 2022, section 4.3 and appendix)."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ftcli.explain.distortion.moments import Mean


@dataclass
class Distances:
    """Means over the examples of one set, of features [N, C] of which a model before and one after are given."""

    width: int = 0
    distance: Mean = field(default_factory=Mean)
    relative: Mean = field(default_factory=Mean)
    cosine: Mean = field(default_factory=Mean)

    def add(self, before: Tensor, after: Tensor) -> None:
        """Two float64 batches [b, C] of the same examples."""
        self.width = before.shape[1]
        apart = (after - before).norm(dim=1)  # [b]
        size = before.norm(dim=1)
        self.distance.add(apart)
        self.relative.add((apart / size).where(size > 0, float("nan")))
        sizes = size * after.norm(dim=1)  # 0 where either is; torch's cosine_similarity knows no norm below 1e-8
        self.cosine.add(((before * after).sum(1) / sizes).where(sizes > 0, float("nan")))

    def describe(self) -> dict[str, Any]:
        """`mean` over examples of ‖φ_B(x) - φ_A(x)‖₂ and its standard error `se`; `rms`, the mean over √C; `relative`,
        the mean of the distance over ‖φ_A(x)‖; `cosine`, the mean cosine; `dropped`, examples whose φ_A is 0.
        """
        mean = self.distance.mean
        return {
            "mean": mean, "se": self.distance.standard_error, "rms": mean / self.width**0.5,
            "relative": self.relative.value, "cosine": self.cosine.value, "dropped": self.relative.dropped,
        }  # fmt: skip
