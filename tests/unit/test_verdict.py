"""The verdict: who leads, what the test says of the lead, and the sentence that says it."""

from dataclasses import replace

import numpy as np
import pytest

from ftcli.comparison.verdict import Contender, difference_of, verdict
from ftcli.measures.method_difference import method_difference

N = 400


def contender(name: str, accuracy: float, seeds: int = 3, *, fixed: bool = False, start: int = 0) -> Contender:
    """A method with two OOD sets."""
    rng = np.random.default_rng([start, *map(ord, name)])
    correct = tuple(rng.random((seeds, N)) < accuracy for _ in range(2))
    mean = float(np.mean([right.mean() for right in correct]))
    return Contender(name, f"runs/{name}", mean, seeds, correct, data="same", fixed=fixed)


def test_a_winner() -> None:
    low, high, middle = contender("probe", 0.5), contender("lpft", 0.8), contender("finetune", 0.6)
    found = verdict([low, high, middle], "ood_mean")
    assert found is not None and (found.outcome, found.scope) == ("winner", "methods")
    assert (found.leader, found.folder, found.runner_up) == ("lpft", "runs/lpft", "finetune")
    assert high.correct and middle.correct
    test = method_difference(high.correct, middle.correct)
    assert (found.interval, found.p) == ((test.low, test.high), test.p)
    assert found.difference == pytest.approx(high.accuracy - middle.accuracy)
    assert (found.set, found.accuracy) == ("ood_mean", high.accuracy) and found.not_told_apart == found.one_seed == ()
    assert found.sentence == (
        f"Winner: lpft (runs/lpft) has the highest OOD mean, {100 * high.accuracy:.1f} %, "
        f"{100 * found.difference:.1f} points more than finetune (95 % interval {100 * test.low:.1f} to "
        f"{100 * test.high:.1f}). The test, in which seeds and examples are chance, agrees."
    )


def test_no_winner_names_the_leader_and_who_could_be_as_good() -> None:
    found = verdict([contender("probe", 0.8), contender("lpft", 0.8, start=1), contender("finetune", 0.5)], "id_test")
    assert found is not None and (found.outcome, found.scope) == ("no winner", "methods")
    assert found.not_told_apart == (found.runner_up,) and found.p is not None and found.p >= 0.05
    assert found.sentence.startswith(f"No winner: {found.leader} (runs/{found.leader}) has the highest ID-test, ")
    assert f"with other seeds or other examples {found.runner_up} could be as good" in found.sentence


def test_the_leader_has_to_beat_each_of_the_others_and_not_only_the_next() -> None:
    """The third spreads so much over its seeds that it could be first."""
    rng = np.random.default_rng(0)
    unsteady = tuple(np.stack([rng.random(N) < skill for skill in (0.95, 0.6, 0.5)]) for _ in range(2))
    third = Contender("third", "", float(np.mean(unsteady)), 3, unsteady, data="same")
    first, second = contender("first", 0.8), contender("second", 0.72)
    assert third.accuracy < second.accuracy
    two = verdict([first, second], "ood_mean")
    all_three = verdict([first, second, third], "ood_mean")
    assert two is not None and all_three is not None
    assert two.outcome == "winner" and all_three.outcome == "no winner"
    assert all_three.runner_up == "second" and all_three.not_told_apart == ("third",)


@pytest.mark.parametrize("seeds", [(1, 1), (3, 1), (1, 3)])
def test_with_one_seed_it_is_about_the_runs(seeds: tuple[int, int]) -> None:
    a, b = contender("finetune", 0.8, seeds[0]), contender("probe", 0.5, seeds[1])
    found = verdict([a, b], "ood_mean")
    assert found is not None and (found.outcome, found.scope) == ("winner", "runs")
    single = tuple(one.name for one in (a, b) if one.seeds == 1)
    assert found.one_seed == single
    assert found.sentence.startswith("Best of these runs: finetune (runs/finetune) has the highest OOD mean")
    assert found.sentence.endswith(
        f"This is about the runs, not the methods: {', '.join(single)} ran with one seed; --seeds 3 shows more."
    )
    assert a.correct and b.correct
    as_they_are = method_difference(a.correct, b.correct, fixed=(True, True))
    assert found.p == as_they_are.p
    close = verdict([a, replace(a, name="other")], "ood_mean")
    assert close is not None and close.outcome == "no winner"
    if seeds[0] == 1:
        assert close.sentence.startswith("No winner among these runs: finetune")


def test_a_method_that_no_seed_changes_needs_one_run() -> None:
    a, probe = contender("lpft", 0.8), contender("probe", 0.5, 1, fixed=True)
    found = verdict([probe, a], "ood_mean")
    assert found is not None and (found.outcome, found.scope, found.one_seed) == ("winner", "methods", ())
    assert a.correct and probe.correct
    assert found.p == method_difference(a.correct, probe.correct, fixed=(False, True)).p


def test_what_was_measured_on_other_data_is_not_compared() -> None:
    """Not even where only the last is on other data."""
    others = [contender("a", 0.8), contender("b", 0.6), replace(contender("c", 0.5), data="other")]
    found = verdict(others, "ood_mean")
    assert found is not None and (found.outcome, found.scope, found.p) == ("not comparable", None, None)
    assert found.sentence.startswith("No verdict: a (runs/a) has the highest OOD mean")
    assert "not all measured on the same data" in found.sentence and "points" not in found.sentence


def test_without_predictions_nothing_is_tested() -> None:
    found = verdict([contender("a", 0.8), replace(contender("b", 0.6), correct=None)], "ood_mean")
    assert found is not None and (found.outcome, found.interval) == ("not tested", None)
    assert "cannot be tested" in found.sentence
    with pytest.raises(ValueError, match="predictions"):
        difference_of(contender("a", 0.8), replace(contender("b", 0.6), correct=None))


def test_nothing_is_held_against_one_alone_and_of_equals_the_first_leads() -> None:
    assert verdict([contender("a", 0.8)], "ood_mean") is None and verdict([], "ood_mean") is None
    one = contender("a", 0.8)
    found = verdict([one, replace(one, name="b")], "ood_mean")
    assert found is not None and (found.leader, found.outcome, found.p) == ("a", "no winner", 1.0)
    assert "0.0 points more than b" in found.sentence
