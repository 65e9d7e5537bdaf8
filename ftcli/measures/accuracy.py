"""The figures of one set: accuracy and recall, loss and calibration, of one run and over several seeds."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from msgspec import UNSET

from ftcli.engine.predict import score
from ftcli.errors import RunError
from ftcli.measures.calibration import confidence, ece, softmax
from ftcli.measures.intervals import wilson
from ftcli.measures.types import Figures, GroupFigures, MeanAccuracy

Entry = TypeVar("Entry", Figures, MeanAccuracy)


def predictions(logits: np.ndarray, restrict: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The class predicted for each example and its softmax probability, both among the classes in `restrict` only.

    logits [N, K]; restrict: task class indices, or None for all K. Gives (predicted [N] int64, an index into all K
    classes; probability [N] float32). Equal logits go to the lower index. Raises RunError where a logit is not finite.
    """
    allowed, scores = _in_play(logits, restrict)
    return allowed[scores.argmax(axis=1)], confidence(scores).astype(np.float32)


def ranked(logits: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """The `top` most probable classes of each example, the most probable first, and their softmax probabilities.

    logits [N, K]; top at most K. Gives (classes [N, top] int64; probabilities among all K classes [N, top] float32).
    Equal logits stand in the order of their indices. Raises RunError where a logit is not finite.
    """
    _, scores = _in_play(logits, None)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    return order, np.take_along_axis(softmax(scores), order, axis=1).astype(np.float32)


def figures(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    temperature: float | None,
    restrict: Sequence[int] | None = None,
    groups: np.ndarray | None = None,
) -> Figures:
    """All figures of one run on one set, as fractions.

    logits [N, K], labels [N] int (indices into the K classes), N at least 1; temperature divides the logits for
    `ece_calibrated` (None: left out); groups [N], where the set has them. With `restrict` (the classes an OOD set
    covers) every figure is among those classes only, and `accuracy_all_classes` is the accuracy among all K. `top5` is
    present only when more than five classes are in play.
    Raises ValueError for labels outside the classes in play, RunError for logits that are not finite.
    """
    labels = np.asarray(labels, dtype=np.int64)
    allowed, scores = _in_play(logits, restrict)
    targets = _positions(labels, allowed)  # [N], columns of scores
    predicted, _ = predictions(logits, restrict)
    correct = predicted == labels  # [N]
    accuracy, recalls = float(correct.mean()), _rates(correct, targets)

    _, loss = score(torch.from_numpy(scores), torch.from_numpy(targets))  # the loss that selection looks at too
    by_group = UNSET if groups is None else group_figures(correct, groups)
    return Figures(
        n=len(labels),
        accuracy=accuracy,
        accuracy_ci95=wilson(accuracy, len(labels)),
        top5=_top(5, scores, targets) if len(allowed) > 5 else UNSET,
        loss=loss,
        balanced_accuracy=float(recalls.mean()),
        worst_class_recall=float(recalls.min()),
        worst_group_accuracy=min(group.accuracy for group in by_group) if by_group else UNSET,
        groups=by_group,
        ece=ece(confidence(scores), correct),
        ece_calibrated=UNSET if temperature is None else ece(confidence(scores / temperature), correct),
        accuracy_all_classes=UNSET if restrict is None else float((predictions(logits)[0] == labels).mean()),
    )


def group_figures(correct: np.ndarray, groups: np.ndarray) -> list[GroupFigures]:
    """The accuracy of each group. correct bool [N], groups str [N]."""
    names, members, counts = np.unique(groups, return_inverse=True, return_counts=True)
    rates = _rates(correct, members).tolist()
    return [GroupFigures(*group) for group in zip(names.tolist(), counts.tolist(), rates, strict=True)]


def _in_play(logits: np.ndarray, restrict: Sequence[int] | None) -> tuple[np.ndarray, np.ndarray]:
    """The classes that may be predicted [J] and their logits [N, J] float64."""
    scores = np.asarray(logits, dtype=np.float64)
    if not np.isfinite(scores).all():
        raise RunError(
            "the model's outputs are not all finite numbers",
            "try --precision fp32, and check that the checkpoint holds no NaN",
        )
    if restrict is None:
        return np.arange(scores.shape[1]), scores
    allowed = np.unique(np.asarray(restrict, dtype=np.int64))
    return allowed, scores[:, allowed]


def _positions(labels: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """The position of each label among the classes in play: [N]."""
    if len(labels) == 0 or not np.isin(labels, allowed).all():
        raise ValueError("at least one example is needed, and every label must be among the classes in play")
    return np.searchsorted(allowed, labels)


def _rates(correct: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Share of correct examples of each class or group that occurs; members [N] holds its number."""
    counts = np.bincount(members)
    return np.bincount(members, weights=correct)[counts > 0] / counts[counts > 0]


def _top(k: int, scores: np.ndarray, targets: np.ndarray) -> float:
    """Share of examples whose class is among the k highest; of equal scores the lower index counts as higher."""
    true = np.take_along_axis(scores, targets[:, None], axis=1)  # [N, 1]
    earlier = np.arange(scores.shape[1]) < targets[:, None]
    above = (scores > true) | ((scores == true) & earlier)  # [N, J]
    return float((above.sum(axis=1) < k).mean())
