"""Optimizers, what they hold in memory, and the learning rate over the steps."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from ftcli.config.schedule import milestones

STEP_FACTOR = 0.1  # of the rate after a step to the rate before it


def make_optimizer(
    parameters: Iterable[tuple[Parameter, float]], name: str, lr: float, momentum: float, weight_decay: float, *,
    group_each: bool = False,
) -> Optimizer:  # fmt: skip
    """sgd as the papers have it (plain momentum, coupled decay), adam (coupled decay) or adamw (decoupled).

    parameters: with their factors on the rate, which are folded into the rates of the groups: schedules multiply those,
    so every factor holds at every step. group_each: a group for each parameter, so that each may get another peak rate.
    """
    members: dict[tuple[int, float], list[Parameter]] = {}
    for index, (parameter, factor) in enumerate(parameters):
        members.setdefault((index if group_each else 0, factor), []).append(parameter)
    groups = [{"params": group, "lr": lr * factor} for (_, factor), group in members.items()]
    if name == "sgd":
        return torch.optim.SGD(groups, lr, momentum=momentum, weight_decay=weight_decay)
    rule = torch.optim.Adam if name == "adam" else torch.optim.AdamW
    return rule(groups, lr, weight_decay=weight_decay)


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """What the optimizer holds for every parameter, such as momentum, under "INDEX.NAME"."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": value for index, tensors in state.items() for name, value in tensors.items()
        if value is not None
    }  # fmt: skip


def load_optimizer_tensors(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put the result of `optimizer_tensors` back; the rates stay what they are."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


class Schedule:
    """The learning rate of every parameter group at every step: its peak rate times `factor(step)`.

    Written into the groups only where it changes, because torch's optimizers react to every write.
    """

    def __init__(self, optimizer: Optimizer, factor: Callable[[int], float]) -> None:
        self.optimizer, self.factor = optimizer, factor
        self.updates = 0  # so far
        self.peaks = [group["lr"] for group in optimizer.param_groups]
        self._write()

    def step(self) -> None:
        """Call it after every update of the weights."""
        self.updates += 1
        if self.factor(self.updates) != self.written:
            self._write()

    def go_to(self, updates: int) -> None:
        """Set the rates of the step after so many updates."""
        self.updates = updates
        self._write()

    def set_peaks(self, rates: Sequence[float]) -> None:
        """Give each group another peak rate from the next update on."""
        self.peaks = list(rates)
        self._write()

    def _write(self) -> None:
        self.written = self.factor(self.updates)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * self.written


def rate_factor(schedule: str, warmup: float, epochs: int, steps_per_epoch: int) -> Callable[[int], float]:
    """step -> the factor on the peak rate; step counts updates from 0.

    A linear rise over `warmup` epochs; then a cosine to 0 at the last step, or, with schedule="constant", no change,
    or, with "step:E1,E2,…", a tenth of what it was after each of these numbers of epochs.
    """
    warm, total = warmup * steps_per_epoch, epochs * steps_per_epoch
    falls = [epoch * steps_per_epoch for epoch in milestones(schedule)]

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        if schedule != "cosine":
            return STEP_FACTOR ** sum(step >= fall for fall in falls)
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1.0, total - warm)))

    return factor
