"""The selection rule, in one place: every pick of every command goes through `sort_key`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import sqrt
from statistics import fmean
from typing import TYPE_CHECKING

from msgspec import UNSET

from ftcli.engine.types import OraclePick, RunRecord, Score, Selected
from ftcli.errors import RunError

if TYPE_CHECKING:
    from torch import Tensor

ROUNDING = 1e-12  # of an accuracy


@dataclass(frozen=True)
class Candidate:
    """Something that could be picked: one epoch of one run, or one C of the probe's path."""

    seed: int
    accuracy: float  # on ID-val, a fraction
    loss: float  # on ID-val, nats
    epoch: int | None = None
    lr: float | None = None
    C: float | None = None
    worst_group: float | None = None  # its accuracy, where that picks
    edge_of_grid: bool = False
    usual: "Candidate | None" = field(
        default=None, compare=False, repr=False
    )  # of a pick by another rule: the usual pick
    state: "dict[str, Tensor]" = field(default_factory=dict, compare=False, repr=False)

    def sort_key(self) -> tuple[float, ...]:
        """Smaller is better: accuracy, then loss, then the smaller rate (or C), the earlier epoch, the smaller seed.

        Before all of them the accuracy of the worst group, where it picks.
        """
        rate = self.C if self.lr is None else self.lr
        return (-(self.worst_group or 0.0), -self.accuracy, self.loss, rate or 0.0, self.epoch or 0, self.seed)

    @property
    def score(self) -> Score:
        """Accuracy and loss on ID-val."""
        return Score(self.accuracy, self.loss)

    def selected(self, choice: str | None = None) -> Selected:
        """The report's `selected`. choice: whose pick it is, where a command compares several."""
        return Selected(
            choice=choice or UNSET, rule="se" if self.usual else UNSET, seed=self.seed, lr=self.lr, epoch=self.epoch,
            C=self.C, edge_of_grid=self.edge_of_grid, id_val=self.score,
            worst_group_accuracy=UNSET if self.worst_group is None else self.worst_group,
        )  # fmt: skip


def best(candidates: Iterable[Candidate]) -> Candidate:
    """The pick among the candidates. Raises RunError when there are none because every run diverged."""
    pool = list(candidates)
    if not pool:
        raise RunError("every run diverged: nothing can be picked.", "try smaller rates with --lr")
    return min(pool, key=Candidate.sort_key)


def standard_error(accuracy: float, n: int) -> float:
    """Of an accuracy on n examples: √(p(1 - p)/n)."""
    return sqrt(max(0.0, accuracy * (1 - accuracy)) / n)


def strongest_within_error(candidates: Sequence[Candidate], n: int, reference: float | None = None) -> Candidate:
    """The one-standard-error rule (Breiman et al. 1984): the most regularised candidate that is not clearly worse.

    candidates: the most regularised first. n: examples of ID-val. reference: the accuracy from which the standard error
    is taken and counted; the highest of the candidates, where None.
    """
    top = max(candidate.accuracy for candidate in candidates) if reference is None else reference
    least = top - standard_error(top, n) - ROUNDING
    return next(candidate for candidate in candidates if candidate.accuracy >= least)


def oracle(runs: Sequence[RunRecord]) -> dict[str, OraclePick]:
    """What selection on each OOD set, and on their mean accuracy, would have picked; empty where none was measured.

    The rule is the usual one with the OOD set in the place of ID-val. An oracle sees what a user cannot: no other
    figure of a report depends on it.
    """
    epochs = [(run, epoch, epoch.ood) for run in runs if not run.diverged for epoch in run.epochs()]
    measured = [(run, epoch, ood) for run, epoch, ood in epochs if ood is not UNSET and ood]
    picks: dict[str, OraclePick] = {}
    for name in (*measured[0][2], "ood_mean") if measured else ():
        by_candidate = {}
        for run, epoch, ood in measured:
            scores = list(ood.values()) if name == "ood_mean" else [ood[name]]
            accuracy, loss = fmean(score.accuracy for score in scores), fmean(score.loss for score in scores)
            by_candidate[Candidate(run.seed, accuracy, loss, epoch=epoch.epoch, lr=run.lr or None)] = run, epoch
        pick = best(by_candidate)
        run, epoch = by_candidate[pick]
        picks[name] = OraclePick(
            choice=run.choice, seed=pick.seed, lr=pick.lr, epoch=epoch.epoch, accuracy=pick.accuracy, loss=pick.loss,
            id_val=epoch.id_val,
        )  # fmt: skip
    return picks
