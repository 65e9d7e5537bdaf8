"""Does the model know how sure it may be: expected calibration error, and the one temperature that corrects it."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

from ftcli.measures.reliability import BINS, bin_index

TEMPERATURES = (0.05, 20.0)


def confidence(logits: np.ndarray) -> np.ndarray:
    """Softmax probability of the highest class: [N, K] -> [N] float64."""
    scores = np.asarray(logits, dtype=np.float64)
    return np.exp(scores.max(axis=1) - logsumexp(scores, axis=1))


def softmax(logits: np.ndarray) -> np.ndarray:
    """The probability of every class: [N, K] -> [N, K] float64."""
    scores = np.asarray(logits, dtype=np.float64)
    return np.exp(scores - logsumexp(scores, axis=1, keepdims=True))


def ece(confidences: np.ndarray, correct: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error of Guo et al. 2017 (arXiv 1706.04599, eq. 3), with equal-width bins (low, high].

    confidences [N] in [0, 1], correct [N] boolean, N at least 1.
    Sum over bins of (share of examples) · |mean correctness - mean confidence|.
    """
    index = bin_index(confidences, bins)  # [N]
    gap = np.bincount(index, weights=np.asarray(correct, dtype=np.float64) - confidences, minlength=bins)
    return float(np.abs(gap).sum() / len(index))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The T in [0.05, 20] that minimises the mean cross-entropy of softmax(logits / T) (Guo et al. 2017, section 4.2).

    logits [N, K] finite, labels [N] int. Gives 1.0 where no T is better than another for a good reason: nothing is
    misclassified (the likelihood then only grows as T falls), or all logits of every example are equal.
    """
    scores = np.asarray(logits, dtype=np.float64)
    if np.array_equal(scores.argmax(axis=1), labels):
        return 1.0
    scores = scores - scores.max(axis=1, keepdims=True)
    true = scores[np.arange(len(scores)), labels]  # [N]

    def slope(sharpness: float) -> float:
        """Derivative of the loss by 1/T: it never falls, because the loss is convex in 1/T."""
        weights = np.exp(sharpness * scores)
        expected = (weights * scores).sum(axis=1) / weights.sum(axis=1)
        return float((expected - true).mean())

    coldest, hottest = TEMPERATURES
    at_hottest, at_coldest = slope(1 / hottest), slope(1 / coldest)
    if at_hottest == at_coldest == 0:
        return 1.0
    if at_hottest >= 0:
        return hottest
    if at_coldest <= 0:
        return coldest
    return float(1 / brentq(slope, 1 / hottest, 1 / coldest, xtol=1e-12, rtol=1e-12))
