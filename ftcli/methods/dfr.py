"""Last-layer retraining (DFR, Kirichenko et al. 2023): the head is fitted anew to groups of equal size.

For every C, L1-regularised logistic regressions on standardised features of the frozen body, one for each of several
balanced subsets; their mean is the head. One class against the rest each, where there are more than two.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from msgspec import UNSET
from torch import Tensor

from ftcli.config.heads.dfr import Dfr
from ftcli.config.training import LOOP_OPTIONS, Training
from ftcli.data.images import ImageSet
from ftcli.data.task import FEWEST_TO_PICK, Task, warn_of_few
from ftcli.engine.features.feature_matrix import FeatureMatrix
from ftcli.engine.features.frozen_body import FrozenBody
from ftcli.engine.features.standard_scale import StandardScale, rows_of
from ftcli.engine.grid import Trained
from ftcli.engine.predict import score
from ftcli.engine.probe.l1_logistic import l1_logistic
from ftcli.engine.probe.regularization_path import ABSENT_BIAS
from ftcli.engine.run_inputs import RunInputs
from ftcli.engine.select import Candidate, best
from ftcli.engine.training_run import snapshot
from ftcli.engine.types import RunRecord
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.methods.balance import balanced, groups_of, halves, with_half_of_id_val
from ftcli.methods.probe import check_head
from ftcli.model.head import classifier_tensors, set_head
from ftcli.model.loading.load import Loaded
from ftcli.safe_text import counted, quoted
from ftcli.seeds import derive_seed

CS = (0.01, 0.03, 0.07, 0.1, 0.3, 0.7, 1.0)
FEW = 10  # examples of each group in a subset: with fewer, the head depends on which they are
PROVEN = 1e-4  # of the objective: the largest gap that is no warning
USED = ("seeds", "seed")  # of the options of the loop
OF_NO_USE = (*(name for name in LOOP_OPTIONS if name not in USED), "epochs", "augment")


@dataclass(frozen=True)
class _Judges:
    """What heads are judged on: ID-val, scaled, and the rows of it that pick, with their groups."""

    features: Tensor  # [N, D]
    labels: Tensor  # [N]
    picking: np.ndarray  # rows of ID-val
    groups: np.ndarray  # [len(picking)]

    def judge(self, seed: int, C: float, weight: Tensor, bias: Tensor) -> Candidate:
        """A head of scaled features as a candidate."""
        logits = self.features @ weight.T + bias
        correct = (logits.argmax(dim=1) == self.labels).numpy()[self.picking]
        worst = min(float(correct[self.groups == group].mean()) for group in np.unique(self.groups))
        return Candidate(seed, *score(logits, self.labels), C=C, worst_group=worst)


def arrange(task: Task, config: Training) -> Task:
    """The task; with --on id-val, one half of ID-val is what the head is fitted to, and the other is ID-val."""
    assert isinstance(config, Dfr)
    return with_half_of_id_val(task, config.split_seed) if config.on == "id-val" else task


def dfr(loaded: Loaded, inputs: RunInputs, config: Training, log: Log) -> Trained:
    """The mean head over the draws for every C and seed; C is picked per seed by the worst group's accuracy."""
    assert isinstance(config, Dfr) and inputs.plain is not None
    warn_unused(config, log)
    model = inputs.machine.place(loaded.model)
    log.begin_stage("last-layer retraining")
    started = time.perf_counter()
    body = FrozenBody(model, inputs.feature_cache, log)
    scale = StandardScale.of(body.features(inputs.plain, "features of train"))
    fitted, loader = inputs.task.train, inputs.plain
    if inputs.retrain is not None:
        fitted, loader = inputs.task.retrain, inputs.retrain
    assert fitted is not None
    features = body.features(loader, "features of train" if loader is inputs.plain else "features of half of ID-val")
    id_val = scale(body.whole(inputs.sets["id_val"], "features of ID-val"))
    features_s = time.perf_counter() - started
    judges = judges_of(inputs, id_val, config, log)
    check_groups(fitted, judges, log)
    runs, picks = list[RunRecord](), list[Candidate]()
    for seed in config.seed_list():
        candidates, heads, gaps = [], [], []
        for C, weight, bias, gap in mean_heads(features, fitted, scale, inputs.num_classes, config, seed, log):
            candidates.append(judges.judge(seed, C, weight, bias))
            heads.append((weight, bias))
            gaps.append(gap)
        pick = best(candidates)
        index = candidates.index(pick)
        if gaps[index] > PROVEN:
            log.warn("not-converged", f"seed {seed}: at C = {pick.C:g} the fit is proven to {gaps[index]:.1e} only")
        set_head(model, *scale.undone(*heads[index]))
        check_head(body, inputs, id_val @ heads[index][0].T + heads[index][1], log)
        edge = index in (0, len(CS) - 1)
        if edge:
            side = "smallest" if index == 0 else "largest"
            log.warn("edge-of-grid", f"seed {seed}: the picked C = {pick.C:g} is the {side} that is tried")
        picks.append(replace(pick, state=snapshot(model), edge_of_grid=edge))
        runs += [
            RunRecord(
                seed=seed, C=c.C or UNSET, id_val=c.score, worst_group_accuracy=c.worst_group or 0.0, diverged=False,
                duality_gap=gap,
            )
            for c, gap in zip(candidates, gaps, strict=True)
        ]  # fmt: skip
    return Trained(runs, picks, features_s=features_s, trained_parameters=classifier_tensors(model), frozen=True)


def warn_unused(config: Dfr, log: Log) -> None:
    """Warn of options of the training loop."""
    defaults = {field.name: field.default for field in fields(config)}
    unused = [name for name in OF_NO_USE if getattr(config, name) != defaults[name]]
    if unused:
        typed = " and ".join(f"--{name.replace('_', '-')}" for name in unused)
        log.warn("unused-option", f"dfr makes no use of {typed}: it has no training loop")


def judges_of(inputs: RunInputs, features: Tensor, config: Dfr, log: Log) -> _Judges:
    """ID-val; what picks is its second half, which with --on id-val it is already. features: scaled [N, D]."""
    data = inputs.task.id_val
    assert data is not None
    picking = halves(data, config.split_seed)[1] if inputs.retrain is None else np.arange(len(data))
    if len(picking) < FEWEST_TO_PICK:
        warn_of_few(len(picking), "the half of ID-val that picks C", log)
    return _Judges(features, torch.from_numpy(data.labels), picking, groups_of(data)[picking])


def check_groups(fitted: ImageSet, judges: _Judges, log: Log) -> None:
    """Warn where the subsets are small, or where other groups pick than those that are balanced.

    Raises RequestError for images of one class.
    """
    groups, counts = np.unique(groups_of(fitted), return_counts=True)
    if len(np.unique(fitted.labels)) < 2:
        raise RequestError(
            f"{fitted.spec}: all images that the head would be fitted to are of one class.",
            "give a larger set, or --on train",
        )
    kind = "class" if fitted.groups is None else "group"
    images, name = counted(int(counts.min()), "image", "images"), quoted(str(groups[counts.argmin()]))
    log.note(f"a subset has {images} of every {kind}")
    if counts.min() < FEW:
        log.warn(
            "small-groups",
            f"the smallest {kind} of {fitted.spec}, {name}, has {images}, and a subset as many of every {kind}:"
            " the head depends on which",
        )
    if other := sorted(set(groups.tolist()) ^ set(judges.groups.tolist())):
        log.warn(
            "other-groups",
            f"the groups of the images that are fitted and of those that pick are not the same: {quoted(other[0])} is"
            " among one of them only; type group= in the SPEC of every set",
        )


def mean_heads(
    features: FeatureMatrix, fitted: ImageSet, scale: StandardScale, K: int, config: Dfr, seed: int, log: Log
) -> Iterator[tuple[float, Tensor, Tensor, float]]:
    """For every C the mean head over the draws, weight [K, D] and bias [K] for scaled features, and its largest gap.

    A class without an example has a zero row and the bias ABSENT_BIAS.
    """
    groups, present = groups_of(fitted), np.unique(fitted.labels)
    columns = present if len(present) > 2 else present[1:]  # of two classes one problem says all
    total, gaps = torch.zeros(len(CS), len(columns), features.shape[1] + 1, dtype=torch.float64), torch.zeros(len(CS))
    for draw in log.track(range(config.number_of_draws), f"seed {seed}: fits", config.number_of_draws):
        rows = balanced(groups, derive_seed("dfr", seed, draw))
        targets = torch.from_numpy(fitted.labels[rows][:, None] == columns)
        found = l1_logistic(scale(rows_of(features, rows)), targets, CS)
        total += torch.cat([found.weights, found.bias[..., None]], dim=-1)
        gaps = torch.maximum(gaps, found.gaps.amax(dim=1))
    for C, mean, gap in zip(CS, total / config.number_of_draws, gaps.tolist(), strict=True):
        own = mean if len(columns) > 1 else torch.cat([-mean, mean]) / 2
        weight, bias = own.new_zeros(K, own.shape[1] - 1), own.new_full((K,), ABSENT_BIAS)
        weight[present], bias[present] = own[:, :-1], own[:, -1]
        yield C, weight, bias, gap
