"""Events of a run: warnings, notes, progress. `Log` collects the warnings; subclasses show all events."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


class Log:
    """Collects warnings for the report, and drops every other event; subclasses override the methods to show them."""

    def __init__(self) -> None:
        self.warnings: list[dict[str, str]] = []

    def warn(self, code: str, text: str) -> None:
        """Something that the reader of the report must know; noted once, however often it happens."""
        if (entry := {"code": code, "text": text}) not in self.warnings:
            self.warnings.append(entry)

    def note(self, text: str) -> None:
        """Something that is of use only while the command runs."""

    def track(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        """Iterate over `items`, showing the progress."""
        yield from items

    def plan(self, runs: int, epochs: int) -> None:
        """A grid starts: its number of runs, and epochs in each."""

    def epoch(self, run: str, epoch: int, epochs: int, loss: float, accuracy: float, seconds: float) -> None:
        """An epoch of a run has ended: mean training loss, ID-val accuracy (a fraction), seconds."""
