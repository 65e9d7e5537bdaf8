"""How long a study takes: its commands measured on a few images, one for each kind of cell, before it starts."""

import heapq
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ftcli.errors import RequestError
from ftcli.studies.cells import Cell, Planned, epochs_of, startable
from ftcli.studies.evaluations import commands_that_open

SPREAD = 1.5  # factor either way within which the time is expected
EVALUATION_SECONDS = 15.0  # of a cell that only evaluates a model: mostly its start
START_SECONDS = 6.0  # of a process: PyTorch and timm are imported, the data and the checkpoint opened
UNMEASURED_SECONDS = 60.0  # of a cell whose time could not be measured; it only scales the bar


@dataclass(frozen=True)
class CellWork:
    """What a cell has to do.

    Attributes:
        seconds: in all, as estimated.
        epochs: of all runs together.
        measured: whether the time is more than a guess.
        before: epochs that were done in an earlier process, and are not in `epochs`.
    """

    seconds: float
    epochs: int
    runs: int = 0
    measured: bool = False
    before: int = 0

    def seconds_of(self, epochs: int, ran: float) -> float:
        """Seconds of the work that is done, of a cell with so many epochs in its history that runs for `ran` seconds:
        its start, and its share of the epochs.
        """
        started = min(ran, START_SECONDS, self.seconds)
        share = min(1.0, max(0, epochs - self.before) / self.epochs) if self.epochs else 0.0
        return started + (self.seconds - started) * share

    def after(self, epochs: int) -> "CellWork":
        """What is left after so many epochs."""
        done = min(epochs, self.epochs)
        start = min(START_SECONDS, self.seconds)
        seconds = start + (self.seconds - start) * (1 - done / self.epochs) if done else self.seconds
        return replace(self, seconds=seconds, epochs=self.epochs - done, before=self.before + done)


def work_of(cells: Sequence[Planned], study: Path) -> dict[str, CellWork]:
    """The work of every cell that is left, by name. The time is measured once for cells that differ by their seed only,
    which takes some seconds for each; sets that evaluations are on are opened.

    Raises RequestError where a command is a wrong request.
    """
    found: dict[str, CellWork] = {}
    kinds: dict[tuple[str, ...], list[Planned]] = {}
    for one in cells:
        kinds.setdefault(without_seed(one.cell.words), []).append(one)
    trained = [kind for kind, members in kinds.items() if not members[0].cell.model]
    estimates = measured([*trained, *commands_that_open(cells, study)])
    for kind, members in kinds.items():
        for one in members:
            found[one.cell.name] = work_from(one, estimates.get(kind))
    return found


def work_from(one: Planned, estimate: Mapping[str, Any] | None) -> CellWork:
    epochs = epochs_of(one.config)
    if one.cell.model:
        return CellWork(EVALUATION_SECONDS, 0, measured=True)
    time = (estimate or {}).get("time")
    if not estimate or not time:
        return CellWork(UNMEASURED_SECONDS, epochs)
    runs = int(estimate["runs"])
    if epochs:
        epochs = runs * int(estimate["config"]["epochs"])
    return CellWork(START_SECONDS + float(time["seconds"]), epochs, runs, measured=True)


def without_seed(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(word for word in words if not word.startswith("--seed="))


def measured(commands: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], Mapping[str, Any]]:
    """The answer of `--dry-run` of each command that trains, where there is one; a process carries them out one after
    the other, and of an evaluation opens the model and the sets.

    Raises RequestError where one of them is a wrong request.
    """
    if not commands:
        return {}
    try:
        answers = json.loads(answer_of_process(json.dumps(commands) + "\n"))
    except ValueError:
        return {}
    found = {command: answer for command, answer in zip(commands, answers, strict=True) if answer}
    for command, answer in found.items():
        if "problem" in answer:
            raise RequestError(f"{command[0]}: {answer['problem']}", answer["fix"])
    return found


def answer_of_process(request: str) -> str:
    """What the process that measures writes; it ends when nobody holds its stdin any more, as a cell does."""
    with subprocess.Popen(
        [sys.executable, "-m", "ftcli.studies.measure_process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdin and process.stdout
        try:
            with suppress(BrokenPipeError):  # it has ended already: no answer
                process.stdin.write(request)
                process.stdin.flush()
            return process.stdout.read()
        except BaseException:
            process.kill()
            raise


def total_seconds(cells: Iterable[Cell], seconds: Mapping[str, float], slots: int) -> float:
    """Seconds of the cells with so many at the same time, begun in the order of a study. seconds: of each, by name."""
    waiting, running, now = list(cells), list[tuple[float, str]](), 0.0
    ahead = {cell.name for cell in waiting}
    while waiting or running:
        for cell in startable(waiting, ahead, slots - len(running)):
            waiting.remove(cell)
            heapq.heappush(running, (now + seconds[cell.name], cell.name))
        now, name = heapq.heappop(running)
        ahead.discard(name)
    return now
