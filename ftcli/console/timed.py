"""A log that knows how far the whole command is, and how much time is left, from the time of its loops."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from ftcli.console.overall import Overall
from ftcli.log import EpochEnd, Log
from ftcli.processes import command_line, process_index
from ftcli.workload import SearchWork

T = TypeVar("T")


class TimedLog(Log):
    """Subclasses show the events. overall: where the command is."""

    def __init__(self) -> None:
        super().__init__()
        self.overall = Overall()

    @property
    def warns_always(self) -> bool:
        """Whether warnings are shown even where nothing else is: not to a caller in Python, who gets them."""
        return process_index() == 0 and bool(command_line.get())

    def timed(self, items: Iterable[T], kind: str) -> Iterator[T]:
        """The items of a loop whose time tells how much time is left."""
        time_left = self.overall.time_left
        time_left.begin((self.overall.search, kind))
        for item in items:
            yield item
            time_left.batch()

    def track(self, items: Iterable[T], label: str, total: int | None = None, kind: str = "") -> Iterator[T]:
        """Iterate over a loop; where it has a kind, its time goes into the time left of the command."""
        yield from self.timed(items, kind) if kind else items

    def plan(self, searches: Mapping[str, SearchWork], noun: str = "run") -> None:
        self.overall.plan(searches, noun)

    def begin_search(self, name: str) -> None:
        self.overall.begin_search(name)

    def begin_run(
        self, done: int, total: int, *, unit: str = "epoch", resumed: bool = False, finished: bool = False,
        since: int = 0, until: int | None = None, name: str = "", ended: Sequence[EpochEnd] = (),
    ) -> None:  # fmt: skip
        self.overall.begin_run(done, total, resumed, finished, since, until)
        super().begin_run(
            done, total, unit=unit, resumed=resumed, finished=finished, since=since, until=until, name=name, ended=ended
        )

    def leave_out(self, epochs: int, runs: int = 0) -> None:
        self.overall.leave_out(epochs, runs)

    def begin_stage(self, name: str) -> None:
        self.overall.begin_stage(name)
