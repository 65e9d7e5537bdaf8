"""What a person sees on stderr while a command runs: live bars on a terminal, one line per event anywhere else."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Self, TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ftcli.console.streams import Console
from ftcli.log import Log
from ftcli.processes import command_line, process_index
from ftcli.safe_text import counted, printable

T = TypeVar("T")


class ConsoleLog(Log):
    """Shows the events of `Log` on stderr. `quiet` leaves out all but the warnings, which a caller in Python
    finds in the report.
    """

    def __init__(self, quiet: bool = False) -> None:
        super().__init__()
        self.quiet = quiet
        self.console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self.epochs_left = 0
        self.first_epoch = False
        self.bars = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False), TimeRemainingColumn(),
            console=self.console, transient=True, disable=quiet or not self.console.is_terminal,
        )  # fmt: skip

    def __enter__(self) -> Self:
        if not self.bars.disable:  # a disabled bar would still print an empty line when it stops
            self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self.bars.disable:
            self.bars.stop()

    def print_line(self, text: str, *, always: bool = False) -> None:
        if always or not self.quiet:
            with ignoring_full_disk():
                self.console.print(printable(text))

    def warn(self, code: str, text: str) -> None:
        before = len(self.warnings)
        super().warn(code, text)
        if len(self.warnings) > before:
            self.print_line(f"warning: {text}", always=process_index() == 0 and bool(command_line.get()))

    def note(self, text: str) -> None:
        self.print_line(text)

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
        self.epochs_left = runs * epochs
        self.first_epoch = True
        self.print_line(f"{counted(runs, 'run', 'runs')} of {counted(epochs, 'epoch', 'epochs')} each")

    def epoch(self, run: str, epoch: int, epochs: int, loss: float, accuracy: float, seconds: float) -> None:
        self.epochs_left -= 1
        figures = f"loss {loss:.4f}, ID-val {100 * accuracy:.1f} %, {seconds:.1f} s"
        self.print_line(f"{run}: epoch {epoch}/{epochs}, {figures}")
        if self.first_epoch and self.epochs_left:
            self.print_line(f"about {duration(seconds * self.epochs_left)} to go")
        self.first_epoch = False


@contextmanager
def ignoring_full_disk() -> Iterator[None]:
    """Inside, a stream that cannot be written to, as on a full disk, is no error. One that nobody reads is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError:
        pass


def duration(seconds: float) -> str:
    """A length of time in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
