"""Which class was predicted for which, on one set: the confusion matrix, and recall, precision and F1 by class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import UNSET, structs

from ftcli.config.details.options import Details
from ftcli.errors import RequestError
from ftcli.limits import MAX_CONFUSION_CLASSES
from ftcli.measures.types import ClassFigures, ConfusionMatrix, Figures

MOST_CLASSES = 8_000  # of which every pair is counted: half a gigabyte


def check_pairs(classes: int) -> None:
    """Raises RequestError where the pairs of so many classes are too many to be counted."""
    if classes > MAX_CONFUSION_CLASSES:
        raise RequestError(
            f"--confusion and --per-class count every pair of {classes:,} classes; at most "
            f"{MAX_CONFUSION_CLASSES:,} have room.",
            "leave them out; predictions.parquet has every answer",
        )


@dataclass(frozen=True)
class Confusion:
    """Counts of the J classes in play: int64 [J, J], row = true class, column = predicted class."""

    classes: tuple[str, ...]  # [J]
    counts: np.ndarray

    @classmethod
    def of(
        cls, labels: np.ndarray, predicted: np.ndarray, classes: Sequence[str], restrict: Sequence[int] | None = None
    ) -> "Confusion":
        """Counts of labels [N] and predictions [N], both int64 indices into the K classes.

        restrict: the classes that can be predicted, where they are not all; every label and prediction is among them.
        """
        total = len(classes)
        counts = np.bincount(labels * total + predicted, minlength=total * total).reshape(total, total)
        allowed = np.arange(total) if restrict is None else np.unique(np.asarray(restrict, dtype=np.int64))
        return cls(tuple(classes[i] for i in allowed), counts[np.ix_(allowed, allowed)])

    def __add__(self, other: "Confusion") -> "Confusion":
        """The counts of two runs over the same classes."""
        if self.classes != other.classes:
            raise ValueError("only counts over the same classes add up")
        return Confusion(self.classes, self.counts + other.counts)

    def per_class(self) -> list[ClassFigures]:
        """The figures of every class that is present or predicted."""
        correct, present, predicted = self.counts.diagonal(), self.counts.sum(axis=1), self.counts.sum(axis=0)
        return [
            ClassFigures(
                name,
                int(n),
                recall=float(hits / n) if n else None,
                precision=float(hits / times) if times else None,
                f1=float(2 * hits / (n + times)),
            )
            for name, hits, n, times in zip(self.classes, correct, present, predicted, strict=True)
            if n or times
        ]

    def matrix(self) -> ConfusionMatrix:
        return ConfusionMatrix(list(self.classes), self.counts.tolist())

    def added_to(self, figures: Figures, details: Details) -> Figures:
        """The figures of the same predictions with what `details` names."""
        return structs.replace(
            figures,
            per_class=self.per_class() if details.per_class else UNSET,
            confusion=self.matrix() if details.confusion else UNSET,
        )
