"""Every estimate of the accuracy on one set, from its logits and those of a labelled set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ftcli.config.details.estimates import DIS2, NUCLEAR
from ftcli.measures.calibration import softmax
from ftcli.measures.estimates import nuclear
from ftcli.measures.estimates.calibrated import Calibrated
from ftcli.measures.estimates.confidence import (
    average_confidence,
    difference_of_confidences,
    negative_entropy,
    sureness,
    thresholded_confidence,
)
from ftcli.measures.estimates.dis2 import dis2_bound
from ftcli.measures.estimates.transported import cot, cott
from ftcli.measures.estimates.types import Estimate, Estimates
from ftcli.seeds import derive_seed


@dataclass(frozen=True)
class CorruptedSet:
    """Some examples of V under every corruption. labels [n]; logits [n, K] by the corruption's name and severity."""

    labels: np.ndarray
    logits: Mapping[tuple[str, int], np.ndarray]


def estimates_of(
    v: Calibrated, logits: np.ndarray, names: Sequence[str], *, corrupted: CorruptedSet | None = None,
    leave_out: str | None = None,
) -> Estimates:  # fmt: skip
    """The estimates of these names, in this order, of the accuracy on the set with these logits [m, K], among the
    classes of V; nuclear only with `corrupted`, dis2 only where both sets have two examples, and two classes.

    leave_out: the corruption that the set itself has undergone, which the line of the nuclear norm is then not fitted
    to.
    """
    scaled = v.scaled(logits)
    found: Estimates = {}
    for name in names:
        rng = np.random.default_rng(derive_seed("estimate", name))
        if name == NUCLEAR:
            if corrupted and (estimate := by_nuclear_norm(v, corrupted, scaled, leave_out, rng)):
                found[name] = estimate
        elif name == DIS2:
            if min(len(v.logits), len(scaled)) > 1 and len(v.classes) > 1:
                lower = dis2_bound(v.logits * v.temperature, v.correct, scaled * v.temperature, derive_seed("dis2"))
                found[name] = Estimate(lower_bound=lower)
        else:
            found[name] = Estimate(accuracy=by_logits(name, v, scaled, rng))
    return found


def by_logits(name: str, v: Calibrated, scaled: np.ndarray, rng: np.random.Generator) -> float:
    """An estimate that needs no more than the logits of both sets, those of U [m, J] scaled as V's are.

    Raises ValueError for a name that is none of these.
    """
    match name:
        case "average_confidence":
            return average_confidence(scaled)
        case "doc":
            return difference_of_confidences(v.logits, v.correct, scaled)
        case "atc":
            return thresholded_confidence(sureness(v.logits), v.correct, sureness(scaled))
        case "atc_entropy":
            return thresholded_confidence(negative_entropy(v.logits), v.correct, negative_entropy(scaled))
        case "cot":
            return cot(softmax(scaled), v.shares, rng)
        case "cott":
            return cott(softmax(v.logits), v.correct, softmax(scaled), v.shares, rng)
    raise ValueError(f"there is no estimate {name!r}")


def by_nuclear_norm(
    v: Calibrated, corrupted: CorruptedSet, scaled: np.ndarray, leave_out: str | None, rng: np.random.Generator
) -> Estimate | None:
    """The accuracy on the line through the corrupted sets at the score of U; None where none of them has an example of
    the classes in play.
    """
    among = np.isin(corrupted.labels, v.classes)
    if not among.any():
        return None
    labels, size = np.searchsorted(v.classes, corrupted.labels[among]), min(int(among.sum()), len(scaled))
    probabilities = {
        shift: softmax(v.scaled(logits[among])) for shift, logits in corrupted.logits.items() if shift[0] != leave_out
    }
    known = nuclear.known_sets(probabilities, labels, size)
    score = nuclear.mean_score(softmax(scaled), size, rng)
    return Estimate(accuracy=nuclear.fit_line(known).accuracy(score), line_error=nuclear.error_of_line(known))
