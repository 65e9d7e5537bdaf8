"""The time left and the place among the runs, on a clock that only the tests move, against sums written out."""

import pytest

from ftcli.console.overall import Overall, duration
from ftcli.console.time_left import TimeLeft
from ftcli.workload import EPOCH_PASS, EVALUATION, PASS, STEP, Loop, SearchWork


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Command:
    """A command as the display sees it: each batch takes its seconds."""

    def __init__(self, **searches: SearchWork) -> None:
        self.clock = Clock()
        self.overall = Overall(self.clock)
        self.overall.plan(searches, "run")

    def loop(self, kind: str, *seconds: float, after: float = 0.0) -> None:
        """A loop of batches that take so many seconds each; `after` pass before anything else begins."""
        self.overall.time_left.begin((self.overall.search, kind))
        for each in seconds:
            self.clock.now += each
            self.overall.time_left.batch()
        self.clock.now += after

    def epoch(self, step: float, one_pass: float) -> None:
        self.loop(STEP, *[step] * 5)
        self.loop(EPOCH_PASS, *[one_pass] * 3)

    @property
    def left(self) -> float | None:
        return self.overall.time_left.seconds()


def search(runs: int = 2, epochs: int = 3, evaluation: int = 0, step: float = 3.0) -> SearchWork:
    """Epochs of 5 steps and a pass of 3 batches."""
    return SearchWork(runs, epochs, {STEP: Loop(5, step), EPOCH_PASS: Loop(3, 1.0)}, evaluation)


def test_nothing_is_said_before_there_is_a_basis() -> None:
    command = Command(a=search())
    assert command.left is None
    command.overall.begin_search("a")
    command.overall.begin_run(0, 3, False, False)
    assert command.left is None
    command.loop(STEP, 50.0, 20.0)  # the first two steps: decoding, the frozen part, memory
    assert command.left is None


def test_the_first_batches_are_not_typical() -> None:
    command = Command(a=search())
    command.overall.begin_search("a")
    command.overall.begin_run(0, 3, False, False)
    command.loop(STEP, 50.0, 20.0, 2.0, 2.0)
    # One step of this epoch and 5 of five more at 2 s; passes were not seen, and cost a third of a step.
    assert command.left == pytest.approx((1 + 25) * 2.0 + 18 * 2.0 / 3)


def test_the_sum_over_runs_epochs_and_evaluation() -> None:
    command = Command(a=search(runs=2, epochs=3, evaluation=7))
    command.overall.begin_search("a")
    command.overall.begin_run(0, 3, False, False)
    command.loop(STEP, 9.0, 9.0, 2.0, 2.0, 2.0, after=0.6)  # 0.6 s: the losses are read
    command.loop(EPOCH_PASS, 4.0, 4.0, 0.5, after=0.1)
    command.epoch(step=2.0, one_pass=0.5)
    step = (3 * 2.0 + 0.6 + 5 * 2.0) / 8
    one_pass = (0.5 + 0.1 + 3 * 0.5) / 4
    # The evaluation was not seen: its batches by their cost, as all that was seen.
    rate = (8 * step + 4 * one_pass) / (8 * 3.0 + 4 * 1.0)
    assert command.left == pytest.approx(4 * 5 * step + 4 * 3 * one_pass + 7 * rate)


def test_a_run_that_ends_early_takes_its_share_away() -> None:
    command = Command(a=search(runs=3, epochs=4))
    command.overall.begin_search("a")
    command.overall.begin_run(0, 4, False, False)
    for _ in range(2):
        command.epoch(step=1.0, one_pass=1.0)
    command.overall.begin_run(0, 4, False, False)  # the first one has diverged
    assert command.left == pytest.approx(2 * 4 * 8 * 1.0)
    assert command.overall.name() == "run 2 of 3"
    assert command.overall.share_done() == pytest.approx(1 / 3)


def test_finished_and_resumed_runs_are_not_ahead() -> None:
    command = Command(a=search(runs=3, epochs=4))
    command.overall.begin_search("a")
    command.overall.begin_run(4, 4, True, True)
    assert command.overall.resumed
    command.overall.begin_run(3, 4, True, False)
    assert command.overall.name() == "run 2 of 3" and command.overall.share_done() == pytest.approx(7 / 12)
    command.loop(STEP, 1.0, 1.0, 1.0, 1.0, 1.0)
    command.loop(EPOCH_PASS, 1.0, 1.0, 1.0)
    assert command.left == pytest.approx(4 * 8 * 1.0)


def test_choices_that_were_not_seen_go_by_their_costs() -> None:
    command = Command(all=search(1, 2, step=3.0), head=search(1, 2, step=1.5))
    command.overall.begin_search("all")
    command.overall.begin_run(0, 2, False, False)
    command.epoch(6.0, 1.0)
    command.epoch(6.0, 1.0)
    command.overall.begin_search("head")
    assert command.left == pytest.approx(10 * 3.0 + 6 * 1.0)
    command.overall.begin_run(0, 2, False, False)
    command.epoch(1.0, 1.0)
    assert command.left == pytest.approx(5 * 1.0 + 3 * 1.0)  # its own time, now that it has been seen


def test_evaluation_ends_at_nothing_and_never_below() -> None:
    command = Command(a=search(1, 1, evaluation=4))
    command.overall.begin_search("a")
    command.overall.begin_run(0, 1, False, False)
    command.epoch(1.0, 1.0)
    command.overall.begin_stage(EVALUATION)
    assert command.overall.name() == EVALUATION
    for _ in range(3):
        command.loop(PASS, *[1.0] * 4)
        assert command.left == 0.0 and command.overall.share_done() == 1.0


def test_an_estimate_is_not_taken_back() -> None:
    """At the end most of what is left was not seen yet: it goes by its costs, as before."""
    command = Command(a=search(1, 2, evaluation=40))
    command.overall.begin_search("a")
    command.overall.begin_run(0, 2, False, False)
    command.loop(STEP, 3.0, 3.0, 3.0, 3.0)
    assert command.left is None  # 6 steps and 6 batches of passes against 40 batches of the evaluation
    other = Command(a=search(1, 9, evaluation=40))
    other.overall.begin_search("a")
    other.overall.begin_run(0, 9, False, False)
    for _ in range(9):
        other.epoch(3.0, 1.0)
        assert other.left is not None
    other.overall.begin_stage(EVALUATION)
    assert other.left == pytest.approx(40 * 1.0)


def test_the_probe_before_the_runs_is_no_evaluation() -> None:
    """Passes for the features, before or after the plan is known, leave the evaluation ahead."""
    command = Command(a=search(1, 1, evaluation=4))
    command.overall.begin_stage("exact probe")
    command.loop(PASS, *[1.0] * 4)
    assert command.overall.time_left.ahead[(EVALUATION, PASS)] == 4 and command.left is None


def test_old_loops_are_forgotten() -> None:
    clock = Clock()
    left = TimeLeft(clock)
    left.expect(("", STEP), 1000, 1.0)
    for seconds in [9.0] * 5 + [1.0] * 8:  # the machine was busy in the beginning
        left.begin(("", STEP))
        for _ in range(4):
            clock.now += seconds
            left.batch()
    left.end()
    assert left.seconds() == pytest.approx((1000 - 52) * 1.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1 s"), (4.4, "4 s"), (12.0, "10 s"), (44.0, "45 s"), (89.0, "90 s"), (95.0, "2 min"),
        (720.0, "12 min"), (5300.0, "88 min"), (5500.0, "1.5 h"), (8000.0, "2 h"), (40000.0, "11 h"),
    ],
)  # fmt: skip
def test_durations_are_rounded(seconds: float, text: str) -> None:
    assert duration(seconds) == text
