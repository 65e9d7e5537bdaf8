"""One training run: its history, and the epoch that it puts forward with a copy of that epoch's weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec import UNSET
from torch import Tensor, nn

from ftcli.engine.select import Candidate
from ftcli.engine.types import Epoch, EpochScores, RunRecord


@dataclass
class Run:
    """One training run: an entry for each epoch, and the candidate it puts forward (none when it diverged).

    choice: of several, the one that the run belongs to. diverged: in which epoch and why. scores: the gradient scores
    of the plan's tensors, by epoch.
    """

    seed: int
    lr: float
    choice: str = ""
    history: list[Epoch] = field(default_factory=list)
    candidate: Candidate | None = None
    diverged: str | None = None
    scores: list[EpochScores] = field(default_factory=list)

    def record(self) -> RunRecord:
        """One entry of the report's `runs`."""
        pick = self.candidate
        return RunRecord(
            choice=self.choice or UNSET,
            seed=self.seed, lr=self.lr, epoch=pick.epoch if pick else None, id_val=pick.score if pick else None,
            diverged=self.diverged is not None, reason=self.diverged, history=self.history,
        )  # fmt: skip


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """A copy of a model's parameters and buffers on the CPU."""
    return copy_to_cpu(model.state_dict())


def copy_to_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}
