"""What a person sees on stderr while a command runs: live bars on a terminal, one line per event anywhere else."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, TypeVar

from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.progress_bar import ProgressBar
from rich.table import Table

from ftcli.console.overall import Overall, duration
from ftcli.console.streams import Console, ignoring_full_disk
from ftcli.console.timed import TimedLog
from ftcli.log import EpochEnd
from ftcli.safe_text import counted, printable
from ftcli.workload import SearchWork

T = TypeVar("T")

WIDEST_BAR, NARROWEST_BAR = 40, 8  # columns
BESIDE_BAR = 58  # columns that the other parts of a line take, with a name of usual length
FIGURES = 27  # columns behind the bar: batches, rate, time


class Bars(Progress):
    """A bar for every loop that runs, and below them a line for the whole command."""

    def __init__(self, overall: Overall, bar_width: int, **options: Any) -> None:
        self.overall, self.bar_width = overall, bar_width
        super().__init__(
            TextColumn("{task.description}", markup=False), BarColumn(bar_width), MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False), TimeRemainingColumn(), **options,
        )  # fmt: skip

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if name := self.overall.name():
            seconds = self.overall.time_left.seconds()
            left = "" if seconds is None else f"about {duration(seconds)} left"
            line = Table.grid(padding=(0, 1))
            line.add_row(name, ProgressBar(1.0, self.overall.share_done(), width=self.bar_width), left)
            yield line


class ConsoleLog(TimedLog):
    """Shows the events of `Log` on stderr. `quiet` leaves out all but the warnings, which a caller in Python
    finds in the report; `bars`: on a terminal, bars show the progress too.
    """

    def __init__(self, quiet: bool = False, bars: bool = True) -> None:
        super().__init__()
        self.quiet = quiet
        self.console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self.said_resumed = self.said_time_left = False
        width = max(NARROWEST_BAR, min(WIDEST_BAR, self.console.width - BESIDE_BAR))
        self.bars = Bars(
            self.overall, width, console=self.console, transient=True,
            disable=quiet or not bars or not self.console.is_terminal,
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
            self.print_line(f"warning: {text}", always=self.warns_always)

    def note(self, text: str) -> None:
        self.print_line(text)

    def track(self, items: Iterable[T], label: str, total: int | None = None, kind: str = "") -> Iterator[T]:
        """Show the progress of a loop; where it has a kind, its time goes into the time left of the command."""
        items = super().track(items, label, total, kind)
        if self.bars.disable:
            yield from items
            return
        name = in_columns(printable(label), self.console.width - self.bars.bar_width - FIGURES)
        bar, began = self.bars.add_task(name, total=total, rate=""), time.perf_counter()
        try:
            for done, item in enumerate(items, 1):
                yield item
                self.bars.update(bar, advance=1, rate=f"{done / (time.perf_counter() - began):.1f}/s")
        finally:
            self.bars.remove_task(bar)

    def plan(self, searches: Mapping[str, SearchWork], noun: str = "run") -> None:
        super().plan(searches, noun)
        if noun == "run" and searches:
            epochs = next(iter(searches.values())).epochs
            line = f"{counted(self.overall.runs, 'run', 'runs')} of {counted(epochs, 'epoch', 'epochs')} each"
            self.print_line(line + halved(searches.values()))

    def begin_run(
        self, done: int, total: int, *, unit: str = "epoch", resumed: bool = False, finished: bool = False,
        since: int = 0, until: int | None = None, name: str = "", ended: Sequence[EpochEnd] = (),
    ) -> None:  # fmt: skip
        super().begin_run(
            done, total, unit=unit, resumed=resumed, finished=finished, since=since, until=until, name=name, ended=ended
        )
        if self.overall.resumed and not finished and not self.said_resumed:
            self.said_resumed = True
            self.print_line(f"Resuming at {unit} {min(done + 1, total)} of {total}, {self.overall.name()}")

    def epoch(self, event: EpochEnd) -> None:
        super().epoch(event)
        line = event.line
        if line["loss"] is None:  # epoch 0: nothing has trained yet
            return
        figures = f"loss {line['loss']:.4f}, ID-val {100 * line['id_val']['accuracy']:.1f} %, {line['seconds']:.1f} s"
        self.print_line(f"{event.run}: epoch {line['epoch']}/{event.epochs}, {figures}")
        left = self.overall.time_left.seconds()
        if left is not None and not self.said_time_left and self.bars.disable:
            self.said_time_left = True
            self.print_line(f"about {duration(left)} to go")


def halved(searches: Iterable[SearchWork]) -> str:
    """What `--budget` leaves of the epochs of all searches; empty without it."""
    bounds = [work.bounds for work in searches if work.bounds]
    low, high = (sum(ends) for ends in zip(*bounds, strict=True)) if bounds else (0, 0)
    if not bounds:
        return ""
    return f" at most, {counted(low, 'epoch', 'epochs') if low == high else f'{low} to {high} epochs'} in all"


def in_columns(text: str, columns: int) -> str:
    """The text; of one that is too long its beginning and its end, which tell paths and epochs apart."""
    if len(text) <= columns:
        return text
    head = max(1, columns // 3)
    return f"{text[:head]}…{text[len(text) - max(1, columns - head - 1) :]}"
