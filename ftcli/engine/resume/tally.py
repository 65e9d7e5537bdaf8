"""Counts that are taken once: what an earlier start of the same command has counted is known."""

from collections.abc import Callable

from ftcli.engine.resume.checkpointer import Journal


class Tally:
    """Numbers by name, with those in the state `name` of the journal, where it has one."""

    def __init__(self, journal: Journal | None, name: str) -> None:
        self.journal, self.name = journal, name
        self.known: dict[str, int] = {}
        if journal:
            journal.attended = True
            if part := journal.find(name):
                with journal.trusting(name):
                    self.known |= {key: int(value) for key, value in part.said.items()}

    def count(self, what: str, work: Callable[[], int]) -> int:
        """What `work` counts, unless it is known. Raises Stopped where that is wished, with all of it saved."""
        if what not in self.known:
            self.known[what] = work()
            if self.journal and self.journal.due():
                self.journal.save(self.name, {}, self.known)
                self.journal.check()
        return self.known[what]

    def close(self) -> None:
        """No more counts."""
        if self.journal:
            self.journal.rest()
