"""Which class was predicted for which, on one set: the confusion matrix, and recall, precision and F1 by class."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ftcli.errors import RequestError
from ftcli.limits import MAX_CONFUSION_CLASSES


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

    def per_class(self) -> list[dict[str, Any]]:
        """`name`, `n`, `recall`, `precision` and `f1` of every class that is present or predicted, as fractions.

        A class that never occurs has no recall, one that is never predicted no precision: None.
        """
        right, present, predicted = self.counts.diagonal(), self.counts.sum(axis=1), self.counts.sum(axis=0)
        return [
            {
                "name": name,
                "n": int(n),
                "recall": float(hits / n) if n else None,
                "precision": float(hits / said) if said else None,
                "f1": float(2 * hits / (n + said)),
            }
            for name, hits, n, said in zip(self.classes, right, present, predicted, strict=True)
            if n or said
        ]

    def confusion(self) -> dict[str, Any]:
        """The matrix as JSON has it."""
        return {"classes": list(self.classes), "counts": self.counts.tolist()}

    def details(self, wanted: Iterable[str]) -> dict[str, Any]:
        """What is wanted of "per_class" and "confusion", by these names."""
        parts = {"per_class": self.per_class, "confusion": self.confusion}
        return {name: parts[name]() for name in wanted}
