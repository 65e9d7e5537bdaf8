"""Counts that are taken once: what an earlier start of the same command has counted is known."""

from collections.abc import Callable

from ftcli.engine.resume.checkpointer import Checkpointer


class Tally:
    """Numbers by name, with those in the state `name` of the journal, where it has one."""

    def __init__(self, checkpointer: Checkpointer | None, name: str) -> None:
        self.checkpointer, self.name = checkpointer, name
        self.known: dict[str, int] = {}
        if checkpointer:
            checkpointer.attended = True
            if part := checkpointer.find(name):
                with checkpointer.trusting(name):
                    self.known |= {key: int(value) for key, value in part.said.items()}

    def count(self, what: str, work: Callable[[], int]) -> int:
        """What `work` counts, unless it is known. Raises Stopped where that is wished, with all of it saved."""
        if what not in self.known:
            self.known[what] = work()
            if self.checkpointer and self.checkpointer.due():
                self.checkpointer.save(self.name, {}, self.known)
                self.checkpointer.check()
        return self.known[what]

    def close(self) -> None:
        """No more counts."""
        if self.checkpointer:
            self.checkpointer.rest()
