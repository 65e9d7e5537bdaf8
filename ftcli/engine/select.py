"""The selection rule, in one place: every pick of every command goes through `merit`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from torch import Tensor

from ftcli.errors import RunError


@dataclass(frozen=True)
class Candidate:
    """Something that could be picked: one epoch of one run, or one C of the probe's path."""

    seed: int
    accuracy: float  # on ID-val, a fraction
    loss: float  # on ID-val, nats
    epoch: int | None = None
    lr: float | None = None
    C: float | None = None
    edge_of_grid: bool = False
    state: dict[str, Tensor] = field(default_factory=dict, compare=False, repr=False)

    def merit(self) -> tuple[float, ...]:
        """Smaller is better: accuracy, then loss, then the smaller rate (or C), the earlier epoch, the smaller seed."""
        rate = self.C if self.lr is None else self.lr
        return (-self.accuracy, self.loss, rate or 0.0, self.epoch or 0, self.seed)

    def describe(self) -> dict[str, Any]:
        """The report's `selected`."""
        return {
            "seed": self.seed, "lr": self.lr, "epoch": self.epoch, "C": self.C, "edge_of_grid": self.edge_of_grid,
            "id_val": {"accuracy": self.accuracy, "loss": self.loss},
        }  # fmt: skip


def best(candidates: Iterable[Candidate]) -> Candidate:
    """The pick among the candidates. Raises RunError when there are none because every run diverged."""
    pool = list(candidates)
    if not pool:
        raise RunError("every run diverged: nothing can be picked.", "try smaller rates with --lr")
    return min(pool, key=Candidate.merit)


def oracle(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What selection on each OOD set, and on their mean accuracy, would have picked; empty where none was measured.

    The rule is the usual one with the OOD set in the place of ID-val. An oracle sees what a user cannot: no other
    figure of a report depends on it.
    """
    epochs = [(run, entry) for run in runs if not run["diverged"] for entry in run.get("history", []) if "ood" in entry]
    picks: dict[str, Any] = {}
    for name in (*epochs[0][1]["ood"], "ood_mean") if epochs else ():
        by_candidate = {}
        for run, entry in epochs:
            sets = list(entry["ood"].values()) if name == "ood_mean" else [entry["ood"][name]]
            accuracy, loss = (fmean(figures[key] for figures in sets) for key in ("accuracy", "loss"))
            by_candidate[Candidate(run["seed"], accuracy, loss, epoch=entry["epoch"], lr=run.get("lr"))] = run, entry
        pick = best(by_candidate)
        run, entry = by_candidate[pick]
        picks[name] = ({"choice": run["choice"]} if "choice" in run else {}) | {
            "seed": pick.seed, "lr": pick.lr, "epoch": pick.epoch, "accuracy": pick.accuracy, "loss": pick.loss,
            "id_val": entry["id_val"],
        }  # fmt: skip
    return picks
