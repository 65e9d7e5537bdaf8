"""Two models on the same examples: McNemar's exact test, a bootstrap interval of the difference, Holm's correction."""

from collections.abc import Sequence

import numpy as np

DRAWS = 10_000
BITS = 128


def mcnemar(b: int, c: int) -> float:
    """Exact two-sided p value of McNemar's test: min(1, 2 · P[Bin(b + c, ½) ≤ min(b, c)]), and 1 when b + c = 0.

    b: examples that only the first model gets right; c: only the second.
    """
    n, k = b + c, min(b, c)
    if b == c:
        return 1.0
    if (n - 2 * k) ** 2 > 1600 * n:  # Hoeffding: P ≤ exp(-(n - 2k)² / 2n) < exp(-800), which no float holds
        return 0.0
    # The coefficients C(n, i) relative to C(n, k), in whole numbers with BITS binary places: first those below k, which
    # soon are 0, then those above it up to the middle. By symmetry that is half of all. SciPy has the same to 13 digits
    # and takes half a second to import.
    below, term, i = 0, 1 << BITS, k
    while term:
        below += term
        term, i = term * i // (n - i + 1), i - 1
    above, term = 0, 1 << BITS
    for i in range(k, n // 2):
        term = term * (n - i) // (i + 1)
        above += term
    middle = 0 if n % 2 else term  # of an even n, in both halves
    return min(1.0, 2 * below / (2 * (below + above) - middle))


def bootstrap_difference(
    first: np.ndarray, second: np.ndarray, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> list[float]:
    """Percentile interval [low, high] of mean(first) - mean(second), resampling examples in pairs.

    first, second [N]: correctness of each example, in [0, 1] (a mean over seeds where there are several), same order.
    Raises ValueError where the two differ in shape or hold nothing.
    """
    if first.shape != second.shape or first.size == 0:
        raise ValueError(f"paired values of equal, non-zero length are needed, got {first.shape} and {second.shape}")
    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    # Few distinct values occur, so drawing how often each appears is the same bootstrap without [draws, N] indices.
    # Rounding joins values that differ only by how a mean over seeds was rounded.
    values, counts = np.unique(np.round(difference, 12), return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(difference), counts / len(difference), size=draws)
    means = drawn @ values / len(difference)  # [draws]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return [float(low), float(high)]


def holm(pvalues: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (1979): p values in the same order, to be held against the unadjusted level."""
    adjusted = [0.0] * len(pvalues)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(pvalues)), key=lambda i: pvalues[i])):
        largest = max(largest, min(1.0, (len(pvalues) - rank) * pvalues[index]))
        adjusted[index] = largest
    return adjusted
