"""Estimates from how far models of different random heads agree: GDE, and agreement on the line."""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

LEAST_MODELS, LEAST_PAIRS = 5, 10
RANGE = (0.05, 0.98)  # of agreements that count


class AgreementLine(NamedTuple):
    """Of the models that are part of a pair that counts, in order: the estimated accuracies of the two ways of the
    paper, by the slope of the line (ALine-S) and by differences of pairs (ALine-D).
    """

    models: np.ndarray
    slope: np.ndarray
    difference: np.ndarray
    r2: float
    pairs: int


def pair_agreement(predicted: Sequence[np.ndarray]) -> np.ndarray:
    """The share of examples on which each pair i < j of models agrees. predicted: [N] each -> [M(M-1)/2]."""
    return np.array([float((a == b).mean()) for a, b in combinations(predicted, 2)])


def generalization_disagreement(predicted: Sequence[np.ndarray]) -> float:
    """The mean agreement of all pairs on U, as an estimate of their accuracy (Jiang et al. 2022, arXiv 2106.13799)."""
    return float(pair_agreement(predicted).mean())


def agreement_line(
    labelled: Sequence[np.ndarray], accuracies: np.ndarray, unlabelled: Sequence[np.ndarray]
) -> AgreementLine | None:
    """The estimates ALine-S and ALine-D (Baek et al. 2022, arXiv 2206.13089, section 5).

    labelled and unlabelled: what each of M models predicts on V, [n] each, and on U, [m] each; accuracies [M], on V.
    Pairs that agree on V or U on less than 5 or more than 98 % of the examples are left out. None where fewer than 5
    models or 10 pairs are left, or where every pair agrees on as many examples of V.
    """
    pairs = np.array(list(combinations(range(len(labelled)), 2))).reshape(-1, 2)
    on_v, on_u = pair_agreement(labelled), pair_agreement(unlabelled)
    counts = (np.minimum(on_v, on_u) >= RANGE[0]) & (np.maximum(on_v, on_u) <= RANGE[1])
    pairs, x, y = pairs[counts], norm.ppf(on_v[counts]), norm.ppf(on_u[counts])
    if len(np.unique(pairs)) < LEAST_MODELS or len(pairs) < LEAST_PAIRS or np.ptp(x) == 0:
        return None
    models = np.unique(pairs)
    known = norm.ppf(np.clip(np.asarray(accuracies, dtype=np.float64), 1e-9, 1 - 1e-9))  # [M]
    slope = float((x - x.mean()) @ y / ((x - x.mean()) @ (x - x.mean())))
    intercept = float(y.mean() - slope * x.mean())
    rest = y - slope * x - intercept
    r2 = 1 - float(rest @ rest / ((y - y.mean()) @ (y - y.mean()))) if np.ptp(y) else 1.0
    means = np.zeros((len(pairs), len(labelled)))  # row of a pair: ½ in the columns of its two models
    means[np.arange(len(pairs))[:, None], pairs] = 0.5
    wanted = y + slope * (means @ known - x)
    w = np.linalg.lstsq(means[:, models], wanted, rcond=None)[0]
    return AgreementLine(models, norm.cdf(slope * known + intercept)[models], norm.cdf(w), r2, len(pairs))
