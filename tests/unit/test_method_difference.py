"""Methods compared with seeds and examples as chance: against plain loops, SciPy, and what must not change it."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from ftcli.measures.method_difference import method_difference
from ftcli.measures.student_t import two_sided_p, two_sided_quantile

Sets = list[np.ndarray]


@pytest.mark.parametrize("df", [0.5, 1, 1.3, 2, 4.5, 30, 199, 4999.5, 1e6, 9.9e6, 1.1e7, 1e12, math.inf])
def test_student_is_that_of_scipy(df: float) -> None:
    for t in (0.0, 1e-9, 0.1, 1.0, 2.0, 5.0, 12.7, 36.0):
        expected = pytest.approx(
            2 * stats.t.sf(t, df), rel=1e-6 if df > 1e5 else 1e-9, abs=1e-9 if df > 1e5 else 1e-300
        )
        assert two_sided_p(t, df) == expected and two_sided_p(-t, df) == expected
    for level in (0.0, 0.5, 0.9, 0.95, 0.999):
        expected = stats.t.ppf((1 + level) / 2, df)
        assert two_sided_quantile(level, df) == pytest.approx(expected, rel=1e-6 if df > 1e5 else 1e-9)
    assert two_sided_p(math.inf, df) == 0.0


def test_student_of_the_tables() -> None:
    assert two_sided_quantile(0.95, 2) == pytest.approx(4.302653, abs=1e-6)
    assert two_sided_quantile(0.90, 2) == pytest.approx(2.919986, abs=1e-6)
    assert two_sided_p(1.0, 1) == pytest.approx(0.5)  # Cauchy


@pytest.mark.parametrize("wrong", [(1.0, 0), (1.0, -1), (math.nan, 2), (1.0, math.nan)])
def test_student_refuses(wrong: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="degrees of freedom"):
        two_sided_p(*wrong)
    for level in (1.0, -0.1):
        with pytest.raises(ValueError, match="level"):
            two_sided_quantile(level, 2)


def draw(seed: int, sizes: tuple[int, ...], seeds: int, accuracy: float, spread: float = 0.1) -> Sets:
    rng = np.random.default_rng(seed)
    skill = np.clip(accuracy + spread * rng.standard_normal(seeds), 0, 1)[:, None]
    return [rng.random((seeds, n)) < skill for n in sizes]


def plainly(first: Sets, second: Sets, fixed: tuple[bool, bool] = (False, False)) -> tuple[float, ...]:
    """The same in loops over sets of different lengths: (difference, low, high, p)."""
    K = len(first)
    centre = examples = 0.0
    for a, b in zip(first, second, strict=True):
        n = a.shape[1]
        d = [sum(a[:, i].tolist()) / len(a) - sum(b[:, i].tolist()) / len(b) for i in range(n)]
        size = sum(x * x for x in d) / sum(map(abs, d)) if any(d) else 1.0
        d += [size, -size]
        mean = sum(d) / (n + 2)
        centre += mean / K
        examples += sum((x - mean) ** 2 for x in d) / (n + 2) ** 2 / K**2
    between, within = [], []
    for sets, as_it_is in zip((first, second), fixed, strict=True):
        if as_it_is:
            continue
        S = len(sets[0])
        means = [sum(float(y[s].mean()) for y in sets) / K for s in range(S)]
        between.append((S, sum((m - sum(means) / S) ** 2 for m in means) / (S - 1)))
        rest = 0.0
        for y in sets:
            n = y.shape[1]
            squares = sum(
                (float(y[s, i]) - y[:, i].mean() - y[s].mean() + y.mean()) ** 2
                for s, i in itertools.product(range(S), range(n))
            )
            rest += squares / (S - 1) / (n - 1) / n / K**2
        within.append(rest / S)
    pooled = sum((S - 1) * v for S, v in between) / max(1, sum(S - 1 for S, _ in between))
    parts = [(S, max(v, pooled) / S) for S, v in between]
    variance = examples + max(0.0, sum(v for _, v in parts) - sum(within))
    n, freedom = min(y.shape[1] for y in first), sum(S - 1 for S, _ in parts)
    df = max(1.0, variance**2 / (examples**2 / (n - 1) + sum(v**2 / (S - 1) for S, v in parts)))
    df = min(df, max(1, freedom * (freedom - 1))) if parts else df
    low, high = stats.t.interval(0.95, df, centre, math.sqrt(variance))
    difference = sum(float(a.mean() - b.mean()) for a, b in zip(first, second, strict=True)) / K
    return difference, low, high, 2 * stats.t.sf(abs(centre) / math.sqrt(variance), df)


CASES = {
    "spread": (draw(0, (60,), 3, 0.6), draw(1, (60,), 3, 0.5)),
    "none": (draw(2, (60,), 3, 0.6, 0.0), draw(3, (60,), 3, 0.5, 0.0)),
    "one spreads": (draw(4, (40,), 2, 0.6, 0.3), draw(5, (40,), 5, 0.5, 0.0)),
    "two sets": (draw(6, (30, 50), 3, 0.7), draw(7, (30, 50), 4, 0.5)),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_what_plain_loops_give(case: str) -> None:
    first, second = CASES[case]
    for fixed in itertools.product((False, True), repeat=2):
        found = method_difference(first, second, fixed=fixed)
        assert (found.difference, found.low, found.high, found.p) == pytest.approx(plainly(first, second, fixed))


@pytest.mark.parametrize("case", CASES)
def test_what_must_not_change_it(case: str) -> None:
    """The other way round the signs change; the order of seeds, examples and sets changes nothing."""
    first, second = CASES[case]
    found, back = method_difference(first, second), method_difference(second, first)
    assert (back.difference, back.low, back.high, back.p) == pytest.approx(
        (-found.difference, -found.high, -found.low, found.p)
    )
    rng = np.random.default_rng(0)
    orders = [rng.permutation(a.shape[1]) for a in first]
    moved = []
    for sets in (first, second):
        seeds = rng.permutation(len(sets[0]))
        moved.append([a[seeds][:, order] for a, order in zip(sets, orders, strict=True)][::-1])
    same = method_difference(*moved)
    assert (same.difference, same.low, same.high, same.p) == pytest.approx(
        (found.difference, found.low, found.high, found.p)
    )
    wide, narrow = (method_difference(first, second, level=level) for level in (0.99, 0.5))
    assert wide.low < found.low < narrow.low < narrow.high < found.high < wide.high
    assert wide.p == found.p == narrow.p


@pytest.mark.parametrize("seed", range(30))
def test_p_and_interval_agree(seed: int) -> None:
    first, second = draw(seed, (80,), 3, 0.6), draw(seed + 100, (80,), 3, 0.45)
    for level in (0.5, 0.8, 0.95):
        found = method_difference(first, second, level=level)
        assert (found.p < 1 - level) == (not found.low <= 0 <= found.high)


def test_many_seeds_that_spread_make_it_welch_and_one_run_makes_it_the_examples() -> None:
    """The two ends of it: examples without end, and seeds without spread."""
    rng = np.random.default_rng(0)
    skills = rng.normal(0.6, 0.1, (2, 4))
    first, second = ([rng.random((4, 40_000)) < one[:, None]] for one in skills)
    welch = stats.ttest_ind(first[0].mean(axis=1), second[0].mean(axis=1), equal_var=False)
    found = method_difference(first, second)
    assert found.p == pytest.approx(welch.pvalue, rel=0.2)
    a, b = rng.random((1, 500)) < 0.6, rng.random((1, 500)) < 0.5
    runs = method_difference([a], [b], fixed=(True, True))
    assert runs.p == pytest.approx(stats.ttest_rel(a[0].astype(float), b[0].astype(float)).pvalue, rel=0.1)
    copies = method_difference([np.repeat(a, 30, axis=0)], [np.repeat(b, 40, axis=0)])  # seeds that change nothing
    assert (copies.low, copies.high, copies.p) == pytest.approx((runs.low, runs.high, runs.p))


def test_seeds_widen_what_examples_alone_show() -> None:
    first, second = draw(0, (2000,), 3, 0.6, 0.05), draw(1, (2000,), 3, 0.55, 0.05)
    as_they_are, methods = method_difference(first, second, fixed=(True, True)), method_difference(first, second)
    assert as_they_are.difference == methods.difference
    assert methods.high - methods.low > 2 * (as_they_are.high - as_they_are.low) and methods.p > as_they_are.p


def test_seeds_that_agree_by_chance_are_not_believed() -> None:
    """Two seeds with the same accuracy, beside a method whose seeds differ."""
    rng = np.random.default_rng(0)
    row = rng.random(1000) < 0.7
    agreeing = [np.stack([row, rng.permutation(row)])]
    spreading = [np.stack([rng.random(1000) < skill for skill in (0.5, 0.6)])]
    one_sided = np.var(spreading[0].mean(axis=1), ddof=1) / 2
    found = method_difference(agreeing, spreading)
    assert (found.high - found.low) / 2 > stats.t.ppf(0.975, 2) * math.sqrt(one_sided)


def test_sets_of_the_same_images_are_not_counted_as_more_images() -> None:
    """The same set twice says what it says once; another set of that length says more, with twice the examples."""
    first, second = draw(0, (400,), 3, 0.7, 0.0), draw(1, (400,), 3, 0.6, 0.0)
    once, twice = method_difference(first, second), method_difference(first * 2, second * 2)
    assert (twice.low, twice.high, twice.p) == pytest.approx((once.low, once.high, once.p))
    others = [draw(seed, (400,), 3, accuracy, 0.0) for seed, accuracy in ((2, 0.7), (3, 0.6))]
    more = method_difference(first + others[0], second + others[1])
    assert more.high - more.low < 0.82 * (once.high - once.low)


@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_few_examples_that_all_agree_are_little(n: int) -> None:
    right, wrong = [np.ones((3, n), bool)], [np.zeros((3, n), bool)]
    found = method_difference(right, wrong)
    assert found.difference == 1.0 and found.low <= 1.0 <= found.high
    assert (found.p < 0.05) == (n == 20)
    same = method_difference(right, right)
    assert (same.difference, same.p) == (0.0, 1.0) and same.low == -same.high < 0


@pytest.mark.parametrize(
    ("first", "second", "fixed", "problem"),
    [
        ([], [], (False, False), "the same sets"),
        ([np.ones((2, 3))], [np.ones((2, 3))] * 2, (False, False), "the same sets"),
        ([np.ones((2, 3))], [np.ones((2, 4))], (False, False), "the same N"),
        ([np.ones(3)], [np.ones(3)], (False, False), "the same N"),
        ([np.ones((2, 0))], [np.ones((2, 0))], (False, False), "the same N"),
        ([np.ones((2, 3)), np.ones((3, 3))], [np.ones((2, 3))] * 2, (False, False), "the same seeds"),
        ([np.ones((1, 3))], [np.ones((2, 3))], (False, True), "one seed"),
        ([np.ones((2, 3))], [np.ones((1, 3))], (True, False), "one seed"),
    ],
)
def test_what_cannot_be_compared(first: Sets, second: Sets, fixed: tuple[bool, bool], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        method_difference(first, second, fixed=fixed)


def test_equal_methods_are_rarely_called_different() -> None:
    """Three seeds with a spread of 0.3 logit, 500 examples: 5 % at most but for chance; examples alone, a third."""
    rng, called, runs = np.random.default_rng(0), 0, 0
    for _ in range(400):
        easy = rng.standard_normal(500)
        a, b = (
            rng.random((3, 500)) < 1 / (1 + np.exp(-1 - easy - 0.3 * rng.standard_normal((3, 1)))) for _ in range(2)
        )
        called += method_difference([a], [b]).p < 0.05
        runs += method_difference([a], [b], fixed=(True, True)).p < 0.05
    assert called <= 30 and runs > 100
