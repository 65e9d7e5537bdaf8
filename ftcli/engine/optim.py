"""Update rules and the learning rate over time."""

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from ftcli.config import Training


def make_optimizer(
    parameters: Iterable[tuple[Parameter, float]], config: Training, lr: float, *, apart: bool = False
) -> Optimizer:
    """sgd as the papers have it (plain momentum, coupled decay), adam (coupled decay) or adamw (decoupled).

    `parameters` come with their shares of the rate, which are folded into the rates of the groups: schedules multiply
    those, so every share holds at every step. `apart`: a group for each, so that `set_rates` may change them.
    """
    members: dict[tuple[int, float], list[Parameter]] = {}
    for place, (parameter, share) in enumerate(parameters):
        members.setdefault((place if apart else 0, share), []).append(parameter)
    groups = [{"params": group, "lr": lr * share} for (_, share), group in members.items()]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr, momentum=config.momentum, weight_decay=config.weight_decay)
    rule = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return rule(groups, lr, weight_decay=config.weight_decay)


def set_rates(optimizer: Optimizer, schedule: LambdaLR, rates: Sequence[float]) -> None:
    """Give each group another peak rate from the next step on; the schedule goes on where it is."""
    [factor] = {factor(schedule.last_epoch) for factor in schedule.lr_lambdas}
    schedule.base_lrs = list(rates)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["initial_lr"], group["lr"] = rate, rate * factor


def make_schedule(optimizer: Optimizer, config: Training, steps_per_epoch: int) -> LambdaLR:
    """The rate at every step: a linear rise over `warmup` epochs, then a cosine to 0 at the last step, or constant."""
    return LambdaLR(optimizer, rate_factor(config, steps_per_epoch))


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
