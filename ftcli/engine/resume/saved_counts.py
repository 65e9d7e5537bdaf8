"""Counts that an interrupted command does not take again."""

from collections.abc import Callable

from ftcli.engine.resume.checkpointer import Checkpointer, RunCheckpoint, SavedState


class SavedCounts:
    """Whole numbers by name, with those that an earlier start of the same command has saved under `run`."""

    def __init__(self, checkpointer: Checkpointer | None, run: str) -> None:
        self.known: dict[str, int] = {}
        self.checkpoint = RunCheckpoint(checkpointer, run, lambda: SavedState({}, self.known))
        self.checkpoint.restore(self.load)
        self.checkpoint.begin_steps()

    def load(self, saved: SavedState) -> None:
        self.known = {name: int(value) for name, value in saved.values.items()}

    def count(self, name: str, work: Callable[[], int]) -> int:
        """The number that `work` gives, unless it is known. Raises Stopped where a signal asks for the end."""
        if name not in self.known:
            self.known[name] = work()
            self.checkpoint.after_step()
        return self.known[name]

    def known_of(self, prefix: str) -> int:
        """How many counts are known whose names begin with `prefix` and a space."""
        return sum(name.startswith(f"{prefix} ") for name in self.known)

    def close(self) -> None:
        """No more counts follow. Raises Stopped where a signal asks for the end."""
        self.checkpoint.end_steps()
