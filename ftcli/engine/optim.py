"""Update rules and the learning rate over time."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from ftcli.config.training import Training


def make_optimizer(
    parameters: Iterable[tuple[Parameter, float]], config: Training, lr: float, *, apart: bool = False
) -> Optimizer:
    """sgd as the papers have it (plain momentum, coupled decay), adam (coupled decay) or adamw (decoupled).

    `parameters` come with their shares of the rate, which are folded into the rates of the groups: schedules multiply
    those, so every share holds at every step. `apart`: a group for each, so that each may get another peak.
    """
    members: dict[tuple[int, float], list[Parameter]] = {}
    for place, (parameter, share) in enumerate(parameters):
        members.setdefault((place if apart else 0, share), []).append(parameter)
    groups = [{"params": group, "lr": lr * share} for (_, share), group in members.items()]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr, momentum=config.momentum, weight_decay=config.weight_decay)
    rule = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return rule(groups, lr, weight_decay=config.weight_decay)


def memory_of(optimizer: Optimizer) -> dict[str, Tensor]:
    """What the optimiser remembers of every tensor, under "INDEX.NAME"."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": value for index, memory in state.items() for name, value in memory.items()
        if value is not None
    }  # fmt: skip


def remember(optimizer: Optimizer, memory: Mapping[str, Tensor]) -> None:
    """Have the optimiser remember this; the rates stay what they are."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in memory.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


class Schedule:
    """The rate of every group at every update: its peak, times a factor of the update's number.

    Written into the groups only where it changes: what watches a rate that stays should not cost a small network time.
    """

    def __init__(self, optimizer: Optimizer, factor: Callable[[int], float]) -> None:
        self.optimizer, self.factor = optimizer, factor
        self.updates = 0  # so far
        self.peaks = [group["lr"] for group in optimizer.param_groups]
        self._write()

    def step(self) -> None:
        """After an update."""
        self.updates += 1
        if self.factor(self.updates) != self.written:
            self._write()

    def go_to(self, updates: int) -> None:
        """Stand where so many updates have been made."""
        self.updates = updates
        self._write()

    def peak_at(self, rates: Sequence[float]) -> None:
        """Give each group another peak from the next update on; the schedule goes on where it is."""
        self.peaks = list(rates)
        self._write()

    def _write(self) -> None:
        self.written = self.factor(self.updates)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * self.written


def make_schedule(optimizer: Optimizer, config: Training, steps_per_epoch: int) -> Schedule:
    """The rate at every step: a linear rise over `warmup` epochs, then a cosine to 0 at the last step, or constant."""
    return Schedule(optimizer, rate_factor(config, steps_per_epoch))


def rate_factor(config: Training, steps_per_epoch: int) -> Callable[[int], float]:
    """step -> the factor on the peak rate; step counts updates from 0."""
    warm, total = config.warmup * steps_per_epoch, config.epochs * steps_per_epoch

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        if config.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1.0, total - warm)))

    return factor
