"""The estimates of one model on every set of a task that gets them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from math import sqrt

import numpy as np
from msgspec import structs

from ftcli.config.details.estimates import OF_SEVERAL, STANDARD
from ftcli.config.details.options import Details
from ftcli.data.images import ImageSet
from ftcli.data.task import Task
from ftcli.log import Log
from ftcli.measures.estimates.agreeing import Predicted
from ftcli.measures.estimates.calibrated import Calibrated, calibrated
from ftcli.measures.estimates.estimate import CorruptedSet, estimates_of
from ftcli.measures.estimates.transported import chance_difference, left_out_by_chance
from ftcli.measures.estimates.types import Estimates
from ftcli.safe_text import counted, listed

FEWEST = 500  # examples of ID-val, below which its own accuracy is uncertain by more than most shifts change it


@dataclass(frozen=True)
class EstimatesBySet:
    """`estimates` by set; `predicted`: what the estimates by the agreement of several models need of this one."""

    estimates: dict[str, Estimates] = field(default_factory=dict)
    predicted: dict[str, Predicted] = field(default_factory=dict)


def estimates_by_set(
    logits: Mapping[str, np.ndarray], task: Task, details: Details, corrupted: CorruptedSet | None, log: Log
) -> EstimatesBySet:
    """The estimates on every set without labels and, where they are asked for, on those with labels too. logits [N, K]
    by set. None where there is no ID-val, which is said where a set would have had some.
    """
    wanted = {name: data for name, data in task.sets().items() if name != "id_val" and gets_estimates(data, details)}
    if not wanted or task.id_val is None:
        if wanted:
            log.warn(
                "no-estimates",
                f"{listed(list(wanted))}: accuracy is estimated from the errors on ID-val, and there is none; add "
                "--id-val SPEC",
            )
        return EstimatesBySet()
    n = len(task.id_val)
    if n < FEWEST:
        log.warn(
            "few-for-estimates",
            f"estimates of accuracy rest on the {counted(n, 'example', 'examples')} of ID-val: below {FEWEST} they are "
            "uncertain by several points",
        )
    found, read = EstimatesBySet(), partial(calibrated, logits["id_val"], task.id_val.labels)
    by_classes = {restrict: read(restrict) for restrict in {data.restrict for data in wanted.values()}}
    for name, data in wanted.items():
        v = by_classes[data.restrict]
        if v is None:
            log.warn("no-estimates", f"{name}: ID-val has no example of the classes that it covers")
            continue
        left_out = warn_of_chance(name, v, len(data), log)
        names = [one for one in (*STANDARD, *details.estimates) if one not in (*OF_SEVERAL, *left_out)]
        shift = data.shift.name if data.shift else None
        found.estimates[name] = estimates_of(v, logits[name], names, corrupted=corrupted, leave_out=shift)
        warn_of_high(name, found.estimates[name], float(v.correct.mean()), len(v.labels), log)
        if any(one in OF_SEVERAL for one in details.estimates):
            found.predicted[name] = Predicted.of(v, logits[name])
    return found


def warn_of_chance(name: str, v: Calibrated, m: int, log: Log) -> tuple[str, ...]:
    """The names of the estimates that chance leaves out of a set of m examples, with a warning where there are some."""
    sizes = v.shares, len(v.labels), m
    left_out = left_out_by_chance(*sizes)
    if left_out:
        log.warn(
            "left-out-by-chance",
            f"{name}: {' and '.join(left_out)} are left out, because chance alone makes the class shares of so few "
            f"examples differ by {100 * chance_difference(*sizes):.0f} points, which they would take for errors",
        )
    return left_out


def warn_of_high(name: str, estimates: Estimates, accuracy: float, n: int, log: Log) -> None:
    """Warn where the default estimate on a set lies above the accuracy on the n labelled examples by more than two of
    its standard errors: no shift is known to make a model better.
    """
    default, estimate = next(iter(estimates.items()))
    if estimate.value > accuracy + 2 * sqrt(accuracy * (1 - accuracy) / n):
        log.warn(
            "estimate-too-high",
            f"{name}: {default} estimates an accuracy of {100 * estimate.value:.1f} %, above the {100 * accuracy:.1f} "
            "% of the labelled images it is made from: the model is surer there, which does not make it better",
        )


def gets_estimates(data: ImageSet, details: Details) -> bool:
    return details.on_labelled or not data.labelled


def with_errors(estimates: Estimates, accuracy: float) -> Estimates:
    """The estimates on a set with labels, each with how far it lies above its accuracy there."""
    return {name: structs.replace(one, error=one.value - accuracy) for name, one in estimates.items()}
