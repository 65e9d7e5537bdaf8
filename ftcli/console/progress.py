"""What a person sees while it runs, on stderr: live bars on a terminal, one plain line per event anywhere else."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ftcli.console.streams import Console
from ftcli.log import Log
from ftcli.processes import command_line, process_index
from ftcli.text import printable

T = TypeVar("T")


class ConsoleLog(Log):
    """Shows the events of `Log` on stderr. `quiet` leaves out all but the warnings, which a caller in Python
    finds in the report.
    """

    def __init__(self, quiet: bool = False) -> None:
        super().__init__()
        self.quiet = quiet
        self.console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self.epochs_left = self.runs = 0
        self.bars = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False), TimeRemainingColumn(),
            console=self.console, transient=True, disable=quiet or not self.console.is_terminal,
        )  # fmt: skip

    def __enter__(self) -> "ConsoleLog":
        if not self.bars.disable:  # a disabled bar would still print an empty line when it stops
            self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self.bars.disable:
            self.bars.stop()

    def say(self, text: str, *, always: bool = False) -> None:
        if always or not self.quiet:
            with keeping_on():
                self.console.print(printable(text))

    def warn(self, code: str, text: str) -> None:
        before = len(self.warnings)
        super().warn(code, text)
        if len(self.warnings) > before:
            self.say(f"warning: {text}", always=process_index() == 0 and bool(command_line.get()))

    def note(self, text: str) -> None:
        self.say(text)

    def track(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        if self.bars.disable:
            yield from items
            return
        bar, began = self.bars.add_task(printable(label), total=total, rate=""), time.perf_counter()
        try:
            for done, item in enumerate(items, 1):
                yield item
                self.bars.update(bar, advance=1, rate=f"{done / (time.perf_counter() - began):.1f}/s")
        finally:
            self.bars.remove_task(bar)

    def plan(self, runs: int, epochs: int) -> None:
        self.runs, self.epochs_left = runs, runs * epochs
        self.first = True
        self.say(f"{runs} {'run' if runs == 1 else 'runs'} of {epochs} {'epoch' if epochs == 1 else 'epochs'} each")

    def epoch(self, run: str, epoch: int, epochs: int, loss: float, accuracy: float, seconds: float) -> None:
        self.epochs_left -= 1
        self.say(f"{run}: epoch {epoch}/{epochs}, loss {loss:.4f}, ID-val {100 * accuracy:.1f} %, {seconds:.1f} s")
        if self.first and self.epochs_left:
            self.say(f"about {duration(seconds * self.epochs_left)} to go")
        self.first = False


@contextmanager
def keeping_on() -> Iterator[None]:
    """Inside, a stream that takes no more, as on a full disk, is no reason to end. One that nobody reads is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError:
        pass


def duration(seconds: float) -> str:
    """A length of time as a person says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
