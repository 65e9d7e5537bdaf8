"""Events of a run: warnings, notes, progress. `Log` collects the warnings; subclasses show all events."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ftcli.workload import SearchWork

T = TypeVar("T")


@dataclass(frozen=True)
class EpochEnd:
    """An epoch of a run has ended.

    run: the name of the run. epochs: how many it has. line: the epoch's line of history.jsonl. rate: the learning rate
    in its last step; None of epoch 0, before training.
    """

    run: str
    epochs: int
    line: Mapping[str, Any]
    rate: float | None


class Log:
    """Collects warnings for the report, and drops every other event; subclasses override the methods to show them.

    listeners: called with every epoch that ends, and, where a run is resumed, with its earlier epochs once more.
    """

    def __init__(self) -> None:
        self.warnings: list[dict[str, str]] = []
        self.listeners: list[Callable[[EpochEnd], None]] = []

    def warn(self, code: str, text: str) -> None:
        """Something that the reader of the report must know; noted once, however often it happens."""
        if (entry := {"code": code, "text": text}) not in self.warnings:
            self.warnings.append(entry)

    def note(self, text: str) -> None:
        """Something that is of use only while the command runs."""

    def track(self, items: Iterable[T], label: str, total: int | None = None, kind: str = "") -> Iterator[T]:
        """Iterate over `items`, showing the progress. kind: of the loops in workload.py; others are not timed."""
        yield from items

    def plan(self, searches: Mapping[str, SearchWork], noun: str = "run") -> None:
        """What will be done, by the names of the searches. noun: what one run of them is called."""

    def begin_search(self, name: str) -> None:
        """The runs that follow are of this search, one of the plan's."""

    def begin_run(
        self, done: int, total: int, *, unit: str = "epoch", resumed: bool = False, finished: bool = False,
        since: int = 0, until: int | None = None, name: str = "", ended: Sequence[EpochEnd] = (),
    ) -> None:  # fmt: skip
        """A run begins, or is resumed after `done` whole units of its `total`; one that was finished is passed over.

        since, until: the units between which a run goes that pauses. since = 0: it has not been begun before.
        ended: the epochs since then that were trained before it was resumed.
        """
        for event in ended:
            self.tell(event)

    def leave_out(self, epochs: int, runs: int = 0) -> None:
        """Of what is planned for the search, so many epochs will not be trained, and so many runs not be begun."""

    def begin_stage(self, name: str) -> None:
        """What follows is no run: the exact probe, or the evaluation at the end."""

    def epoch(self, event: EpochEnd) -> None:
        """An epoch of a run has ended."""
        self.tell(event)

    def tell(self, event: EpochEnd) -> None:
        """Call every listener."""
        for listener in self.listeners:
            listener(event)
