"""Shift of the class shares, as plain float64 formulas.

V: the labelled set of n examples, p_V its class shares [K]; U: the set of m examples without labels, q its shares [K].
Labels and predictions are numbers in 0 … K − 1.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import nnls
from scipy.stats import chi2

from tests.helpers.plain_shift.estimates import Array, plain, shares


def joint_matrix(predicted_v: Sequence[int], labels_v: Sequence[int], classes: int) -> Array:
    """C [K, K]: C_ij = #{V: ŷ = i, y = j} / n; it sums to 1."""
    counts = np.zeros((classes, classes))
    for predicted, label in zip(predicted_v, labels_v, strict=True):
        counts[int(predicted), int(label)] += 1
    return counts / len(labels_v)


def condition(matrix: Any) -> float:
    """The largest singular value / the smallest; +∞ where that is 0."""
    sigma = np.linalg.svd(plain(matrix), compute_uv=False)
    return float(sigma[0] / sigma[-1]) if sigma[-1] > 0 else math.inf


def weighted_shares(weights: Any, p_v: Any) -> Array:
    """q [K]: w∘p_V over its sum; weights and p_V [K]."""
    products = [w * p for w, p in zip(plain(weights), plain(p_v), strict=True)]
    return plain(products) / math.fsum(products)


def bbse(predicted_v: Sequence[int], labels_v: Sequence[int], predicted_u: Sequence[int], classes: int) -> Array:
    """q [K]: w = C⁻¹μ_U, negatives set to 0, then w∘p_V over its sum. C singular: numpy.linalg.LinAlgError."""
    w = np.linalg.solve(joint_matrix(predicted_v, labels_v, classes), shares(predicted_u, classes))
    return weighted_shares([max(one, 0.0) for one in w], shares(labels_v, classes))


def rlls_rho(n: int, classes: int, delta: float = 0.05) -> float:
    """ρ = 3 · (2 · log(2K/δ) / (3n) + √(2 · log(2K/δ) / n))."""
    log = math.log(2 * classes / delta)
    return 3 * (2 * log / (3 * n) + math.sqrt(2 * log / n))


def rlls_objective(theta: Any, matrix: Any, difference: Any, strength: float) -> float:
    """‖Cθ − d‖₂ + strength · ‖θ‖₂; θ and d [K], C [K, K]."""
    theta = plain(theta)
    return float(np.linalg.norm(plain(matrix) @ theta - plain(difference)) + strength * np.linalg.norm(theta))


def rlls_theta(matrix: Any, difference: Any, strength: float) -> Array:
    """θ [K] ≥ −1 with the smallest `rlls_objective`.

    Where neither norm is 0, it is the minimum of ‖Cθ − d‖² + μ · ‖θ‖² for the μ with μ · ‖θ‖ / ‖Cθ − d‖ = strength,
    which rises with μ and is found by halving; that problem is solved by active sets (SciPy's nnls of 1 + θ ≥ 0).
    """
    C, d = plain(matrix), plain(difference)
    classes = len(d)

    def ridge(mu: float) -> Array:
        stacked = np.concatenate([C, math.sqrt(mu) * np.eye(classes)])
        right = np.concatenate([d + C.sum(axis=1), np.full(classes, math.sqrt(mu))])
        return nnls(stacked, right, maxiter=1000)[0] - 1

    low, high = -32.0, 32.0  # log μ
    for _ in range(100):
        middle = (low + high) / 2
        theta = ridge(math.exp(middle))
        left = math.exp(middle) * np.linalg.norm(theta) - strength * np.linalg.norm(C @ theta - d)
        low, high = (middle, high) if left < 0 else (low, middle)
    ends = [np.zeros(classes), ridge(0.0), ridge(math.exp(low))]  # θ = 0, Cθ = d, and where neither
    return min(ends, key=lambda theta: rlls_objective(theta, C, d, strength))


def rlls(
    predicted_v: Sequence[int], labels_v: Sequence[int], predicted_u: Sequence[int], classes: int, delta: float = 0.05
) -> Array:
    """w [K] = 1 + θ, θ ≥ −1 with the smallest ‖Cθ − (μ_U − μ_V)‖₂ + 0.01 · ρ · ‖θ‖₂."""
    difference = shares(predicted_u, classes) - shares(predicted_v, classes)
    strength = 0.01 * rlls_rho(len(labels_v), classes, delta)
    return 1 + rlls_theta(joint_matrix(predicted_v, labels_v, classes), difference, strength)


def em(p_u: Any, p_v: Any, rounds: int = 1000, tolerance: float = 1e-6) -> Array:
    """q [K] of MLLS: from q = p_V, r_ik ∝ p_ik · q_k / p_V(k) (sum 1 over k), q ← mean_i r_i.

    p_u [m, K]: calibrated probabilities; p_v [K]. It ends after the round with max|Δq| < tolerance, or after `rounds`.
    A class with p_V(k) = 0 keeps q_k = 0.
    """
    p_u, p_v = plain(p_u), plain(p_v)
    q = p_v.copy()
    for _ in range(rounds):
        new = np.zeros(len(q))
        for p in p_u:
            r = [p[k] * q[k] / p_v[k] if p_v[k] > 0 else 0.0 for k in range(len(q))]
            new += plain(r) / math.fsum(r) / len(p_u)
        change, q = max(abs(new - q)), new
        if change < tolerance:
            break
    return q


def corrected_logits(logits: Any, q: Any, p_v: Any) -> Array:
    """z + log(q / p_V) [N, K]; logits [N, K], q and p_V [K], all above 0."""
    return plain([[z[k] + math.log(q[k] / p_v[k]) for k in range(len(z))] for z in plain(logits)])


def homogeneity(predicted_v: Sequence[int], predicted_u: Sequence[int], classes: int) -> tuple[float, int, float]:
    """χ², degrees of freedom and p of the counts of ŷ on V against U: Σ (count − expected)² / expected.

    expected = row sum · column sum / (n + m). Without a correction for continuity. Classes that are never predicted on
    either set are left out; degrees of freedom: the others − 1; p = 1 where only one is left.
    """
    rows = [[sum(int(y) == k for y in one) for k in range(classes)] for one in (predicted_v, predicted_u)]
    columns = [k for k in range(classes) if rows[0][k] + rows[1][k] > 0]
    whole, statistic = len(predicted_v) + len(predicted_u), 0.0
    for row in rows:
        for k in columns:
            expected = sum(row) * (rows[0][k] + rows[1][k]) / whole
            statistic += (row[k] - expected) ** 2 / expected
    freedom = len(columns) - 1
    return statistic, freedom, float(chi2.sf(statistic, freedom)) if freedom else 1.0


def recalls(predicted_v: Sequence[int], labels_v: Sequence[int], classes: int) -> Array:
    """The share of each class's examples in V that is predicted right [K]; NaN for a class without examples."""
    result = []
    for k in range(classes):
        of_class = [int(p) == k for p, y in zip(predicted_v, labels_v, strict=True) if int(y) == k]
        result.append(sum(of_class) / len(of_class) if of_class else math.nan)
    return plain(result)


def expected_accuracy(q: Any, recall: Any) -> float:
    """Σ_k q_k · recall_k over the classes with q_k > 0; q and recall [K]."""
    return math.fsum(a * b for a, b in zip(plain(q), plain(recall), strict=True) if a > 0)
