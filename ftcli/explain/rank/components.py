"""The scale on which the features of different networks are compared, and their principal components."""

from functools import cached_property

import numpy as np

from ftcli.explain.rank.undefined import UndefinedScore


def standardised(features: np.ndarray) -> np.ndarray:
    """(F - m) / s with one mean and one standard deviation of all N·D entries, float64.

    Raises UndefinedScore where they are not finite, or all equal.
    """
    wide = features.astype(np.float64)
    if not np.isfinite(wide).all():
        raise UndefinedScore("its features are not all finite numbers")
    deviation = wide.std()
    if not deviation > 0:
        raise UndefinedScore("its features are the same for every image")
    return (wide - wide.mean()) / deviation


class Components:
    """The principal components of features, float64 [N, D].

    centred: the features without their mean, [N, D]. variances: of the N examples as a population, largest first, [D].
    directions: [D, D], a column for each.
    """

    def __init__(self, features: np.ndarray) -> None:
        self.centred = features - features.mean(axis=0)

    @cached_property
    def _spectrum(self) -> tuple[np.ndarray, np.ndarray]:
        values, vectors = np.linalg.eigh(self.centred.T @ self.centred / len(self.centred))
        return np.maximum(values[::-1], 0.0), vectors[:, ::-1]

    @property
    def variances(self) -> np.ndarray:
        return self._spectrum[0]

    @property
    def directions(self) -> np.ndarray:
        return self._spectrum[1]

    def projected(self, count: int) -> np.ndarray:
        """The first `count` coordinates, or all where there are fewer: [N, count]."""
        return self.centred @ self.directions[:, :count]

    def explaining(self, share: float) -> int:
        """How many components have at least this share of the variance."""
        shares = np.cumsum(self.variances) / self.variances.sum()
        return min(int(np.searchsorted(shares, share)) + 1, len(shares))
