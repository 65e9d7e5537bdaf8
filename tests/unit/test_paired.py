"""Paired tests against SciPy and against slower, plainer versions of the same."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from ftcli.measures.paired import bootstrap_difference, holm, mcnemar


@pytest.mark.parametrize(("b", "c"), [(0, 1), (1, 0), (5, 5), (3, 11), (40, 21), (300, 350), (0, 60)])
def test_mcnemar_is_the_two_sided_sign_test(b: int, c: int) -> None:
    assert mcnemar(b, c) == pytest.approx(stats.binomtest(b, b + c, 0.5).pvalue, rel=1e-9)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 61, 2000])
def test_mcnemar_is_exact(n: int) -> None:
    """Every p value is the float nearest to the fraction that the test is defined by."""
    for k in range(0, n + 1, max(1, n // 50)):
        tail = sum(math.comb(n, i) for i in range(min(k, n - k) + 1))
        assert mcnemar(k, n - k) == mcnemar(n - k, k) == float(min(Fraction(1), Fraction(2 * tail, 2**n)))


@pytest.mark.parametrize(
    ("b", "c"), [(9_800, 10_200), (49_000, 51_000), (4_990_000, 5_010_000), (0, 1000), (400, 4000)]
)
def test_mcnemar_of_many_examples(b: int, c: int) -> None:
    assert mcnemar(b, c) == pytest.approx(stats.binomtest(b, b + c, 0.5).pvalue, rel=1e-10)
    assert mcnemar(0, 2000) == 0.0


def test_mcnemar_without_disagreement() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(4, 4) == 1.0


def test_bootstrap_against_resampled_indices() -> None:
    """The interval equals, but for chance, that of scipy.stats.bootstrap, which draws every index."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 4, 300) / 3  # a mean over three seeds
    second = (rng.random(300) < 0.4).astype(float)
    plain = stats.bootstrap(
        (first - second,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    )
    oracle = plain.confidence_interval
    low, high = bootstrap_difference(first, second)
    width = oracle.high - oracle.low
    assert abs(low - oracle.low) < 0.03 * width and abs(high - oracle.high) < 0.03 * width
    assert low < np.mean(first - second) < high


def test_bootstrap_is_seeded_and_paired() -> None:
    rng = np.random.default_rng(2)
    first, second = (rng.random((2, 200)) < [[0.8], [0.6]]).astype(float)
    assert bootstrap_difference(first, second) == bootstrap_difference(first, second)
    fine = rng.random(200)
    assert bootstrap_difference(fine, second) != bootstrap_difference(fine, second, seed=1)
    assert bootstrap_difference(first, first) == [0.0, 0.0]  # paired: the same correctness never differs
    low, high = bootstrap_difference(first, second)
    back = bootstrap_difference(second, first)
    assert [-high, -low] == pytest.approx(back, abs=0.02)
    wide, narrow = bootstrap_difference(first, second, level=0.99), bootstrap_difference(first, second, level=0.5)
    assert wide[0] < low < narrow[0] < narrow[1] < high < wide[1]


def test_bootstrap_refuses_unequal_or_empty_values() -> None:
    for first, second in ((np.ones(3), np.ones(4)), (np.ones(0), np.ones(0))):
        with pytest.raises(ValueError, match="equal, non-zero length"):
            bootstrap_difference(first, second)


def rejected(pvalues: list[float], alpha: float) -> list[bool]:
    """Holm's procedure as it is told: smallest first, against alpha / (those left), stop at the first not rejected."""
    result = [False] * len(pvalues)
    for step, index in enumerate(np.argsort(pvalues, kind="stable")):
        if pvalues[index] > alpha / (len(pvalues) - step):
            break
        result[index] = True
    return result


@pytest.mark.parametrize("seed", range(20))
def test_holm_decides_as_the_procedure_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pvalues = list(rng.random(6) ** 3)
    for alpha in (0.01, 0.05, 0.1, 0.3):
        assert [p <= alpha for p in holm(pvalues)] == rejected(pvalues, alpha)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []
