"""k-nearest-neighbour accuracy on features, by cosine similarity."""

import numpy as np

NEIGHBOURS = 20
BLOCK = 1024  # examples whose similarities to all others are in memory at once


def knn_accuracy(features: np.ndarray, labels: np.ndarray, folds: np.ndarray, k: int = NEIGHBOURS) -> float:
    """The share of examples whose class most of their k nearest neighbours in the other folds have.

    features: float64 [N, D], as the network gives them; labels: int64 [N]; folds: int64 [N], by which copies of one
    image are not each other's neighbours. Of classes with as many neighbours the one with the larger sum of
    similarities is predicted. A feature vector of zeros is similar to none.
    """
    size = np.linalg.norm(features, axis=1, keepdims=True)
    directions = np.divide(features, size, out=np.zeros_like(features), where=size > 0)
    classes, targets = np.unique(labels, return_inverse=True)
    correct = 0
    for fold in np.unique(folds):
        inside, outside = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        for begin in range(0, len(inside), BLOCK):
            rows = inside[begin : begin + BLOCK]
            predicted = _vote(directions[rows] @ directions[outside].T, targets[outside], len(classes), k)
            correct += int((predicted == targets[rows]).sum())
    return correct / len(labels)


def _vote(similar: np.ndarray, targets: np.ndarray, num_classes: int, k: int) -> np.ndarray:
    """The class of most of the k most similar, int64 [n]. similar: [n, M]; targets: [M]."""
    k = min(k, similar.shape[1])
    nearest = np.argpartition(-similar, k - 1, axis=1)[:, :k]  # [n, k]
    flat = (np.arange(len(similar))[:, None] * num_classes + targets[nearest]).ravel()
    count = np.bincount(flat, minlength=len(similar) * num_classes).reshape(-1, num_classes)
    weights = np.take_along_axis(similar, nearest, axis=1).ravel()
    total = np.bincount(flat, weights, minlength=count.size).reshape(-1, num_classes)
    most = count == count.max(axis=1, keepdims=True)
    return np.where(most, total, -np.inf).argmax(axis=1)
