"""How far the features of the same images lie apart in two models (Kumar et al. 2022, section 4.3 and appendix)."""

from dataclasses import dataclass, field

from torch import Tensor

from ftcli.explain.distortion.moments import Mean
from ftcli.explain.distortion.types import FeatureDistance


@dataclass
class Distances:
    """Means over the examples of one set, of the features [N, C] of one block in a first and a second model."""

    width: int = 0  # C
    distance: Mean = field(default_factory=Mean)
    relative: Mean = field(default_factory=Mean)
    cosine: Mean = field(default_factory=Mean)

    def add(self, before: Tensor, after: Tensor) -> None:
        """Two float64 batches [b, C] of the same examples."""
        self.width = before.shape[1]
        distance = (after - before).norm(dim=1)  # [b]
        size = before.norm(dim=1)
        self.distance.add(distance)
        self.relative.add((distance / size).where(size > 0, float("nan")))
        sizes = size * after.norm(dim=1)  # 0 where either is; torch's cosine_similarity knows no norm below 1e-8
        self.cosine.add(((before * after).sum(1) / sizes).where(sizes > 0, float("nan")))

    def means(self) -> FeatureDistance:
        """The entry of the report; of no examples there is none."""
        mean = self.distance.mean
        return FeatureDistance(
            mean=mean,
            se=self.distance.standard_error,
            rms=mean / self.width**0.5,
            relative=self.relative.value,
            cosine=self.cosine.value,
            dropped=self.relative.dropped,
        )
