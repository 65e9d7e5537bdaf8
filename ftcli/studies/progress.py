"""The progress of a study on stderr: one bar over all cells on a terminal, and a line for each cell that ends."""

import time
from collections.abc import Mapping, Sequence
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ftcli.console.overall import duration
from ftcli.console.progress import ConsoleLog
from ftcli.studies.cells import Cell
from ftcli.studies.time import CellWork

LEAST_SHARE = 0.02  # of the work, done before the time that is left is told


class StudyProgress:
    """Shows how far the cells are. work: of each cell, by name; slots: cells that run at the same time."""

    def __init__(self, log: ConsoleLog, cells: Sequence[Cell], work: Mapping[str, CellWork], slots: int) -> None:
        self.log, self.work, self.slots = log, work, slots
        self.cells, self.over = len(cells), 0
        self.whole = sum(work[cell.name].seconds for cell in cells)
        self.done = 0.0  # seconds of work of the cells that have ended
        self.began = time.monotonic()
        self.bar = Progress(
            TextColumn("study"), BarColumn(40), MofNCompleteColumn(), TextColumn("cells"),
            TextColumn("{task.fields[left]}"), console=log.console, transient=True,
            disable=log.quiet or not log.console.is_terminal,
        )  # fmt: skip
        self.task = self.bar.add_task("study", total=self.cells, left="")

    def __enter__(self) -> Self:
        if not self.bar.disable:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self.bar.disable:
            self.bar.stop()

    def begin(self, cell: Cell) -> None:
        """A cell begins; nothing is said until it has ended."""

    def interrupted(self, cell: Cell) -> None:
        self.log.note(f"{cell.name}: its process was killed; it goes on from its saved state")

    def end(self, cell: Cell, seconds: float, problem: str | None) -> None:
        """A cell has ended. problem: what it said, where it failed."""
        self.over += 1
        self.done += self.work[cell.name].seconds
        if problem is None:
            self.log.note(f"cell {self.over} of {self.cells}: {cell.name}, {duration(seconds)}")
        else:
            self.log.warn("cell-failed", f"cell {self.over} of {self.cells}: {cell.name} failed: {problem}")

    def show(self, epochs: Mapping[str, int]) -> None:
        """Move the bar. epochs: that the running cells have done, by name."""
        running = sum(self.work[name].seconds_of(done) for name, done in epochs.items())
        self.bar.update(self.task, completed=self.over, left=self.left(self.done + running))

    def left(self, done: float) -> str:
        """The time that is left, in words: as the work that is done has taken."""
        if not self.whole or done < LEAST_SHARE * self.whole:
            return ""
        elapsed = time.monotonic() - self.began
        return f"about {duration(elapsed * (self.whole - done) / done)} left"
