"""When a run counts as diverged: a loss, score or parameter is not finite, or the loss has blown up."""

import sys
from collections.abc import Iterable

import torch
from torch import Tensor

from ftcli.engine.device import Machine

BLOWN_UP = 1e4  # a loss this many times the first one counts as diverged …
LEAST_FIRST = 1.0  # … where that is at least so many nats: a head that fits the first batch has a loss near 0


class Diverged(Exception):
    """A loss, score or parameter is not finite, or the loss has blown up."""


class LossWatch:
    """The training losses of an epoch, checked for divergence.

    On a GPU they are read some steps late, because every read makes the host wait for the device.

    Attributes:
        losses: of the epoch's steps that have been read, over all processes, in nats.
        ceiling: a loss above it counts as diverged; set by the first step of the run.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.unread: list[Tensor] = []
        self.losses: list[float] = []
        self.ceiling = sys.float_info.max

    def add(self, losses: list[Tensor]) -> None:
        """Note a step's loss: the shares of its micro-batches in this process, scalars. Raises Diverged."""
        self.unread.append(losses[0] if len(losses) == 1 else torch.stack(losses).sum())
        if len(self.unread) > self.machine.loss_read_delay:
            self.read()

    def read(self) -> None:
        """Read the losses that have not been read yet. Raises Diverged."""
        if not self.unread:
            return
        together = torch.stack(self.unread) if len(self.unread) > 1 else self.unread[0][None]
        for value in self.machine.sum(together).tolist():
            self.check(value)
            if self.ceiling == sys.float_info.max:
                self.ceiling = BLOWN_UP * max(value, LEAST_FIRST)
            self.losses.append(value)
        self.unread = []

    def check(self, value: float, name: str = "the loss") -> None:
        """Raises Diverged where a loss is not finite or has blown up."""
        if not value <= self.ceiling:  # also true of NaN
            raise Diverged(f"{name} is {value:.3g}")

    def mean_of_epoch(self, parameters: Iterable[Tensor]) -> float:
        """The mean loss of the epoch's steps. Raises Diverged where one of the parameters is not finite either."""
        self.read()
        if not all(bool(tensor.isfinite().all()) for tensor in parameters):
            raise Diverged("a parameter is not finite")
        return sum(self.losses) / len(self.losses)
