"""Successive halving of a grid of learning rates on epochs: which rates go on after a rung, and what that costs.

Every run keeps the schedule of its full length: it is paused at a rung and goes on, or is eliminated. All decisions
follow from the ID-val figures in the history, so a halving can be replayed from the history of a full grid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import TypeVar

from ftcli.config.budget import AUDIT
from ftcli.config.training import Training
from ftcli.engine.select import Candidate, best
from ftcli.engine.types import Epoch
from ftcli.errors import RequestError
from ftcli.safe_text import counted

Options = TypeVar("Options", bound=Training)

RUNGS = (1, 3)  # epochs after which rates are eliminated
SHARE = 3  # one of so many rates is kept
TIE_ERRORS = 2  # standard errors of the best accuracy within which a rate is kept
MOST_RATES = 3  # that the seeds after the first run


@dataclass(frozen=True)
class Halving:
    """The halving of one grid.

    Attributes:
        grid: the rates, ascending. epochs: of a whole run. seeds: how many.
        n_id_val: number of examples on which rates are compared.
        most: epochs of all runs together, at most; None: as many as the rule takes.
        audit: whether the eliminated runs of the first seed are finished afterwards.
    """

    grid: Sequence[float]
    epochs: int
    seeds: int
    n_id_val: int
    most: int | None = None
    audit: bool = False

    @property
    def rungs(self) -> list[int]:
        """Epochs at which the runs of the first seed are compared, the last one included."""
        return [*(rung for rung in RUNGS if rung < self.epochs), self.epochs]

    @property
    def full(self) -> int:
        """Epochs of the full grid."""
        return len(self.grid) * self.epochs * self.seeds

    @property
    def least(self) -> int:
        """The smallest value of `most`: every rate to the first rung, and for each seed one rate to the end."""
        return (len(self.grid) - 1) * self.rungs[0] + self.seeds * self.epochs

    def bounds(self) -> tuple[int, int]:
        """Epochs of all runs where no rates tie, and where all do; fewer where runs diverge."""
        kept, before, fewest = len(self.grid), 0, (self.seeds - 1) * self.epochs
        for rung in self.rungs:
            fewest += kept * (rung - before)
            kept, before = thirds(kept), rung
        if self.audit:
            fewest = (len(self.grid) + self.seeds - 1) * self.epochs
        most = (len(self.grid) + min(len(self.grid), MOST_RATES) * (self.seeds - 1)) * self.epochs
        return (fewest, most) if self.most is None else (min(fewest, self.most), min(most, self.most))

    def affordable(self, at: int, next_rung: int, spent: int, seeds_left: int) -> int:
        """How many rates may go on from epoch `at` to `next_rung`, so that one can still be finished for every seed.

        spent: epochs of all runs so far. seeds_left: seeds after this one.
        """
        if self.most is None:
            return len(self.grid)
        one = self.epochs - next_rung + seeds_left * self.epochs
        return max(0, min(len(self.grid), (self.most - spent - one) // (next_rung - at)))

    def rates_of_other_seeds(self, spent: int, seeds_left: int) -> int:
        """How many rates each of the seeds that are left runs. spent: epochs of all runs so far."""
        if self.most is None or not seeds_left:
            return MOST_RATES
        return min(MOST_RATES, (self.most - spent) // (seeds_left * self.epochs))

    def kept(self, candidates: Mapping[float, Candidate]) -> list[float]:
        """The rates that go on after a rung, the best first.

        candidates: of every rate that has come so far without diverging, its best epoch up to there. Kept are the best
        third, the leader's neighbours on the grid, and what is within two standard errors of the best accuracy.
        """
        if not candidates:
            return []
        order = self.order(candidates)
        at = list(self.grid).index(order[0])
        neighbours = [self.grid[i] for i in (at - 1, at + 1) if 0 <= i < len(self.grid) and self.grid[i] in candidates]
        top = max(candidate.accuracy for candidate in candidates.values())
        least = top - TIE_ERRORS * self.standard_error(top)
        tied = [lr for lr in order if candidates[lr].accuracy >= least]
        return list(dict.fromkeys([*order[: thirds(len(order))], *neighbours, *tied]))

    def order(self, candidates: Mapping[float, Candidate]) -> list[float]:
        """The rates, the best first: by the selection rule, but by loss within one standard error of the best accuracy.

        On a small ID-val, an order by accuracy alone is an order by chance.
        """
        top = max((candidate.accuracy for candidate in candidates.values()), default=0.0)
        close = top - self.standard_error(top)

        def place(lr: float) -> tuple[bool, float, tuple[float, ...]]:
            candidate = candidates[lr]
            near = candidate.accuracy >= close
            return not near, candidate.loss if near else 0.0, candidate.sort_key()

        return sorted(candidates, key=place)

    def standard_error(self, accuracy: float) -> float:
        """Of an accuracy on ID-val; by Laplace's estimate, so that it is not 0 where every example is correct."""
        n = self.n_id_val
        p = (accuracy * n + 1) / (n + 2)
        return sqrt(p * (1 - p) / n)


def thirds(n: int) -> int:
    """⌈n / SHARE⌉."""
    return -(-n // SHARE)


def best_until(history: Sequence[Epoch], epoch: int, seed: int, lr: float) -> Candidate | None:
    """The best candidate of a run up to an epoch; None of a run that diverged before its end."""
    if not history or history[-1].epoch < epoch:
        return None
    return best(
        Candidate(seed, entry.id_val.accuracy, entry.id_val.loss, epoch=entry.epoch, lr=lr)
        for entry in history
        if entry.epoch <= epoch
    )


def epochs_in(history: Sequence[Epoch], until: int) -> int:
    """How many epochs of a run have been trained, of those up to `until`."""
    return sum(0 < entry.epoch <= until for entry in history)


def halving_of(config: Training, n_id_val: int) -> Halving:
    """The halving that --budget asks for, of one search."""
    most = int(config.budget) if config.budget and config.budget.isdigit() else None
    return Halving(config.lr, config.epochs, len(config.seed_list()), n_id_val, most, config.budget == AUDIT)


def check_budget(config: Training, searches: int) -> None:
    """Raises RequestError where --budget N is too small. searches: how many grids share it."""
    if not config.budget or not config.budget.isdigit():
        return
    halving = halving_of(config, 1)
    if int(config.budget) < searches * halving.least:
        size = ", ".join(
            counted(n, noun, f"{noun}s")
            for n, noun in ((len(config.lr), "rate"), (halving.seeds, "seed"), (config.epochs, "epoch"))
        )
        grids = f"{searches} grids of " if searches > 1 else ""
        raise RequestError(
            f"--budget {config.budget}: {grids}{size}"
            f" need at least {searches * halving.least} epochs: the first seed compares all rates after epoch"
            f" {halving.rungs[0]}, and every seed finishes one.",
            f"--budget {searches * halving.least} (the full grid has {searches * halving.full} epochs), or fewer rates,"
            " seeds or epochs",
        )


def share_of_budget(config: Options, searches: int) -> Options:
    """The options of one of several searches, which share --budget N equally."""
    if not config.budget or not config.budget.isdigit():
        return config
    return replace(config, budget=str(int(config.budget) // max(1, searches)))
