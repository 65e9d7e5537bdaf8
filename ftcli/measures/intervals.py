"""Intervals around an accuracy: of one run (Wilson) and over several seeds (Student, and the papers' normal one)."""

import math
import statistics
from collections.abc import Sequence

NORMAL_90 = 1.645  # the rounded quantile that Kumar et al. 2022 use
NORMAL_95 = 1.959963984540054  # the quantile 0.975 of the normal distribution


def wilson(proportion: float, n: int) -> list[float]:
    """Wilson's 95 % score interval [low, high] of a proportion seen over `n` examples.

    `proportion` is a fraction in [0, 1], not a count; it need not be k/n, so that a mean over seeds fits too.
    Raises ValueError where `n` is below 1 or the proportion is outside [0, 1].
    """
    if n < 1 or not 0.0 <= proportion <= 1.0:
        raise ValueError(f"a proportion in [0, 1] of at least one example is needed, got {proportion} of {n}")
    z = NORMAL_95
    shrink = 1 + z * z / n
    centre = (proportion + z * z / (2 * n)) / shrink
    half = z * math.sqrt(proportion * (1 - proportion) / n + z * z / (4 * n * n)) / shrink
    # An end that is exactly the proportion (at 0 and 1) must not be moved past it by rounding.
    return [min(proportion, max(0.0, centre - half)), max(proportion, min(1.0, centre + half))]


def student(values: Sequence[float], level: float = 0.90) -> list[float]:
    """Student's t interval [low, high] of the mean of independent values; not clipped to [0, 1].

    Raises ValueError for fewer than two values.
    """
    from scipy.special import stdtrit  # here, because `compare` needs none of it

    half = float(stdtrit(len(values) - 1, 0.5 + level / 2)) * _standard_error(values)
    return [mean(values) - half, mean(values) + half]


def paper_interval(values: Sequence[float]) -> list[float]:
    """The 90 % interval of Kumar et al. 2022 (tables 1 and 2): mean ± 1.645 · std (ddof 1) / √n.

    Too narrow for the three seeds it is printed for: `student` is the honest one. Raises ValueError for fewer than two.
    """
    half = NORMAL_90 * _standard_error(values)
    return [mean(values) - half, mean(values) + half]


def mean(values: Sequence[float]) -> float:
    """The mean, summed exactly: equal values give that very value, which a float sum does not (0.7 three times)."""
    return float(statistics.mean(values))


def deviation(values: Sequence[float]) -> float:
    """Sample standard deviation (ddof 1), exactly 0 for equal values. Raises ValueError for fewer than two."""
    if len(values) < 2:
        raise ValueError("a spread over seeds needs at least two values")
    return float(statistics.stdev(values))


def _standard_error(values: Sequence[float]) -> float:
    return deviation(values) / math.sqrt(len(values))
