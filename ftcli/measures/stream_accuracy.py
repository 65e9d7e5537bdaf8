"""Accuracy along the stream of a test-time adaptation."""

import numpy as np
from torch import Tensor

from ftcli.data.images import ImageSet
from ftcli.measures.accuracy import predictions

CURVE_POINTS = 20


def correct_predictions(logits: Tensor, data: ImageSet) -> np.ndarray:
    """Which examples of a set are predicted correctly, bool [N], among the classes that the set covers."""
    return predictions(logits.numpy(), data.restrict)[0] == data.labels


def accuracy_curve(correct: np.ndarray) -> list[list[float]]:
    """[n, accuracy of the first n] at up to `CURVE_POINTS` even points; correct: bool [N] in the stream's order."""
    N = len(correct)
    points = sorted({-(-N * k // CURVE_POINTS) for k in range(1, CURVE_POINTS + 1)})
    return [[n, float(correct[:n].mean())] for n in points]
