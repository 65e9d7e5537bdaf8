"""Which of several methods is the best out of distribution, and whether a test agrees: figures and a sentence."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ftcli.console.cells import percent, set_name
from ftcli.measures.method_difference import MethodDifference, method_difference
from ftcli.safe_text import first_few

LEVEL = 0.95

Outcome = Literal["winner", "no winner", "not tested", "not comparable"]
Scope = Literal["methods", "runs"]


@dataclass(frozen=True)
class Contender:
    """One method, or one run of it. `folder`: where its model is. `accuracy`: a fraction, on the set that decides.

    correct: for each set that this accuracy is a mean over, in the same order for all, [S, N] of 0 and 1, which of the
    N examples each of the S seeds gets right; None where that is not known. data: equal for those that were measured on
    the same examples and classes. fixed: every seed gives the same result.
    """

    name: str
    folder: str
    accuracy: float
    seeds: int
    correct: tuple[np.ndarray, ...] | None
    data: Hashable = None
    fixed: bool = False

    @property
    def for_its_method(self) -> bool:
        """Whether its figures speak for the method and not only for one run of it."""
        return self.fixed or self.seeds > 1


@dataclass(frozen=True)
class Verdict:
    """The leader on `set`, the set that decides, and what a test says of its lead.

    outcome: "winner" where the test tells the leader from each of the others, "no winner" where it does not, "not
    tested" without predictions, "not comparable" where the accuracies are on different data. scope: whether the test is
    about the methods, or only about these runs, because those in `one_seed` have a single seed. difference, interval
    [95 %], p: leader minus runner_up, fractions. not_told_apart: those that the test does not tell from the leader.
    """

    outcome: Outcome
    scope: Scope | None
    set: str
    leader: str
    folder: str
    accuracy: float
    runner_up: str
    difference: float
    interval: tuple[float, float] | None
    p: float | None
    not_told_apart: tuple[str, ...]
    one_seed: tuple[str, ...]
    sentence: str = ""


def verdict(contenders: Sequence[Contender], deciding: str) -> Verdict | None:
    """The verdict on two contenders or more, None on fewer. `deciding`: the name of the set that decides.

    The leader has to be told from each of the others at 95 %, without a correction: the more methods are equal, the
    closer to the best is the next best, so a lead is at most as often called real as between two (Gutmann and Maymin
    1987).
    """
    if len(contenders) < 2:
        return None
    leader, *others = sorted(contenders, key=lambda one: -one.accuracy)  # stable: of equals the first
    outcome: Outcome
    scope: Scope | None = None
    tests: list[MethodDifference] = []
    if any(one.data != leader.data for one in others):
        outcome = "not comparable"
    elif any(one.correct is None for one in contenders):
        outcome = "not tested"
    else:
        tests = [difference_of(leader, other) for other in others]
        scope = "methods" if all(one.for_its_method for one in contenders) else "runs"
        outcome = "winner" if all(told_apart(test) for test in tests) else "no winner"
    found = Verdict(
        outcome, scope, deciding, leader.name, leader.folder, leader.accuracy, others[0].name,
        leader.accuracy - others[0].accuracy,
        interval=(tests[0].low, tests[0].high) if tests else None,
        p=tests[0].p if tests else None,
        not_told_apart=tuple(one.name for one, test in zip(others, tests, strict=False) if not told_apart(test)),
        one_seed=tuple(one.name for one in contenders if not one.for_its_method),
    )  # fmt: skip
    return replace(found, sentence=sentence_of(found))


def difference_of(first: Contender, second: Contender) -> MethodDifference:
    """First minus second: of the methods where both have several seeds or need none, else of these runs as they are.

    Raises ValueError where it is not known of one which examples it gets right, or the sets do not match.
    """
    if first.correct is None or second.correct is None:
        raise ValueError("there is no test without the predictions of both")
    as_they_are = not (first.for_its_method and second.for_its_method)
    fixed = (as_they_are or first.fixed, as_they_are or second.fixed)
    return method_difference(first.correct, second.correct, level=LEVEL, fixed=fixed)


def told_apart(test: MethodDifference) -> bool:
    return test.p < 1 - LEVEL


def sentence_of(found: Verdict) -> str:
    """The verdict in words; accuracies in per cent, differences in percentage points."""
    figure, lead = set_name(found.set), f"{100 * found.difference:z.1f} points more than {found.runner_up}"
    leads = f"{found.leader} ({found.folder}) has the highest {figure}, {percent(found.accuracy)} %"
    if found.outcome == "not comparable":
        return f"No verdict: {leads}, but the others were not all measured on the same data."
    if found.outcome == "not tested":
        return f"No verdict: {leads}, {lead}, but without the predictions of all it cannot be tested."
    low, high = found.interval or (0.0, 0.0)
    lead += f" (95 % interval {percent(low)} to {percent(high)})"
    if found.scope == "methods":
        could = f"with other seeds or other examples {first_few(found.not_told_apart)} could be as good or better"
        words = {
            "winner": f"Winner: {leads}, {lead}. The test, in which seeds and examples are chance, agrees.",
            "no winner": f"No winner: {leads}, {lead}, but {could}.",
        }
        return words[found.outcome]
    could = f"on other examples {first_few(found.not_told_apart)} could be as good or better"
    words = {
        "winner": f"Best of these runs: {leads}, {lead}.",
        "no winner": f"No winner among these runs: {leads}, {lead}, but {could}.",
    }
    only = (
        f"This is about the runs, not the methods: {first_few(found.one_seed)} ran with one seed; --seeds 3 shows more."
    )
    return f"{words[found.outcome]} {only}"
