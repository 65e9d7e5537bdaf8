"""The runs of one seed, fitted to a rung or to the end; only the best weights are kept, in memory and on disk.

Where they are averaged later, those of every run that has come to its end stay on disk.
"""

from collections.abc import Callable
from dataclasses import replace

from msgspec import structs

from ftcli.engine.select import best
from ftcli.engine.training_run import Run
from ftcli.engine.types import RunRecord


class SeedRuns:
    """The runs of one seed, by rate.

    fit: (lr, since, until) -> the run, trained from epoch `since`, where it was paused, to `until`. drop: drops the
    saved weights of a rate's run. keep: whether it does not, where the run has come to its end. pick: the best run of
    those that are over, with its weights.
    """

    def __init__(
        self, seed: int, epochs: int, fit: Callable[[float, int, int], Run], drop: Callable[[float], None],
        *, keep: bool = False,
    ) -> None:  # fmt: skip
        self.seed, self.epochs, self.fit, self.drop, self.keep = seed, epochs, fit, drop, keep
        self.runs: dict[float, Run] = {}  # without weights, except for the pick's
        self.eliminated: dict[float, int] = {}  # after which epoch; of a rate that has not gone on since
        self.pick: Run | None = None

    def advance(self, lr: float, since: int, until: int) -> None:
        """Train the run of a rate up to an epoch. One that pauses there has its weights in its saved state only."""
        self.runs[lr] = without_weights(self.fit(lr, since, until))

    def finish(self, lr: float, since: int = 0, *, spare: float | None = None) -> None:
        """Train the run of a rate to its end; it becomes the pick or its weights are dropped."""
        self.eliminated.pop(lr, None)
        self.settle(self.fit(lr, since, self.epochs), spare)

    def end(self, lr: float) -> None:
        """A paused run goes no further: it becomes the pick or its weights are dropped."""
        run, at = self.runs[lr], self.eliminated[lr]
        self.settle(self.fit(lr, at, at) if self.beats_pick(run) else run)

    def settle(self, run: Run, spare: float | None = None) -> None:
        """A run is over. spare: the rate of a run whose weights are kept although another beats it."""
        beaten: Run | None = run
        if self.beats_pick(run):
            beaten, self.pick = self.pick, run
        self.runs[run.lr] = run
        if beaten:
            self.runs[beaten.lr] = without_weights(beaten)
            if beaten.lr != spare and (not self.keep or beaten.lr in self.eliminated):
                self.drop(beaten.lr)

    def beats_pick(self, run: Run) -> bool:
        if run.candidate is None:
            return False
        held = self.pick.candidate if self.pick else None
        return held is None or best([held, run.candidate]) is run.candidate

    def records(self) -> list[RunRecord]:
        """The report's `runs`, by rate."""
        runs = sorted(self.runs.values(), key=lambda run: run.lr)
        return [
            structs.replace(run.record(), eliminated=self.eliminated[run.lr])
            if run.lr in self.eliminated
            else run.record()
            for run in runs
        ]


def without_weights(run: Run) -> Run:
    """The run; its candidate's weights are freed."""
    return replace(run, candidate=run.candidate and replace(run.candidate, state={}))
