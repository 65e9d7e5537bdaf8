"""The loss of accuracy from ID-val to the target: is it more than chance, and how small a one would have been seen."""

import math
from dataclasses import dataclass

from scipy.stats import norm

POWER = 0.8


@dataclass(frozen=True)
class Drop:
    """difference: accuracy of the source minus that of the target. p: one-sided, of no loss. detectable: the smallest
    loss that is found with probability 0.8 at level α.
    """

    difference: float
    z: float
    p: float
    detectable: float


def drop_between(source: float, n: int, target: float, m: int, alpha: float) -> Drop:
    """Two-proportion z test of accuracies of n and m examples."""
    pooled = (source * n + target * m) / (n + m)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    difference = source - target
    z = difference / error if error else 0.0
    return Drop(difference, z, float(norm.sf(z)), detectable_drop(source, n, m, alpha))


def detectable_drop(source: float, n: int, m: int, alpha: float) -> float:
    """The Δ at which the test of level α succeeds with probability 0.8, found by bisection; 1 where none does."""

    def power(delta: float) -> float:
        target = max(source - delta, 0.0)
        pooled = (source * n + target * m) / (n + m)
        null = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
        error = math.sqrt(source * (1 - source) / n + target * (1 - target) / m)
        gap = delta - norm.isf(alpha) * null
        return float(norm.cdf(gap / error)) if error else float(gap > 0)

    low, high = 0.0, source
    if power(high) < POWER:
        return 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle) >= POWER else (middle, high)
    return high
