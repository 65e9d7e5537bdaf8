"""The selection rule, in one place: every pick of every command goes through `merit`."""

from collections.abc import Iterable
from dataclasses import dataclass, field
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
