"""What a change of one part alone regains on the target: a fresh head on frozen features, the target's BatchNorm."""

import numpy as np
import torch
from torch import Tensor

from ftcli.engine.features.feature_matrix import FeatureMatrix
from ftcli.engine.probe.regularization_path import path, values_of_C
from ftcli.engine.select import Candidate, best
from ftcli.explain.advise.types import Regained
from ftcli.measures.paired import bootstrap_difference
from ftcli.seeds import derive_seed

FOLDS = 5
INNER = 5  # one of these parts of the training folds picks C
CS = values_of_C(19)  # two a decade


def regained(correct: np.ndarray, before: np.ndarray, seed: int) -> Regained:
    """From the correctness of every example [m], with a change and without it."""
    gain = float(correct.mean() - before.mean())
    return Regained(float(correct.mean()), gain, bootstrap_difference(correct, before, seed=seed))


def fresh_head_correct(features: Tensor, labels: np.ndarray, K: int, seed: int) -> np.ndarray | None:
    """Which examples a fresh head on frozen features predicts correctly, bool [m], each by a head that has not seen it.

    Five stratified folds; the four that train pick C of the exact probe on a fifth of their own, then all of them fit
    the head. features [m, D], labels [m] in 0 … K - 1. None for fewer than ten examples, or for one class.
    """
    m = len(labels)
    if m < 2 * FOLDS or len(np.unique(labels)) < 2:
        return None
    fold = stratified_folds(labels, FOLDS, derive_seed("advise folds", seed))
    correct = np.zeros(m, bool)
    for k in range(FOLDS):
        train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        inner = stratified_folds(labels[train], INNER, derive_seed("advise inner", seed, k)) == 0
        C = picked_C(features[train[~inner]], labels[train[~inner]], features[train[inner]], labels[train[inner]], K)
        predicted = probe_predictions(features[train], labels[train], features[test], K, C)
        correct[test] = predicted == labels[test]
    return correct


def stratified_folds(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of every example [m]: in random order, class after class dealt out to one fold after the other."""
    order = np.random.default_rng(seed).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    fold = np.empty(len(labels), np.int64)
    fold[by_class] = np.arange(len(labels)) % folds
    return fold


def picked_C(features: Tensor, labels: np.ndarray, of_pick: Tensor, pick_labels: np.ndarray, K: int) -> float:
    """The value of C whose probe is best on other examples: by accuracy, then loss, then the smaller C."""
    scaled, mean, std = standardised(features)
    judged = ((of_pick.float() - mean) / std, torch.from_numpy(pick_labels))
    solutions = path(scaled, torch.from_numpy(labels), K, CS, judged)
    candidates = [Candidate(0, *solutions.id_val[i], C=float(C)) for i, C in enumerate(CS)] if solutions.id_val else []
    return best(candidates[i] for i in solutions.fine).C or CS[0] if candidates else CS[0]


def probe_predictions(features: Tensor, labels: np.ndarray, others: Tensor, K: int, C: float) -> np.ndarray:
    """The classes [n] that the probe of one C, fitted to features [m, D] and labels [m], predicts for others [n, D]."""
    scaled, mean, std = standardised(features)
    weight, bias = path(scaled, torch.from_numpy(labels), K, [C]).head(0)
    return ((others.float() - mean) / std @ weight.T + bias).argmax(1).numpy()


def standardised(features: Tensor) -> tuple[FeatureMatrix, float, float]:
    """Features with one mean and one deviation over all their numbers, as the probe has them; and both."""
    matrix = FeatureMatrix.of(features)
    mean, std = matrix.moments()
    std = std or 1.0
    return matrix.scaled(mean, std), mean, std
