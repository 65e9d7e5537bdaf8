"""How often a comparison calls two methods different that are not, and how often it sees a difference that is there.

    python -m tests.benchmarks.false_stars [--trials 300] [--studies 250] [--only sets|studies|power]

Simulated methods: seed s of method m gets example i right with probability 1/(1 + exp(-(level + easy_i + liking_mi +
seed_ms))). `easy` (standard deviation 0, 1 or 2) is common to the methods, so that examples correlate; `liking` (0, 0.5
or 1.5) is what a method does better on some examples and worse on others; `seed` is the spread over seeds. Methods
have equal accuracy in the population of seeds and examples, and differ in every sample of them. All standard
deviations are of logits. `level` gives the accuracy asked for.

A set: two methods on n examples. A study: three methods on ID-test and three OOD sets, all pairs, which makes twelve
tests with Holm's correction over all of them. A study is false where one of them has a star, and its verdict is where
it names a winner on the OOD mean. Half of the variance of the seeds is common to the sets of a study.
"""

import itertools
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt

import numpy as np
from scipy import stats

from ftcli.comparison.verdict import Contender, verdict
from ftcli.measures.method_difference import method_difference
from ftcli.measures.paired import holm, mcnemar
from ftcli.measures.student_t import two_sided_p

ALPHA = 0.05
EXAMPLES = (200, 500, 2000, 5000)
SEEDS = (2, 3, 5, 10)
SPREADS = (0.0, 0.1, 0.2, 0.3, 0.5)
ACCURACIES = (0.5, 0.8, 0.95)
EXAMPLE_SPREADS = ((0.0, 0.0), (1.0, 0.5), (2.0, 1.5))  # of easy and liking
STUDY_SETS = 4  # the first is ID-test

Test = Callable[[np.ndarray, np.ndarray], float]  # two methods, [S, N] each; gives p


@dataclass(frozen=True)
class Method:
    """What a simulated method is: the standard deviation of its seeds and its accuracy over all seeds and examples."""

    spread: float
    accuracy: float


@cache
def level_of(accuracy: float, spread: float) -> float:
    """The logit at which the mean over a normal spread is this accuracy."""
    normal = stats.norm.ppf((np.arange(4000) + 0.5) / 4000)
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 / (1 + np.exp(-middle - spread * normal))).mean() < accuracy else (low, middle)
    return low


def simulate(
    rng: np.random.Generator, method: Method, easy: np.ndarray, easy_spread: float, liking: float, common: np.ndarray
) -> np.ndarray:
    """Which examples each seed gets right: [S, N]. common [S]: what the seeds have from other sets, or 0."""
    n, seeds = len(easy), len(common)
    own = method.spread / (sqrt(2) if common.any() else 1)
    level = level_of(method.accuracy, sqrt(easy_spread**2 + liking**2 + method.spread**2))
    logits = level + easy + liking * rng.standard_normal(n)
    odds = np.exp(-logits).astype(np.float32) * np.exp(-common - own * rng.standard_normal(seeds))[:, None].astype("f4")
    return rng.random((seeds, n), dtype=np.float32) * (1 + odds) < 1


def two_runs(a: np.ndarray, b: np.ndarray) -> float:
    """McNemar's test on one run of each."""
    return mcnemar(int((a[0] & ~b[0]).sum()), int((b[0] & ~a[0]).sum()))


def paired_t(a: np.ndarray, b: np.ndarray) -> float:
    """Student's t over the differences of the seeds' accuracies, by number of the seed; Welch's where these differ."""
    x, y = a.mean(axis=1), b.mean(axis=1)
    if len(a) != len(b):
        return float(stats.ttest_ind(x, y, equal_var=False).pvalue)
    mean, error = float((x - y).mean()), float((x - y).std(ddof=1)) / sqrt(len(x))
    return two_sided_p(mean / error, len(x) - 1) if error else float(mean == 0)


TESTS: dict[str, Test] = {
    "McNemar, two runs": two_runs,
    "seeds as they are": lambda a, b: method_difference([a], [b], fixed=(True, True)).p,
    "paired t over seeds": paired_t,
    "methods": lambda a, b: method_difference([a], [b]).p,
}


def rates(
    rng: np.random.Generator, n: int, seeds: tuple[int, int], methods: tuple[Method, Method], trials: int
) -> np.ndarray:
    """Of so many trials, how many each of TESTS calls a difference; the spreads of the examples take turns."""
    found = np.zeros(len(TESTS), dtype=int)
    for trial in range(trials):
        easy_spread, liking = EXAMPLE_SPREADS[trial % len(EXAMPLE_SPREADS)]
        easy = easy_spread * rng.standard_normal(n)
        a, b = (
            simulate(rng, method, easy, easy_spread, liking, np.zeros(count))
            for method, count in zip(methods, seeds, strict=True)
        )
        found += [test(a, b) < ALPHA for test in TESTS.values()]
    return found


def print_rates(title: str, rows: dict[str, tuple[np.ndarray, int]], heads: Sequence[str]) -> None:
    """Rows of counts and trials as per cent."""
    width = max(map(len, (title, *rows)))
    print("\n" + title.ljust(width) + "".join(f"  {head:>20}" for head in heads))
    for name, (counts, trials) in rows.items():
        print(name.ljust(width) + "".join(f"  {100 * count / trials:20.1f}" for count in counts))


def false_stars_of_sets(rng: np.random.Generator, trials: int) -> None:
    """The grid, and what lies beside it: methods that spread differently, and unequal numbers of seeds."""
    cells = {}
    for S, spread, n, accuracy in itertools.product(SEEDS, SPREADS, EXAMPLES, ACCURACIES):
        cells[S, spread, n, accuracy] = rates(rng, n, (S, S), (Method(spread, accuracy),) * 2, trials)
    for title, place, values in (
        ("seeds", 0, SEEDS), ("spread over seeds", 1, SPREADS), ("examples", 2, EXAMPLES), ("accuracy", 3, ACCURACIES),
    ):  # fmt: skip
        rows = {}
        for value in values:
            chosen = [counts for key, counts in cells.items() if key[place] == value]
            rows[f"  {value}"] = (sum(chosen), trials * len(chosen))
        print_rates(f"false stars, %: {title}", rows, list(TESTS))
    print_rates("all of the grid", {"": (sum(cells.values()), trials * len(cells))}, list(TESTS))
    worst = sorted(cells, key=lambda key: -cells[key][-1])[:4]
    rows = {
        f"  {S} seeds, spread {spread}, n = {n}, accuracy {accuracy}": (
            rates(rng, n, (S, S), (Method(spread, accuracy),) * 2, 10 * trials), 10 * trials,
        )
        for S, spread, n, accuracy in worst
    }  # fmt: skip
    print_rates("the 4 worst cells for methods, drawn anew", rows, list(TESTS))
    rows = {}
    for seeds, spreads in itertools.product(
        ((2, 2), (3, 3), (5, 5), (5, 2), (3, 5)), ((0.3, 0.3), (0.0, 0.3), (0.3, 0.0))
    ):
        methods = (Method(spreads[0], 0.8), Method(spreads[1], 0.8))
        rows[f"  {seeds} seeds, spreads {spreads}"] = (rates(rng, 1000, seeds, methods, 4 * trials), 4 * trials)
    print_rates("unequal methods, n = 1000, accuracy 0.8", rows, list(TESTS))


def power(rng: np.random.Generator, trials: int) -> None:
    """A difference of 5 points, at an accuracy of 0.8 and 1000 examples."""
    rows = {}
    for S, spread in itertools.product(SEEDS, SPREADS):
        methods = (Method(spread, 0.8), Method(spread, 0.75))
        rows[f"  {S} seeds, spread {spread}"] = (rates(rng, 1000, (S, S), methods, trials), trials)
    print_rates("difference of 5 points seen, %", rows, list(TESTS))


def study(rng: np.random.Generator, n: int, seeds: int, spread: float) -> list[list[np.ndarray]]:
    """Three equal methods on STUDY_SETS sets: by method and set, [S, N]."""
    easy_spread, liking = EXAMPLE_SPREADS[1]
    accuracies = rng.choice(ACCURACIES, STUDY_SETS)
    easy = easy_spread * rng.standard_normal((STUDY_SETS, n))
    commons = spread / sqrt(2) * rng.standard_normal((3, seeds))
    return [
        [
            simulate(rng, Method(spread, accuracy), easy_k, easy_spread, liking, common)
            for accuracy, easy_k in zip(accuracies, easy, strict=True)
        ]
        for common in commons
    ]


def is_false(methods: list[list[np.ndarray]]) -> list[bool]:
    """Whether there is a star by McNemar's test (Holm over the sets of a pair) or by that of the methods (Holm over
    all), or a winner.
    """
    pairs = list(itertools.combinations(methods, 2))
    runs = any(min(holm([two_runs(a, b) for a, b in zip(*pair, strict=True)])) < ALPHA for pair in pairs)
    stars = min(holm([method_difference([a], [b]).p for pair in pairs for a, b in zip(*pair, strict=True)])) < ALPHA
    contenders = [
        Contender(str(i), "", float(np.mean([s.mean() for s in sets[1:]])), len(sets[0]), tuple(sets[1:]))
        for i, sets in enumerate(methods)
    ]
    found = verdict(contenders, "ood_mean")
    assert found is not None
    return [runs, stars, found.outcome == "winner"]


def false_studies(rng: np.random.Generator, studies: int) -> None:
    rows = {}
    for S, spread in itertools.product(SEEDS, SPREADS):
        counts = sum(np.array(is_false(study(rng, n, S, spread))) for n in (500, 2000) for _ in range(studies))
        rows[f"  {S} seeds, spread {spread}"] = (counts, 2 * studies)
    heads = ["any star, two runs", "any star, methods", "a winner"]
    print_rates("false studies, %", rows, heads)
    total = sum(counts for counts, _ in rows.values())
    print_rates("all", {"": (total, 2 * studies * len(rows))}, heads)


def main() -> None:
    asking = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    asking.add_argument("--trials", type=int, default=300, help="of a cell of the grid")
    asking.add_argument("--studies", type=int, default=100, help="of a cell, for each of two numbers of examples")
    asking.add_argument("--only", choices=["sets", "studies", "power"])
    asked = asking.parse_args()
    parts = {
        "sets": lambda rng: false_stars_of_sets(rng, asked.trials),
        "studies": lambda rng: false_studies(rng, asked.studies),
        "power": lambda rng: power(rng, asked.trials),
    }
    for i, (name, part) in enumerate(parts.items()):
        if asked.only in (None, name):
            began = time.perf_counter()
            part(np.random.default_rng(i))
            print(f"\n{name}: {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
