"""What the estimates by agreement need of each of several models, and the estimates."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ftcli.config.details.estimates import ALINE, GDE
from ftcli.measures.estimates.agreement_line import agreement_line, generalization_disagreement
from ftcli.measures.estimates.calibrated import Calibrated
from ftcli.measures.estimates.types import Estimate, Estimates


class Predicted(NamedTuple):
    """What one model predicts on V, int64 [n], and on U, [m], among the same classes, and its accuracy on V."""

    labelled: np.ndarray
    unlabelled: np.ndarray
    accuracy: float

    @classmethod
    def of(cls, v: Calibrated, logits: np.ndarray) -> "Predicted":
        """logits [m, K], of U."""
        return cls(v.logits.argmax(axis=1), v.scaled(logits).argmax(axis=1), float(v.correct.mean()))


def estimates_by_agreement(models: Sequence[Predicted], names: Sequence[str]) -> Estimates:
    """GDE, and the mean over the models of ALine-S and ALine-D; without the two where too few pairs of models count."""
    found: Estimates = {}
    if GDE in names:
        agreement = generalization_disagreement([model.unlabelled for model in models])
        found[GDE] = Estimate(accuracy=agreement, models=len(models))
    if ALINE in names:
        line = agreement_line(
            [model.labelled for model in models], np.array([model.accuracy for model in models]),
            [model.unlabelled for model in models],
        )  # fmt: skip
        if line:
            for kind, accuracies in (("slope", line.slope), ("difference", line.difference)):
                found[f"{ALINE}_{kind}"] = Estimate(
                    accuracy=float(accuracies.mean()), r2=line.r2, models=len(line.models)
                )
    return found
