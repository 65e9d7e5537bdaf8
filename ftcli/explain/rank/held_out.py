"""Predictions of the exact linear probe for the examples that it is not fitted to: fold by fold."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ftcli.data.cuts.stratified import seeded_order, strata
from ftcli.engine.probe.regularization_path import path, values_of_C

FOLDS = 5
CS = values_of_C(10)  # powers of ten from 1e-7 to 100


@dataclass(frozen=True)
class Probed:
    """logits: float64 [N, K], each row by a probe that has not seen the example. C: of all these probes."""

    logits: Tensor
    C: float


def folds_of(labels: np.ndarray, classes: tuple[str, ...], images: list[bytes], seed: int) -> np.ndarray:
    """The fold of each example, int64 [N]: stratified by class, copies of one image in the same fold.

    The order of the examples and the numbers of the classes change nothing. images: [N], the same for copies.
    """
    _, first, unit = np.unique([image.hex() for image in images], return_index=True, return_inverse=True)
    order = seeded_order(len(first), seed)
    order = order[np.argsort(strata(labels[first], classes)[order], kind="stable")]  # class after class
    fold = np.empty(len(first), dtype=np.int64)
    fold[order] = np.arange(len(first)) % FOLDS
    return fold[unit]


def probe_folds(features: Tensor, labels: np.ndarray, num_classes: int, folds: np.ndarray) -> Probed:
    """The probe of each fold's complement on the fold. features: float32 [N, D], standardised by one scalar.

    C is picked once: by the probe of all other folds, on the first one.
    """
    first = torch.from_numpy(folds == folds.min())
    targets = torch.from_numpy(labels)
    picked = path(features[~first], targets[~first], num_classes, CS, (features[first], targets[first]))
    judged = picked.id_val or [(0.0, 0.0)] * len(CS)  # not judged where the others are of one class
    C = CS[max(picked.fine, key=lambda i: (judged[i][0], -judged[i][1]))]
    return Probed(held_out_logits(features, labels, num_classes, folds, C), C)


def held_out_logits(features: Tensor, labels: np.ndarray, num_classes: int, folds: np.ndarray, C: float) -> Tensor:
    """The logits of every example by the probe at C of all folds but its own, float64 [N, K]."""
    logits = torch.empty(len(labels), num_classes, dtype=torch.float64)
    for fold in np.unique(folds):
        inside = torch.from_numpy(folds == fold)
        logits[inside] = fitted_logits(features[~inside], labels[folds != fold], num_classes, C, features[inside])
    return logits


def fitted_logits(features: Tensor, labels: np.ndarray, num_classes: int, C: float, others: Tensor) -> Tensor:
    """The logits of other examples, float64 [M, K], by the probe at C of these. others: float32 [M, D]."""
    weight, bias = (tensor.double() for tensor in path(features, torch.from_numpy(labels), num_classes, [C]).head(0))
    return others.double() @ weight.T + bias
