"""The time of a study, before and while it runs, held against sums by hand."""

import json
from collections.abc import Mapping

import pytest

from ftcli.console.json_lines import JsonLog
from ftcli.console.progress import ConsoleLog
from ftcli.studies.cells import Cell
from ftcli.studies.progress import StudyProgress
from ftcli.studies.time import START_SECONDS, CellWork, total_seconds


def cell(name: str, first: str = "") -> Cell:
    return Cell(name, "data", "finetune", 0, ("finetune",), first)


FOUR = [cell("a"), cell("b", "a"), cell("c", "a"), cell("d", "a")]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "slots", "expected"),
    [
        ({"a": 10, "b": 10, "c": 10, "d": 10}, 1, 40),
        ({"a": 10, "b": 10, "c": 10, "d": 10}, 2, 30),  # the first alone, two together, the last alone
        ({"a": 10, "b": 10, "c": 10, "d": 10}, 9, 20),
        ({"a": 5, "b": 30, "c": 10, "d": 10}, 2, 35),
        ({"a": 5, "b": 10, "c": 10, "d": 30}, 2, 45),
    ],
)
def test_cells_at_the_same_time(seconds: Mapping[str, float], slots: int, expected: float) -> None:
    assert total_seconds(FOUR, seconds, slots) == expected


def test_no_cell_takes_no_time() -> None:
    assert total_seconds([], {}, 2) == 0


def test_epochs_that_are_done_are_not_done_again() -> None:
    work = CellWork(START_SECONDS + 100, 10, runs=2, measured=True)
    left = work.after(4)
    assert left.seconds == pytest.approx(START_SECONDS + 60) and left.epochs == 6
    assert left.seconds_of(4, START_SECONDS) == pytest.approx(START_SECONDS)
    assert left.seconds_of(7, 50) == pytest.approx(START_SECONDS + 30)
    assert left.seconds_of(10, 50) == left.after(6).seconds_of(99, 50) + 60 == pytest.approx(START_SECONDS + 60)
    assert work.after(0) == work and CellWork(60, 0).after(3) == CellWork(60, 0)


def test_a_cell_that_only_starts_has_done_a_part_of_it() -> None:
    work = CellWork(START_SECONDS + 100, 10)
    assert work.seconds_of(0, 0) == 0
    assert work.seconds_of(0, START_SECONDS / 2) == START_SECONDS / 2
    assert work.seconds_of(0, 1000) == START_SECONDS


def progress_of(seconds: float, clock: Clock, slots: int) -> StudyProgress:
    work = {one.name: CellWork(seconds, 10, 1, measured=True) for one in FOUR}
    return StudyProgress(ConsoleLog(), FOUR, work, slots, clock)


def test_the_time_left_follows_the_pace(capsys: pytest.CaptureFixture[str]) -> None:
    """Cells of 106 s that take twice as long: at half of the first, 3.5 of them are left, one after the other."""
    clock = Clock()
    progress = progress_of(START_SECONDS + 100, clock, 1)
    assert progress.left() == "about 7 min left"  # 424 s, as estimated
    progress.begin(FOUR[0])
    clock.now = 2 * (START_SECONDS + 50)
    progress.show({"a": 5})
    whole = 2 * (50 + 3 * (START_SECONDS + 100))
    assert progress.left() == f"about {whole / 60:.0f} min left"
    clock.now = 212
    progress.end(FOUR[0], 212, None)
    assert capsys.readouterr().err == "cell 1 of 4: a, 4 min, about 11 min left\n"


def test_cells_as_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    work = {one.name: CellWork(100.0, 10, 1, measured=True) for one in FOUR}
    progress = StudyProgress(JsonLog(), FOUR, work, 1, clock)
    for one, problem in ((FOUR[0], None), (FOUR[1], "no memory")):
        progress.begin(one)
        clock.now += 100
        progress.end(one, 100.0, problem)
    first, second, warning = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert first == {
        "event": "cell", "folder": "a", "cell": 1, "cells": 4, "seconds": 100.0, "ok": True, "left_s": 300.0,
    }  # fmt: skip
    assert second["left_s"] == 200.0 and not second["ok"]
    assert warning["code"] == "cell-failed" and "no memory" in warning["text"]


def test_two_at_the_same_time_are_left_together() -> None:
    clock = Clock()
    progress = progress_of(START_SECONDS + 594, clock, 2)
    progress.begin(FOUR[0])
    clock.now = 600
    progress.end(FOUR[0], 600, None)
    progress.begin(FOUR[1])
    progress.begin(FOUR[2])
    clock.now = 600 + START_SECONDS + 297
    progress.show({"b": 5, "c": 5})
    assert progress.left() == "about 15 min left"  # 297 s of both, then the last alone


def test_a_cell_that_is_killed_does_not_slow_the_others() -> None:
    clock = Clock()
    progress = progress_of(600, clock, 1)
    progress.begin(FOUR[0])
    clock.now = 600
    progress.end(FOUR[0], 600, None)
    progress.begin(FOUR[1])
    clock.now = 700
    progress.interrupted(FOUR[1])
    assert progress.left() == "about 30 min left"


def test_the_last_cell_says_no_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    work = {"a": CellWork(60, 0)}
    progress = StudyProgress(ConsoleLog(), FOUR[:1], work, 1, clock)
    assert progress.left() == ""  # nobody knows
    progress.begin(FOUR[0])
    progress.end(FOUR[0], 5, None)
    assert capsys.readouterr().err == "cell 1 of 1: a, 5 s\n"
