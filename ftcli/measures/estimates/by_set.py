"""The estimates of one model on every set of a task that gets them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt

import numpy as np
from msgspec import structs

from ftcli.config.details.estimates import OF_SEVERAL, STANDARD
from ftcli.config.details.options import Details
from ftcli.data.images import ImageSet
from ftcli.data.task import Task
from ftcli.log import Log
from ftcli.measures.estimates.agreeing import Predicted
from ftcli.measures.estimates.calibrated import calibrated
from ftcli.measures.estimates.estimate import CorruptedSet, LabelledSet, estimates_of
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
    v = LabelledSet(logits["id_val"], task.id_val.labels, corrupted)
    names, found = (*STANDARD, *details.estimates), EstimatesBySet()
    if len(v.labels) < FEWEST:
        log.warn(
            "few-for-estimates",
            f"estimates of accuracy rest on the {counted(len(v.labels), 'example', 'examples')} of ID-val: below "
            f"{FEWEST} they are uncertain by several points",
        )
    agreeing = any(name in OF_SEVERAL for name in details.estimates)
    for name, data in wanted.items():
        among = calibrated(v.logits, v.labels, data.restrict)
        if among is None:
            log.warn("no-estimates", f"{name}: ID-val has no example of the classes that it covers")
            continue
        sizes = among.shares, len(among.labels), len(data)
        left_out = left_out_by_chance(*sizes)
        if left_out and details.on_labelled:
            log.warn(
                "left-out-by-chance",
                f"{name}: {' and '.join(left_out)} are left out, because chance alone makes the class shares of so few "
                f"examples differ by {100 * chance_difference(*sizes):.0f} points, which they would take for errors",
            )
        shift = data.shift.name if data.shift else None
        of_one = [one for one in names if one not in (*OF_SEVERAL, *left_out)]
        found.estimates[name] = estimates_of(v, logits[name], of_one, restrict=data.restrict, leave_out=shift)
        warn_of_high(name, found.estimates[name], float(among.correct.mean()), len(among.labels), log)
        if agreeing:
            found.predicted[name] = Predicted.of(among, logits[name])
    return found


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
