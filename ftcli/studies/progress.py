"""The progress of a study on stderr: one bar over all cells on a terminal, and a line for each cell that ends."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from rich.progress import BarColumn, Progress, TextColumn

from ftcli.console.json_lines import JsonLog
from ftcli.console.overall import duration
from ftcli.console.progress import NARROWEST_BAR, WIDEST_BAR, ConsoleLog
from ftcli.studies.cells import Cell
from ftcli.studies.time import CellWork, total_seconds

LEAST_SHARE = 0.02  # of the work, done before the time that is left follows the pace of the cells
BESIDE_BAR = 44  # columns that the other parts of the line take
SHOWN_EVERY = 2.0  # seconds


class StudyProgress:
    """Shows how far the cells are. work: of each cell, by name; slots: cells that run at the same time."""

    def __init__(
        self, log: ConsoleLog | JsonLog, cells: Sequence[Cell], work: Mapping[str, CellWork], slots: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.log, self.work, self.slots, self.clock = log, work, slots, clock
        self.ahead = {cell.name: cell for cell in cells}  # those that have not ended
        self.cells, self.over = len(cells), 0
        self.whole = sum(work[cell.name].seconds for cell in cells)
        self.done = self.spent = 0.0  # seconds of work of the cells that have ended, and those that they took
        self.began: dict[str, float] = {}  # of the running cells
        self.epochs: Mapping[str, int] = {}
        self.shown = -SHOWN_EVERY
        console = None if isinstance(log, JsonLog) else log.console
        width = max(NARROWEST_BAR, min(WIDEST_BAR, console.width - BESIDE_BAR)) if console else NARROWEST_BAR
        self.bar = Progress(
            TextColumn("study"), BarColumn(width), TextColumn("{task.fields[over]} of {task.fields[cells]} cells"),
            TextColumn("{task.fields[left]}"), console=console, transient=True,
            disable=log.quiet or console is None or not console.is_terminal,
        )  # fmt: skip
        self.task = self.bar.add_task("study", total=self.whole, cells=self.cells, over=0, left="")

    def __enter__(self) -> Self:
        if not self.bar.disable:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self.bar.disable:
            self.bar.stop()

    def begin(self, cell: Cell) -> None:
        """A cell begins, or begins again; nothing is said until it has ended."""
        self.began[cell.name] = self.clock()

    def interrupted(self, cell: Cell) -> None:
        self.began.pop(cell.name, None)
        self.log.note(f"{cell.name}: its process was killed; it goes on from its saved state")

    def end(self, cell: Cell, seconds: float, problem: str | None) -> None:
        """A cell has ended. problem: what it said, where it failed."""
        self.over += 1
        self.done += self.work[cell.name].seconds
        self.spent += seconds
        self.began.pop(cell.name, None)
        self.ahead.pop(cell.name)
        which = f"cell {self.over} of {self.cells}: {cell.name}"
        if isinstance(self.log, JsonLog):
            values = {"folder": cell.name, "cell": self.over, "cells": self.cells, "seconds": round(seconds, 3)}
            self.log.write("cell", values | {"ok": problem is None, "left_s": self.seconds_left()})
        elif problem is None:
            left = self.left() if self.ahead else ""
            self.log.note(", ".join(filter(None, [which, duration(seconds), left])))
        if problem is not None:
            self.log.warn("cell-failed", f"{which} failed: {problem}")

    def show(self, epochs: Mapping[str, int]) -> None:
        """Move the bar. epochs: in the histories of the running cells, by name."""
        self.epochs = epochs
        if not self.bar.disable and self.clock() >= self.shown + SHOWN_EVERY:
            self.shown = self.clock()
            done = self.done + sum(self.running().values())
            self.bar.update(self.task, completed=done, over=self.over, left=self.left())

    def running(self) -> dict[str, float]:
        """Seconds of the work of every running cell that are done, by name."""
        now = self.clock()
        return {
            name: self.work[name].seconds_of(self.epochs.get(name, 0), now - began)
            for name, began in self.began.items()
        }

    def left(self) -> str:
        """The time that is left, in words; empty where it is not known."""
        seconds = self.seconds_left()
        return "" if seconds is None else f"about {duration(seconds)} left"

    def seconds_left(self) -> float | None:
        """The time that is left: as estimated, at the pace of the work that is done; None before there is any, where
        the time of a cell could not be measured.
        """
        running = self.running()
        done = self.done + sum(running.values())
        if done < LEAST_SHARE * self.whole:
            if not all(one.measured for one in self.work.values()):
                return None
            pace = 1.0
        else:
            now = self.clock()
            pace = (self.spent + sum(now - began for began in self.began.values())) / done
        seconds = {name: self.work[name].seconds - running.get(name, 0.0) for name in self.ahead}
        return round(pace * total_seconds(self.ahead.values(), seconds, self.slots), 1)
