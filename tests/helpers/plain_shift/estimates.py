"""Accuracy on a set U without labels, as plain float64 formulas.

V: the labelled set of n examples; U: the set of m examples without labels; K classes; q = Φ⁻¹, the normal quantile.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy.optimize import linprog
from scipy.stats import norm

Array = np.ndarray


def plain(values: Any) -> Array:
    """A float64 copy of an array or list, of the same shape."""
    return np.array(values, dtype=np.float64)


# Of one example


def softmax(logits: Any, tau: float = 1.0) -> Array:
    """p [N, K] of logits [N, K]: p_k = exp(z_k / τ) / Σ_j exp(z_j / τ)."""
    rows = []
    for z in plain(logits):
        powers = [math.exp((one - max(z)) / tau) for one in z]
        rows.append([power / math.fsum(powers) for power in powers])
    return plain(rows)


def margins(logits: Any, tau: float = 1.0) -> Array:
    """s [N] of logits [N, K]: s = −log Σ_{j ≠ ŷ} exp((z_j − z_ŷ) / τ), ŷ the first largest; +∞ where the sum is 0.

    It is log(p_ŷ / (1 − p_ŷ)): in the order of max p, but it does not saturate.
    """
    result = []
    for z in plain(logits):
        best = int(np.argmax(z))
        rest = math.fsum(math.exp((z[j] - z[best]) / tau) for j in range(len(z)) if j != best)
        result.append(-math.log(rest) if rest > 0 else math.inf)
    return plain(result)


def negentropies(p: Any) -> Array:
    """s [N] of p [N, K]: Σ_k p_k · log p_k, with 0 · log 0 = 0."""
    return plain([math.fsum(one * math.log(one) for one in row if one > 0) for row in plain(p)])


# Confidence


def average_confidence(p: Any) -> float:
    """The mean over U of max_k p_k; p [m, K]."""
    return math.fsum(max(row) for row in plain(p)) / len(p)


def difference_of_confidence(accuracy: float, confidence_v: float, confidence_u: float) -> float:
    """DoC: acc_V + AC_U − AC_V, clipped to [0, 1]."""
    return min(max(accuracy + confidence_u - confidence_v, 0.0), 1.0)


def atc_threshold(scores_v: Any, correct_v: Sequence[bool]) -> tuple[float, float]:
    """t and ρ of scores [n] and whether each is right [n]; e: how many are wrong.

    t = s_(e+1), the scores in rising order counted from 1, and ρ = (n − e − #{s_V > t}) / #{s_V = t}. e = n: (+∞, 0).
    """
    scores, n, e = sorted(plain(scores_v)), len(correct_v), sum(not one for one in correct_v)
    if e == n:
        return math.inf, 0.0
    t = scores[e]
    above, equal = sum(one > t for one in scores), sum(one == t for one in scores)
    return float(t), (n - e - above) / equal


def atc(scores_v: Any, correct_v: Sequence[bool], scores_u: Any) -> float:
    """The estimated accuracy [#{s_U > t} + ρ · #{s_U = t}] / m; see `atc_threshold`. scores_u [m]."""
    t, rho = atc_threshold(scores_v, correct_v)
    scores = plain(scores_u)
    return (sum(one > t for one in scores) + rho * sum(one == t for one in scores)) / len(scores)


# Transport


def shares(labels: Sequence[int], classes: int) -> Array:
    """p_V [K]: the share of every class 0 … K − 1 among labels [n]."""
    return plain([sum(int(y) == k for y in labels) / len(labels) for k in range(classes)])


def transport_plan(p: Any, target: Any) -> Array:
    """Π [m, K] ≥ 0 with Π1 = 1/m and Πᵀ1 = target that makes Σ Π_ik · (1 − p_ik) smallest; p [m, K], target [K].

    It need not be the only one.
    """
    p, target = plain(p), plain(target)
    m, classes = p.shape
    sums = np.zeros((m + classes, m * classes))
    for i in range(m):
        for k in range(classes):
            sums[i, i * classes + k] = sums[m + k, i * classes + k] = 1
    solved = linprog((1 - p).ravel(), A_eq=sums, b_eq=[1 / m] * m + list(target), bounds=(0, None), method="highs")
    if not solved.success:
        raise ValueError(solved.message)
    return solved.x.reshape(m, classes)


def cot(p: Any, target: Any) -> float:
    """The estimated accuracy 1 − Σ Π_ik · (1 − p_ik); p [m, K] on U, target [K]: class shares of V."""
    p = plain(p)
    return 1 - math.fsum(((1 - p) * transport_plan(p, target)).ravel())


def transport_costs(p: Any, plan: Any) -> Array:
    """c [m]: c_i = m · Σ_k Π_ik · (1 − p_ik); p and the plan Π [m, K]."""
    p, plan = plain(p), plain(plan)
    return plain([len(p) * math.fsum(plan[i, k] * (1 - p[i, k]) for k in range(p.shape[1])) for i in range(len(p))])


def cott(costs_v: Any, correct_v: Sequence[bool], costs_u: Any) -> float:
    """The estimated accuracy 1 − share of U with c > t; costs [n] on V, [m] on U.

    t: the costs of V in rising order at position n − e, counted from 1, with e wrong on V; −∞ where e = n.
    """
    right = sum(bool(one) for one in correct_v)
    t = sorted(plain(costs_v))[right - 1] if right else -math.inf
    return 1 - sum(one > t for one in plain(costs_u)) / len(costs_u)


def nuclear_norm(p: Any) -> float:
    """The sum of the singular values of P [m, K] / √(m · min(m, K))."""
    p = plain(p)
    return math.fsum(np.linalg.svd(p, compute_uv=False)) / math.sqrt(len(p) * min(p.shape))


# Several models


def agreement(a: Sequence[int], b: Sequence[int]) -> float:
    """The share of N examples of which two predictions [N] are equal."""
    return sum(int(x) == int(y) for x, y in zip(a, b, strict=True)) / len(a)


def gde(predicted_u: Sequence[Sequence[int]]) -> float:
    """The estimated accuracy: mean over the pairs of M runs of their agreement on U; predicted_u [M, m]."""
    pairs = [agreement(a, b) for a, b in combinations(predicted_u, 2)]
    return math.fsum(pairs) / len(pairs)


def line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Slope, intercept and R² of the least-squares line of y [N] on x [N]; R² is NaN where y is constant.

    Raises ValueError for values that are not finite, and where all x are the same.
    """
    if not all(math.isfinite(one) for one in (*x, *y)) or max(x) == min(x):
        raise ValueError("no line through these points")
    mean_x, mean_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
    sxy = math.fsum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    slope = sxy / math.fsum((a - mean_x) ** 2 for a in x)
    intercept = mean_y - slope * mean_x
    left = math.fsum((b - slope * a - intercept) ** 2 for a, b in zip(x, y, strict=True))
    whole = math.fsum((b - mean_y) ** 2 for b in y)
    return slope, intercept, 1 - left / whole if whole else math.nan


def aline_pairs(
    predicted_v: Sequence[Sequence[int]], predicted_u: Sequence[Sequence[int]]
) -> list[tuple[int, int, float, float]]:
    """(i, j, a_V, a_U) of the pairs i < j of M runs, but for those with a_V or a_U outside [0.05, 0.98].

    predicted_v [M, n] and predicted_u [M, m].
    """
    kept = []
    for i, j in combinations(range(len(predicted_v)), 2):
        a_v, a_u = agreement(predicted_v[i], predicted_v[j]), agreement(predicted_u[i], predicted_u[j])
        if 0.05 <= a_v <= 0.98 and 0.05 <= a_u <= 0.98:
            kept.append((i, j, a_v, a_u))
    return kept


def aline_line(pairs: Sequence[tuple[int, int, float, float]]) -> tuple[float, float, float]:
    """β, α and R² of q(a_U) = β · q(a_V) + α over the pairs of `aline_pairs`."""
    return line([float(norm.ppf(pair[2])) for pair in pairs], [float(norm.ppf(pair[3])) for pair in pairs])


def aline_s(
    accuracies_v: Sequence[float], predicted_v: Sequence[Sequence[int]], predicted_u: Sequence[Sequence[int]]
) -> Array:
    """The estimated accuracy [M] of every run: Φ(β · q(acc_V,i) + α); accuracies_v [M]."""
    slope, intercept, _ = aline_line(aline_pairs(predicted_v, predicted_u))
    return plain([norm.cdf(slope * norm.ppf(one) + intercept) for one in accuracies_v])


def aline_d(
    accuracies_v: Sequence[float], predicted_v: Sequence[Sequence[int]], predicted_u: Sequence[Sequence[int]]
) -> Array:
    """The estimated accuracy Φ(w) [M], w the least-squares solution (the shortest, if there are many) over the pairs of

    ½w_i + ½w_j = q(a_U,ij) + β · (½q(acc_V,i) + ½q(acc_V,j) − q(a_V,ij)).
    Raises ValueError for accuracies of 0 or 1 in a pair that is kept.
    """
    pairs = aline_pairs(predicted_v, predicted_u)
    slope = aline_line(pairs)[0]
    left, right = np.zeros((len(pairs), len(accuracies_v))), np.zeros(len(pairs))
    for row, (i, j, a_v, a_u) in enumerate(pairs):
        if {accuracies_v[i], accuracies_v[j]} & {0, 1}:
            raise ValueError("accuracies of 0 or 1 have no probit")
        left[row, i] = left[row, j] = 0.5
        mean = (norm.ppf(accuracies_v[i]) + norm.ppf(accuracies_v[j])) / 2
        right[row] = norm.ppf(a_u) + slope * (mean - norm.ppf(a_v))
    return norm.cdf(np.linalg.lstsq(left, right, rcond=None)[0])


# From a score to an accuracy


def probit_line(scores: Sequence[float], accuracies: Sequence[float]) -> tuple[float, float]:
    """Slope and intercept of q(accuracy) on q(score) over S sets, both within (0, 1), else ValueError."""
    return line([float(norm.ppf(s)) for s in scores], [float(norm.ppf(a)) for a in accuracies])[:2]


def probit_accuracy(score: float, slope: float, intercept: float) -> float:
    """Φ(slope · q(score) + intercept)."""
    return float(norm.cdf(slope * norm.ppf(score) + intercept))


def left_out_accuracies(scores: Sequence[float], accuracies: Sequence[float], groups: Sequence[Any]) -> Array:
    """The accuracy of each of S sets [S], estimated by the line of all sets that are not of its group; groups [S]."""
    result = []
    for score, group in zip(scores, groups, strict=True):
        others = [s for s in range(len(scores)) if groups[s] != group]
        slope, intercept = probit_line([scores[s] for s in others], [accuracies[s] for s in others])
        result.append(probit_accuracy(score, slope, intercept))
    return plain(result)


# A bound


def dis2_epsilon(n: int, m: int, delta: float) -> float:
    """ε = √((4m + n) · log(1/δ) / (2 · n · m)); n, m: examples of the halves of V and U that measure."""
    return math.sqrt((4 * m + n) * math.log(1 / delta) / (2 * n * m))


def disagreement_gap(
    predicted_v: Sequence[int], critic_v: Sequence[int], predicted_u: Sequence[int], critic_u: Sequence[int]
) -> float:
    """agree_V(h, h') − agree_U(h, h'); predictions [n] of h and of the critic h' on V, [m] on U."""
    return agreement(predicted_v, critic_v) - agreement(predicted_u, critic_u)


def dis2_bound(
    accuracy: float,
    predicted_v: Sequence[int],
    predicted_u: Sequence[int],
    critics_v: Sequence[Sequence[int]],
    critics_u: Sequence[Sequence[int]],
    delta: float,
) -> float:
    """acc_V − the largest gap of C critics − ε, not clipped; critics_v [C, n], critics_u [C, m]."""
    gaps = [disagreement_gap(predicted_v, v, predicted_u, u) for v, u in zip(critics_v, critics_u, strict=True)]
    return accuracy - max(gaps) - dis2_epsilon(len(predicted_v), len(predicted_u), delta)


def critic_loss(logits_v: Any, predicted_v: Sequence[int], logits_u: Any, predicted_u: Sequence[int]) -> float:
    """The mean cross-entropy with ŷ on V + the mean over U of log(1 + exp(z'_ŷ − mean of the other logits)).

    logits_v [n, K] and logits_u [m, K]: those of the critic; predictions [n], [m]: those of the model.
    """
    agree = [-math.log(p[y]) for p, y in zip(softmax(logits_v), predicted_v, strict=True)]
    differ = []
    for z, y in zip(plain(logits_u), predicted_u, strict=True):
        others = [z[k] for k in range(len(z)) if k != y]
        differ.append(math.log1p(math.exp(z[y] - math.fsum(others) / len(others))))
    return math.fsum(agree) / len(agree) + math.fsum(differ) / len(differ)
