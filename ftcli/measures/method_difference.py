"""Two methods of training on the same examples: an interval and a test in which seeds and examples are both chance."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ftcli.measures.student_t import two_sided_p, two_sided_quantile

PSEUDO = 2  # examples that are added to each set, one in favour of either method


@dataclass(frozen=True)
class MethodDifference:
    """Accuracy of the first method minus that of the second, a fraction; its interval; two-sided p of no difference.

    p is below 1 - level exactly where the interval leaves out 0. The interval is not clipped to [-1, 1].
    """

    difference: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class _Spread:
    """Of one method: `between`, the variance [S - 1 degrees of freedom] of the accuracies of its seeds, and `within`,
    what of it is owed to the examples being few. `seeds`: S.
    """

    between: float
    within: float
    seeds: int


def method_difference(
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    *,
    level: float = 0.95,
    fixed: tuple[bool, bool] = (False, False),
) -> MethodDifference:
    """How two methods differ in the mean of their accuracies over some sets, for other seeds and other examples.

    first, second: for each set an array [S, N] of 0 and 1, which of the N examples each of the S seeds gets right; the
    sets in one order, the seeds of a method the same in each. S may differ between the methods, whose seeds are not
    paired. Sets of equal length are taken to hold the same images in the same order, as corruptions of one set do:
    where they do not, the covariance that is counted is 0 but for chance.
    fixed: which of the two is not to vary over seeds: a method that gives every seed the same result, or runs that are
    compared as they are.
    Raises ValueError for sets that do not match, and for one seed of a method that is not fixed: how much its seeds
    differ is not known.
    """
    _check(first, second, fixed)
    sets = len(first)
    tables = [_by_length(arrays) for arrays in (first, second)]
    centre, examples = _over_examples(tables[0], tables[1], sets)
    spreads = [_spread(table, sets) for table, as_it_is in zip(tables, fixed, strict=True) if not as_it_is]
    seeds = _seed_parts(spreads)
    variance = examples + max(0.0, sum(seeds) - sum(one.within / one.seeds for one in spreads))
    # Satterthwaite; of the seeds' part what was measured counts, before the examples' share is taken off (Hillis 2007).
    uncertain = examples**2 / max(1, min(table.shape[1] for table in tables[0]) - 1)
    uncertain += sum(part**2 / (one.seeds - 1) for part, one in zip(seeds, spreads, strict=True))
    df, error = max(1.0, variance**2 / uncertain), math.sqrt(variance)
    if spreads:  # few seeds may seem to add nothing: then the examples, though many, would make the test sure of itself
        freedom = sum(one.seeds - 1 for one in spreads)
        df = min(df, max(1.0, freedom * (freedom - 1)))
    half = two_sided_quantile(level, df) * error
    difference = math.fsum(a.mean() - b.mean() for a, b in zip(first, second, strict=True)) / sets
    return MethodDifference(difference, centre - half, centre + half, two_sided_p(centre / error, df))


def _check(first: Sequence[np.ndarray], second: Sequence[np.ndarray], fixed: tuple[bool, bool]) -> None:
    if not first or len(first) != len(second):
        raise ValueError(f"the same sets of both methods are needed, got {len(first)} and {len(second)}")
    for a, b in zip(first, second, strict=True):
        if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or not a.size or not b.size:
            raise ValueError(f"arrays [S, N] with the same N examples are needed, got {a.shape} and {b.shape}")
    for arrays, as_it_is in zip((first, second), fixed, strict=True):
        if len({len(array) for array in arrays}) > 1:
            raise ValueError("every set of a method needs the same seeds")
        if len(arrays[0]) == 1 and not as_it_is:
            raise ValueError("one seed does not tell how much seeds differ: two are needed, or fixed")


def _by_length(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The sets of each length as one array [S, N], added up example by example; by length."""
    ordered = sorted(arrays, key=lambda array: array.shape[1])
    groups = itertools.groupby(ordered, key=lambda array: array.shape[1])
    return [np.sum([array.astype(np.float64) for array in group], axis=0) for _, group in groups]


def _over_examples(first: list[np.ndarray], second: list[np.ndarray], sets: int) -> tuple[float, float]:
    """The difference and its variance over examples, with the seeds as they are.

    As Bonett and Price (2012) do for two proportions, to each set two examples are added, one for and one against, as
    large as the differences of single examples mostly are: without them a few examples that all speak for one method
    would seem to have no variance.
    """
    centre = variance = 0.0
    for a, b in zip(first, second, strict=True):
        d = a.mean(axis=0) - b.mean(axis=0)  # [N]
        n, square = len(d) + PSEUDO, float(d @ d)
        size = square / float(np.abs(d).sum()) if square else 1.0
        mean = float(d.sum()) / n
        centre += mean / sets
        variance += ((square + PSEUDO * size**2) / n - mean**2) / n / sets**2
    return centre, variance


def _spread(table: list[np.ndarray], sets: int) -> _Spread:
    """A method's seeds × examples, taken apart as in a crossed analysis of variance."""
    means = sum(correct.mean(axis=1) for correct in table) / sets  # [S], accuracies of the seeds
    seeds, within = len(means), 0.0
    for correct in table:
        n = correct.shape[1]
        rest = correct - correct.mean(axis=0) - correct.mean(axis=1, keepdims=True) + correct.mean()
        within += float((rest**2).sum()) / (max(1, n - 1) * (seeds - 1)) / n / sets**2
    return _Spread(float(np.var(means, ddof=1)), within, seeds)


def _seed_parts(spreads: Sequence[_Spread]) -> list[float]:
    """What the seeds of each method add to the variance of the difference.

    The few seeds of one method may happen to agree. No method is therefore taken to spread less than both do together.
    """
    freedom = sum(one.seeds - 1 for one in spreads)
    together = sum((one.seeds - 1) * one.between for one in spreads) / max(1, freedom)
    return [max(one.between, together) / one.seeds for one in spreads]
