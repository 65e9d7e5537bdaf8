"""The labelled set V as an estimate of one set needs it: among the same classes, with a temperature of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ftcli.measures.calibration import fit_temperature


@dataclass(frozen=True)
class Calibrated:
    """The n examples of V whose class is among the J classes in play, and how to read logits among these.

    logits: float64 [n, J], divided by the temperature; labels: int64 [n], columns of them.
    """

    classes: np.ndarray  # int64 [J], in play, of all K
    temperature: float
    logits: np.ndarray
    labels: np.ndarray

    @property
    def correct(self) -> np.ndarray:
        """Which examples of V are predicted correctly: boolean [n]."""
        return self.logits.argmax(axis=1) == self.labels

    @property
    def shares(self) -> np.ndarray:
        """The share of each class among the labels of V: float64 [J], the sum 1."""
        return np.bincount(self.labels, minlength=len(self.classes)) / len(self.labels)

    def scaled(self, logits: np.ndarray) -> np.ndarray:
        """Logits [m, K] of another set as those of V are: float64 [m, J]."""
        return np.asarray(logits, dtype=np.float64)[:, self.classes] / self.temperature


def calibrated(logits: np.ndarray, labels: np.ndarray, restrict: Sequence[int] | None = None) -> Calibrated | None:
    """V among the classes of `restrict`, all where it is None. Examples of other classes are left out, and the
    temperature is fitted to the rest; None where nothing is left. logits [n, K], labels [n].
    """
    classes = np.arange(logits.shape[1]) if restrict is None else np.unique(np.asarray(restrict, dtype=np.int64))
    among = np.isin(labels, classes)
    if not among.any():
        return None
    positions = np.searchsorted(classes, labels[among])
    scores = np.asarray(logits, dtype=np.float64)[among][:, classes]
    temperature = fit_temperature(scores, positions)
    return Calibrated(classes, temperature, scores / temperature, positions)
