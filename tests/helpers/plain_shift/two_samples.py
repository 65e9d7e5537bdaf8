"""Two samples held against each other, and gradients by block, as plain float64 formulas.

V: the labelled set of n examples; T or U: the other set, of m examples.
"""

import math
from collections.abc import Mapping
from typing import Any

from scipy.stats import norm

from tests.helpers.plain_shift.estimates import Array, plain

# A drop of the accuracy


def two_proportions(right_v: int, n: int, right_t: int, m: int) -> tuple[float, float]:
    """z and the one-sided p of a drop: (acc_V − acc_T) / √(a(1 − a)(1/n + 1/m)), a: the accuracy of both together.

    z = 0 where a is 0 or 1.
    """
    a = (right_v + right_t) / (n + m)
    deviation = math.sqrt(a * (1 - a) * (1 / n + 1 / m))
    z = (right_v / n - right_t / m) / deviation if deviation > 0 else 0.0
    return z, float(norm.sf(z))


def power(accuracy: float, drop: float, n: int, m: int, alpha: float = 0.01) -> float:
    """The probability that the one-sided test above is significant if V's accuracy is a and T's is b = a − drop.

    Φ((drop − z_{1 − α} · s₀) / s₁), s₀ = √(c(1 − c)(1/n + 1/m)), c = (n·a + m·b)/(n + m) and
    s₁ = √(a(1 − a)/n + b(1 − b)/m).
    """
    b = accuracy - drop
    c = (n * accuracy + m * b) / (n + m)
    pooled = math.sqrt(c * (1 - c) * (1 / n + 1 / m))
    own = math.sqrt(accuracy * (1 - accuracy) / n + b * (1 - b) / m)
    over = drop - norm.isf(alpha) * pooled
    return float(norm.cdf(over / own)) if own > 0 else float(over > 0)


def smallest_drop(accuracy: float, n: int, m: int, alpha: float = 0.01, wanted: float = 0.8) -> float:
    """The smallest drop in (0, accuracy] whose `power` is `wanted`, by halving; NaN where none has."""
    if accuracy <= 0 or power(accuracy, accuracy, n, m, alpha) < wanted:
        return math.nan
    low, high = 0.0, accuracy
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if power(accuracy, middle, n, m, alpha) >= wanted else (middle, high)
    return high


def smallest_drop_of_equal_variance(accuracy: float, n: int, m: int, alpha: float = 0.01, wanted: float = 0.8) -> float:
    """The textbook's short form: (z_{1 − α} + z_{wanted}) · √(a(1 − a)(1/n + 1/m)), a: V's accuracy."""
    return float((norm.isf(alpha) + norm.ppf(wanted)) * math.sqrt(accuracy * (1 - accuracy) * (1 / n + 1 / m)))


# Two samples of numbers


def auc(scores_v: Any, scores_u: Any) -> float:
    """The share of the n · m pairs whose score of U is the larger, a tie counting ½; scores [n], [m]."""
    wins = 0.0
    for v in plain(scores_v):
        for u in plain(scores_u):
            wins += 1.0 if u > v else 0.5 if u == v else 0.0
    return wins / (len(scores_v) * len(scores_u))


def mann_whitney(scores_v: Any, scores_u: Any) -> tuple[float, float]:
    """z and the one-sided p of AUC > ½ by the normal distribution, without a correction for continuity.

    z = (AUC − ½) · n · m / √(n · m / 12 · (N + 1 − Σ(t³ − t) / (N(N − 1)))), N = n + m, t: the size of every tie.
    z = 0 where all are equal.
    """
    n, m = len(scores_v), len(scores_u)
    every = [*plain(scores_v), *plain(scores_u)]
    ties = sum(every.count(one) ** 3 - every.count(one) for one in set(every))
    variance = n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1)))
    z = (auc(scores_v, scores_u) - 0.5) * n * m / math.sqrt(variance) if variance > 0 else 0.0
    return z, float(norm.sf(z))


def gaussian_divergence(mean_v: Any, deviation_v: Any, mean_u: Any, deviation_u: Any) -> float:
    """The mean over C channels of ½ · [KL(N_U‖N_V) + KL(N_V‖N_U)]; all [C], deviations above 0.

    KL(N_U‖N_V) = log(σ_V/σ_U) + (σ_U² + (μ_U − μ_V)²) / (2σ_V²) − ½.
    """

    def kl(mean: float, deviation: float, other_mean: float, other: float) -> float:
        return math.log(other / deviation) + (deviation**2 + (mean - other_mean) ** 2) / (2 * other**2) - 0.5

    channels = zip(plain(mean_v), plain(deviation_v), plain(mean_u), plain(deviation_u), strict=True)
    each = [(kl(b, t, a, s) + kl(a, s, b, t)) / 2 for a, s, b, t in channels]
    return math.fsum(each) / len(each)


def moments(features: Any) -> tuple[Array, Array]:
    """Mean and population deviation [C] of features [N, C]."""
    x = plain(features)
    mean = [math.fsum(channel) / len(x) for channel in x.T]
    deviation = [math.sqrt(math.fsum((channel - a) ** 2) / len(x)) for channel, a in zip(x.T, mean, strict=True)]
    return plain(mean), plain(deviation)


def moment_divergence(features_v: Any, features_u: Any) -> float:
    """`gaussian_divergence` of the moments of features [n, C] and [m, C]."""
    return gaussian_divergence(*moments(features_v), *moments(features_u))


def divergence_over_noise(features_v: Any, features_u: Any, half: Any, other_half: Any) -> float:
    """`moment_divergence` of V and U less that of two halves of V."""
    return moment_divergence(features_v, features_u) - moment_divergence(half, other_half)


# Gradients


def relative_gradient_norms(
    gradients: Mapping[str, Any], weights: Mapping[str, Any], blocks: Mapping[str, str]
) -> dict[str, float]:
    """√Σ‖g‖² / √Σ‖θ‖² of every block, over all its tensors; `blocks`: block of every tensor, by the tensor's name."""
    squares: dict[str, list[float]] = {}
    for name, block in blocks.items():
        both = squares.setdefault(block, [0.0, 0.0])
        both[0] += math.fsum(one**2 for one in plain(gradients[name]).ravel())
        both[1] += math.fsum(one**2 for one in plain(weights[name]).ravel())
    return {block: math.sqrt(g) / math.sqrt(w) for block, (g, w) in squares.items()}


def sign_agreement(gradients: Any) -> float:
    """The mean over P parameters of |the mean over B batches of sign(g)|, sign(0) = 0; gradients [B, P]."""
    g = plain(gradients)
    each = [abs(sum((one > 0) - (one < 0) for one in column.tolist())) / len(g) for column in g.T]
    return math.fsum(each) / len(each)
