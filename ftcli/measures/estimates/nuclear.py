"""Accuracy from the nuclear norm of the predictions (Deng et al. 2023, arXiv 2302.01094), by a line through sets of
known accuracy: the labelled set under corruptions.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg import qr, svdvals
from scipy.stats import norm

CERTAIN = 1e-9  # how far from 0 and 1 a score is kept


def nuclear_score(probabilities: np.ndarray) -> float:
    """‖P‖_* / √(m·min(m, K)), in (0, 1]: high where predictions are sure and spread over the classes. P [m, K]."""
    m, k = probabilities.shape
    triangle = qr(probabilities, mode="r", check_finite=False)[0][: min(m, k)]  # the same singular values
    return float(svdvals(triangle, check_finite=False).sum() / np.sqrt(m * min(m, k)))


class KnownSet(NamedTuple):
    """The labelled set under one corruption."""

    corruption: str  # its name, the same at every severity
    score: float
    accuracy: float
    n: int


class Line(NamedTuple):
    """Φ⁻¹(accuracy) = slope · Φ⁻¹(score) + intercept."""

    slope: float
    intercept: float

    def accuracy(self, score: float) -> float:
        return float(norm.cdf(self.slope * probit(score) + self.intercept))


def fit_line(known: Sequence[KnownSet]) -> Line:
    """Least squares over the known sets; a constant where all scores are equal."""
    x = np.array([probit(one.score) for one in known])
    y = np.array([probit(one.accuracy, 0.5 / one.n) for one in known])
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred)) if np.ptp(x) > 0 else 0.0
    return Line(slope, float(y.mean() - slope * x.mean()))


def error_of_line(known: Sequence[KnownSet]) -> float | None:
    """The mean absolute error on the sets of each corruption of the line through all others; None of fewer than two
    corruptions.
    """
    by_corruption: dict[str, list[KnownSet]] = {}
    for one in known:
        by_corruption.setdefault(one.corruption, []).append(one)
    if len(by_corruption) < 2:
        return None
    errors = []
    for name, left_out in by_corruption.items():
        line = fit_line([one for one in known if one.corruption != name])
        errors += [abs(line.accuracy(one.score) - one.accuracy) for one in left_out]
    return float(np.mean(errors))


def probit(share: float, edge: float = CERTAIN) -> float:
    """Φ⁻¹ of a share, which is first brought to a distance of `edge` from 0 and 1."""
    return float(norm.ppf(np.clip(share, edge, 1 - edge)))


def mean_score(probabilities: np.ndarray, size: int, rng: np.random.Generator) -> float:
    """The mean score of random parts of `size` examples each: scores compare only between sets of one size. P [m, K],
    m at least `size`.
    """
    order = rng.permutation(len(probabilities))
    parts = [order[start : start + size] for start in range(0, len(order) - size + 1, size)]
    return float(np.mean([nuclear_score(probabilities[part]) for part in parts]))


def known_sets(probabilities: Mapping[tuple[str, int], np.ndarray], labels: np.ndarray, size: int) -> list[KnownSet]:
    """The labelled set under every corruption. probabilities [n, K] by (name, severity); labels [n]; `size`: examples
    that a score is made of, at most n.
    """
    return [
        KnownSet(name, nuclear_score(p[:size]), float((p.argmax(axis=1) == labels).mean()), len(labels))
        for (name, _), p in probabilities.items()
    ]
