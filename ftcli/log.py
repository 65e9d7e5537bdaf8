"""What the work says while it goes on. `Log` only collects; report.progress draws the same events for a person."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


class Log:
    """A silent collector: warnings are kept for the report, everything else is dropped.

    Subclasses override the four methods to show things; the engine, the data and the models know only these.
    """

    def __init__(self) -> None:
        self.warnings: list[dict[str, str]] = []

    def warn(self, code: str, text: str) -> None:
        """Something the reader of the report must know. Said once, however often it happens."""
        if (entry := {"code": code, "text": text}) not in self.warnings:
            self.warnings.append(entry)

    def note(self, text: str) -> None:
        """Something that helps while waiting and is of no use later."""

    def track(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        """Go through `items`, showing how far it is."""
        yield from items

    def plan(self, runs: int, epochs: int) -> None:
        """A grid is about to start: so many runs of so many epochs each."""

    def epoch(self, run: str, epoch: int, epochs: int, loss: float, accuracy: float, seconds: float) -> None:
        """One epoch of one run is over: mean training loss, ID-val accuracy (a fraction), seconds."""
