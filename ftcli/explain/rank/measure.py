"""The scores of one checkpoint, of the features of the training set and of the OOD sets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from msgspec import UNSET, UnsetType
from torch import Tensor

from ftcli.config.details.estimates import STANDARD
from ftcli.data.images import ImageSet
from ftcli.explain.rank.class_separation import gbc, h_score, transrate
from ftcli.explain.rank.components import Components, standardised
from ftcli.explain.rank.held_out import Probed, fitted_logits, held_out_logits, probe_folds
from ftcli.explain.rank.leep import cluster_posterior, leep
from ftcli.explain.rank.logme import logme
from ftcli.explain.rank.nearest import knn_accuracy
from ftcli.explain.rank.types import LeftOutGroups, RankedSet
from ftcli.explain.rank.undefined import UndefinedScore
from ftcli.log import Log
from ftcli.measures.accuracy import group_figures, predictions
from ftcli.measures.estimates.calibrated import calibrated
from ftcli.measures.estimates.estimate import estimates_of
from ftcli.measures.estimates.transported import left_out_by_chance
from ftcli.measures.intervals import wilson

GBC_COMPONENTS = 64  # as published
MOST_GROUPS = 20  # a probe is fitted for each


@dataclass(frozen=True)
class TrainingSet:
    """What is the same for every checkpoint. labels: int64 [N] of K classes; folds: int64 [N]; groups: str [N]."""

    labels: np.ndarray
    num_classes: int
    folds: np.ndarray
    groups: np.ndarray | None
    seed: int


@dataclass(frozen=True)
class CheckpointScores:
    """values: by name; None where a score cannot be computed. correct: bool [N], the answers of the probe's folds."""

    values: dict[str, float | None]
    C: float | None = None
    correct: np.ndarray | None = None
    groups: LeftOutGroups | UnsetType = UNSET
    ood: dict[str, RankedSet] = field(default_factory=dict)


SCORES = ("probe", "knn", "logme", "nleep", "h_score", "gbc", "transrate")


def scores_of(
    features: Tensor, own_posterior: np.ndarray | None, training: TrainingSet, outside: Mapping[str, Tensor],
    sets: Mapping[str, ImageSet], label: str, log: Log,
) -> CheckpointScores:  # fmt: skip
    """All scores of one checkpoint.

    features: float32 [N, D] of the training set, as the network gives them. own_posterior: float64 [N, Z], the softmax
    of its own head; None where it has none. outside: float32 [M, D] of each OOD set, by the names of `sets`. label: its
    name in warnings. A score that cannot be computed is None, and a warning says why.
    """
    try:
        scaled = standardised(features.numpy())
    except UndefinedScore as error:
        log.warn("no-score", f"{label} has no scores: {error}")
        return CheckpointScores(dict.fromkeys(SCORES))
    labels, components = training.labels, Components(scaled)
    computed: dict[str, Callable[[], float]] = {
        "knn": lambda: knn_accuracy(features.double().numpy(), labels, training.folds),
        "logme": lambda: logme(scaled, labels),
        "nleep": lambda: leep(cluster_posterior(components, training.num_classes, training.seed), labels),
        "h_score": lambda: h_score(components, labels),
        "gbc": lambda: gbc(components.projected(GBC_COMPONENTS), labels),
        "transrate": lambda: transrate(components, labels),
    }
    if own_posterior is not None:
        computed["leep"] = lambda: leep(own_posterior, labels)
    small = torch.from_numpy(scaled).float()
    probed = probe_folds(small, labels, training.num_classes, training.folds)
    correct = predictions(probed.logits.numpy())[0] == labels
    values: dict[str, float | None] = {"probe": float(correct.mean())}
    for name, compute in computed.items():
        try:
            values[name] = compute()
        except UndefinedScore as error:
            values[name] = None
            log.warn("no-score", f"{label} has no {name}: {error}")
    groups = left_out_groups(small, training, probed.C)
    mean, deviation = float(features.double().mean()), float(features.double().std(correction=0))
    fitted = FittedProbe(small, training, probed)
    ood = {
        name: fitted.on_ood_set(((of.double() - mean) / deviation).float(), sets[name]) for name, of in outside.items()
    }
    return CheckpointScores(values, probed.C, correct, groups, ood)


def left_out_groups(features: Tensor, training: TrainingSet, C: float) -> LeftOutGroups | UnsetType:
    """The probe of all other groups on each group, where the training set has several groups, and not too many."""
    if training.groups is None:
        return UNSET
    names, group = np.unique(training.groups, return_inverse=True)
    if not 2 <= len(names) <= MOST_GROUPS:
        return UNSET
    logits = held_out_logits(features, training.labels, training.num_classes, group, C)
    figures = group_figures(predictions(logits.numpy())[0] == training.labels, training.groups)
    by_group = {one.name: one.accuracy for one in figures}
    return LeftOutGroups(by_group, sum(by_group.values()) / len(by_group), min(by_group.values()))


@dataclass(frozen=True)
class FittedProbe:
    """The probe of the whole training set. features: float32 [N, D], scaled; held_out: that of its folds."""

    features: Tensor
    training: TrainingSet
    held_out: Probed

    def on_ood_set(self, others: Tensor, images: ImageSet) -> RankedSet:
        """Its accuracy on an OOD set, or estimates of it. others: float32 [M, D], scaled as the training set's are.

        The estimates compare the set with the training set as the probes of the other folds answer for it.
        """
        labels, K = self.training.labels, self.training.num_classes
        logits = fitted_logits(self.features, labels, K, self.held_out.C, others).numpy()
        if not images.labelled:
            answered = calibrated(self.held_out.logits.numpy(), labels)
            assert answered is not None
            left_out = left_out_by_chance(answered.shares, len(labels), len(images))
            names = [name for name in STANDARD if name not in left_out]
            return RankedSet(n=len(images), estimates=estimates_of(answered, logits, names))
        accuracy = float((predictions(logits, images.restrict)[0] == images.labels).mean())
        return RankedSet(n=len(images), oracle=accuracy, oracle_ci95=wilson(accuracy, len(images)))
