"""Confidence against accuracy in bins: what the expected calibration error sums, and a reliability diagram shows."""

from typing import NamedTuple

import numpy as np

BINS = 15  # of equal width


class Bin(NamedTuple):
    """The examples of one bin: how many, their mean confidence, and the fraction of them that is correct."""

    n: int
    confidence: float
    accuracy: float


def bin_index(confidences: np.ndarray, bins: int = BINS) -> np.ndarray:
    """The bin (low, high] of each confidence: [N] in [0, 1] -> [N] int."""
    edges = np.linspace(0.0, 1.0, bins + 1)
    # side="left" puts a confidence that equals an edge below it; 0 itself joins the first bin.
    return np.clip(np.searchsorted(edges, confidences, side="left") - 1, 0, bins - 1)


def reliability(confidences: np.ndarray, correct: np.ndarray, bins: int = BINS) -> list[Bin]:
    """The bins that hold examples, in rising order. confidences [N] in [0, 1], correct [N] boolean."""
    index = bin_index(confidences, bins)
    counts = np.bincount(index, minlength=bins)
    sums = (np.bincount(index, weights=values.astype(np.float64), minlength=bins) for values in (confidences, correct))
    rows = zip(counts.tolist(), *(total.tolist() for total in sums), strict=True)
    return [Bin(n, confidence / n, hits / n) for n, confidence, hits in rows if n]
