"""Other class shares, p(y), with the same images of each class, p(x | y): estimated without labels of the target.

BBSE (Lipton et al. 2018), RLLS (Azizzadenesheli et al. 2019) and maximum likelihood by EM (Saerens et al. 2002) on
calibrated probabilities (Alexandari et al. 2020). V is ID-val, U the target; all in float64.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, lsq_linear, minimize
from scipy.special import log_softmax, softmax
from scipy.stats import chi2_contingency

WORST_CONDITION = 1e8  # of the confusion matrix: above it, one class is never predicted, or two always mixed up
RLLS_DELTA = 0.05
RLLS_WEIGHT = 0.01
EM_TOLERANCE, EM_ROUNDS = 1e-6, 1000
FEWEST_EXPECTED = 5.0  # predictions of a class, below which the distribution of chi² is only simulated
SIMULATIONS = 2000
SHARPNESS = (0.05, 20.0)  # of calibrated logits: 1 / temperature
LARGEST_BIAS = 10.0  # of a calibrated logit


@dataclass(frozen=True)
class ClassShares:
    """Class shares of the target: q [K], which sum to 1, and weights q/p of the source's classes [K]."""

    q: np.ndarray
    weights: np.ndarray


def shares_of(classes: np.ndarray, K: int) -> np.ndarray:
    """The share of every class among integers [n] in 0 … K - 1: [K]."""
    return np.bincount(classes, minlength=K) / len(classes)


def joint_confusion(predicted: np.ndarray, labels: np.ndarray, K: int) -> np.ndarray:
    """C[i, j]: share of the examples that are predicted as i and are of class j; sums to 1. predicted, labels [n]."""
    return np.bincount(predicted * K + labels, minlength=K * K).reshape(K, K) / len(labels)


def from_weights(weights: np.ndarray, source: np.ndarray) -> ClassShares:
    """The shares of weights w = q/p, of which the sum may be off. source: p [K]."""
    q = weights * source
    return ClassShares(q / q.sum(), weights)


def bbse(C: np.ndarray, mu: np.ndarray) -> ClassShares | None:
    """Black-box shift estimation: w = C⁻¹μ with negatives set to 0. None where C cannot be inverted.

    C: of V, as `joint_confusion` gives it. mu [K]: share of every predicted class on U.
    """
    if not np.linalg.cond(C) <= WORST_CONDITION:
        return None
    weights = np.clip(np.linalg.solve(C, mu), 0.0, None)
    return from_weights(weights, C.sum(axis=0)) if weights.any() else None


def rlls_radius(n: int, K: int, delta: float = RLLS_DELTA) -> float:
    """ρ: how far C, of n examples of V, may be from the truth with probability δ at most."""
    log_term = math.log(2 * K / delta)
    return 3 * (2 * log_term / (3 * n) + math.sqrt(2 * log_term / n))


def rlls(C: np.ndarray, mu: np.ndarray, n: int) -> ClassShares:
    """Regularised learning under label shift: w = 1 + θ, θ ≥ -1 the minimum of ‖Cθ - (μ_U - μ_V)‖ + 0.01 ρ ‖θ‖.

    The minimum is one of ‖Cθ - b‖² + t‖θ‖² for the t at which both have the same slope; t is searched for. n: of V.
    """
    b, penalty = mu - C.sum(axis=1), RLLS_WEIGHT * rlls_radius(n, len(C))

    def bounded(log_t: float) -> np.ndarray:
        A = np.vstack([C, math.exp(log_t / 2) * np.eye(len(C))])
        return lsq_linear(A, np.concatenate([b, np.zeros(len(C))]), (-1.0, np.inf), method="bvls", tol=1e-15).x

    def slope(log_t: float) -> float:
        theta = bounded(log_t)
        return float(math.exp(log_t) * np.linalg.norm(theta) - penalty * np.linalg.norm(C @ theta - b))

    low, high = -60.0, 20.0  # of log t
    if slope(high) <= 0:
        theta = np.zeros(len(C))
    else:
        theta = bounded(low if slope(low) > 0 else float(brentq(slope, low, high, xtol=1e-13, rtol=1e-14)))
    return from_weights(1 + theta, C.sum(axis=0))


def calibrate(logits: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Bias-corrected temperature scaling: s and b [K] (which sum to 0) of softmax(s·z + b), with the least
    cross-entropy on V; s = 1 and b = 0 where no example is misclassified, because nothing bounds s then.

    logits z [n, K], labels [n] in 0 … K - 1.
    """
    z = np.asarray(logits, dtype=np.float64)
    n, K = z.shape
    if np.array_equal(z.argmax(axis=1), labels):
        return 1.0, np.zeros(K)
    one_hot = np.eye(K)[labels]

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        log_p = log_softmax(x[0] * z + x[1:], axis=1)
        error = (np.exp(log_p) - one_hot) / n  # [n, K]
        return float(-log_p[np.arange(n), labels].mean()), np.concatenate([[(error * z).sum()], error.sum(axis=0)])

    bounds = [SHARPNESS, *[(-LARGEST_BIAS, LARGEST_BIAS)] * K]
    found = minimize(
        loss, np.concatenate([[1.0], np.zeros(K)]), jac=True, method="L-BFGS-B", bounds=bounds,
        options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 1000},
    )  # fmt: skip
    return float(found.x[0]), found.x[1:] - found.x[1:].mean()


def calibrated(logits: np.ndarray, calibration: tuple[float, np.ndarray]) -> np.ndarray:
    """The probabilities [n, K] of logits [n, K], by what `calibrate` gave."""
    return softmax(calibration[0] * np.asarray(logits, dtype=np.float64) + calibration[1], axis=1)


def em(
    probabilities: np.ndarray, source: np.ndarray, *, tolerance: float = EM_TOLERANCE, rounds: int = EM_ROUNDS
) -> ClassShares:
    """Maximum likelihood: q ← mean over U of p_ik·q_k/p(k), each row normalised, from q = p until it stands still.

    probabilities [m, K]: calibrated. source: p [K]; a class that the source lacks keeps the share 0.
    """
    there = source > 0
    ratio = np.divide(probabilities, source, out=np.zeros_like(probabilities), where=there)
    q = source.copy()
    for _ in range(rounds):
        responsibility = ratio * q  # [m, K]
        total = responsibility.sum(axis=1, keepdims=True)
        np.divide(responsibility, total, out=responsibility, where=total > 0)
        responsibility[total[:, 0] == 0] = q  # such an image is only of classes that the source lacks: it says nothing
        before, q = q, responsibility.mean(axis=0)
        if np.abs(q - before).max() < tolerance:
            break
    return ClassShares(q, np.divide(q, source, out=np.zeros_like(q), where=there))


def homogeneity(source: np.ndarray, target: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """chi² of equal distributions of two vectors of counts [K], and its p value.

    The p value is chi²'s where every expected count is 5 or more, else that of random tables with the same margins.
    """
    table = np.stack([source, target])[:, (source + target) > 0]
    if table.shape[1] < 2:
        return 0.0, 1.0
    found = chi2_contingency(table, correction=False)
    if found.expected_freq.min() >= FEWEST_EXPECTED:
        return float(found.statistic), float(found.pvalue)
    rng = np.random.default_rng(seed)
    first = rng.multivariate_hypergeometric(table.sum(axis=0), int(source.sum()), SIMULATIONS, method="marginals")
    expected = found.expected_freq
    drawn = ((first - expected[0]) ** 2 / expected[0]).sum(axis=1)
    drawn += ((first - expected[0]) ** 2 / expected[1]).sum(axis=1)  # the second row differs by as much
    return float(found.statistic), float((1 + (drawn >= found.statistic - 1e-9).sum()) / (1 + SIMULATIONS))


def recalls(C: np.ndarray) -> np.ndarray:
    """Recall of every class [K] of a joint confusion matrix; 0 of a class without examples."""
    of_class = C.sum(axis=0)
    return np.divide(C.diagonal(), of_class, out=np.zeros(len(C)), where=of_class > 0)


def expected_accuracy(C: np.ndarray, q: np.ndarray) -> float:
    """Σ_k q_k · recall_k: the accuracy on U if nothing but the class shares changed."""
    return float(q @ recalls(C))


def correction(q: np.ndarray, source: np.ndarray, m: int) -> np.ndarray:
    """log(q/p) [K], which is added to the logits; a share below half an example of m counts as that, and a class that
    the source lacks is left as it is.
    """
    floor = 0.5 / m
    return np.where(source > 0, np.log(np.maximum(q, floor)) - np.log(np.where(source > 0, source, 1.0)), 0.0)
