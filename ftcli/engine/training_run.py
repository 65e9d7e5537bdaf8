"""One training run: what it went through, and what it puts forward."""

from dataclasses import dataclass, field
from typing import Any

from ftcli.engine.select import Candidate


@dataclass
class Run:
    """One training run: what it went through, and the candidate it puts forward (none when it diverged)."""

    seed: int
    lr: float
    history: list[dict[str, Any]] = field(default_factory=list)
    candidate: Candidate | None = None
    diverged: str | None = None
    scores: list[dict[str, Any]] = field(default_factory=list)  # of the plan's tensors, by epoch

    def describe(self) -> dict[str, Any]:
        """One entry of the report's `runs`."""
        kept = self.candidate
        return {
            "seed": self.seed, "lr": self.lr, "epoch": kept.epoch if kept else None,
            "id_val": {"accuracy": kept.accuracy, "loss": kept.loss} if kept else None,
            "diverged": self.diverged is not None, "reason": self.diverged, "history": self.history,
        }  # fmt: skip
