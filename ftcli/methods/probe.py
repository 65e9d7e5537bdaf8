"""Linear probing (Kumar et al. 2022): a logistic regression on frozen features becomes the model's own head."""

import time
from collections.abc import Sequence
from dataclasses import fields, replace

import torch
from msgspec import UNSET
from torch import Tensor, nn

from ftcli.config.surgical import Surgical
from ftcli.config.training import LOOP_OPTIONS, Probe, Training
from ftcli.config.tuning import Lpft
from ftcli.engine.features.feature_matrix import FeatureMatrix
from ftcli.engine.features.frozen_body import FrozenBody
from ftcli.engine.grid import Trained, search
from ftcli.engine.plan import always
from ftcli.engine.predict import passes, score
from ftcli.engine.probe.path_solver import FINE
from ftcli.engine.probe.regularization_path import ABSENT_BIAS, DEFAULT_CS, Path, path, values_of_C
from ftcli.engine.run_inputs import RunInputs
from ftcli.engine.select import Candidate, best, standard_error, strongest_within_error
from ftcli.engine.training_run import snapshot
from ftcli.engine.types import RunRecord
from ftcli.errors import RunError
from ftcli.log import Log
from ftcli.methods.initial_head import copy_with_fresh_head
from ftcli.model.blocks import blocks_of
from ftcli.model.head import classifier_tensors, set_head
from ftcli.model.loading.load import Loaded

HEAD_TOLERANCE = 1e-4  # largest relative difference between the probe's logits and the model's


def probe(loaded: Loaded, inputs: RunInputs, config: Training, log: Log) -> Trained:
    """The head alone trains: by the exact path over C, or by minibatches."""
    assert isinstance(config, Probe)
    if config.solver == "sgd":
        if config.path_points != len(DEFAULT_CS):
            log.warn("unused-option", "--solver sgd makes no use of --path-points: it follows no path")
        return sgd_probe(loaded, inputs, config, log)
    defaults = {field.name: field.default for field in fields(config)}
    if unused := [f"--{name.replace('_', '-')}" for name in LOOP_OPTIONS if getattr(config, name) != defaults[name]]:
        log.warn(
            "unused-option",
            f"the exact probe makes no use of {' and '.join(unused)}: it takes no steps and draws no numbers",
        )
    return linear_probe(loaded, inputs, config, log)


def path_of(config: Training) -> Sequence[float]:
    """The values of C of the exact probe: those of --probe-c, or the path."""
    if isinstance(config, Lpft | Surgical) and config.probe_c:
        return config.probe_c
    return values_of_C(config.path_points) if isinstance(config, Probe | Lpft) else DEFAULT_CS


def linear_probe(loaded: Loaded, inputs: RunInputs, config: Training, log: Log) -> Trained:
    """The exact probe. The head of `loaded.model` becomes the picked one, in place."""
    model, seed = inputs.machine.place(loaded.model), config.seed_list()[0]
    log.begin_stage("exact probe")
    rule = getattr(config, "rule", "best")
    candidates, gaps, pick, features_s = fit_head(model, inputs, path_of(config), seed, log, rule)
    runs = [
        RunRecord(seed=seed, C=c.C or UNSET, id_val=c.score, diverged=False, duality_gap=gap)
        for c, gap in zip(candidates, gaps, strict=True)
    ]
    pick = replace(pick, state=snapshot(model))
    return Trained(runs, [pick], features_s=features_s, trained_parameters=classifier_tensors(model), frozen=True)


def fit_head(
    model: nn.Module, inputs: RunInputs, Cs: Sequence[float], seed: int, log: Log, rule: str = "best"
) -> tuple[list[Candidate], list[float], Candidate, float]:
    """min over W, b of C Σ CE(W φ(x) + b, y) + ½‖W‖² for every C; the pick on ID-val becomes the model's head.

    Returns all candidates and their relative duality gaps, the pick, and the seconds that the features took. rule: "se"
    picks the smallest C within one standard error of the best, for which all are solved finely; the pick then has the
    usual one with its weights. Raises RunError where the model's logits differ from the probe's.
    """
    assert inputs.plain is not None
    started = time.perf_counter()
    body = FrozenBody(model, inputs.feature_cache, log)
    train = body.features(inputs.plain, "features of train")
    id_val = body.whole(inputs.sets["id_val"], "features of ID-val")
    features_s = time.perf_counter() - started
    mean, std = scale_of(train)
    scaled, labels = (id_val.double() - mean) / std, labels_of(inputs, "id_val")
    scaled_train, train_labels = train.scaled(mean, std), labels_of(inputs, None)
    judged_by = None if rule == "se" else (scaled.float(), labels)
    solutions = path(scaled_train, train_labels, inputs.num_classes, Cs, judged_by, log)
    scores = dict(enumerate(solutions.id_val))
    for i in solutions.fine:  # what may be picked is scored as the model will be
        weight, bias = (tensor.double().cpu() for tensor in solutions.head(i))
        scores[i] = score(scaled @ weight.T + bias, labels)  # logits [N, K]
    candidates = [Candidate(seed, *scores[i], C=float(C)) for i, C in enumerate(Cs)]
    pick = usual = best(candidates[i] for i in solutions.fine)
    if rule == "se":
        set_scaled_head(model, solutions, candidates.index(usual), mean, std)
        pick = replace(strongest_within_error(candidates, len(labels)), usual=replace(usual, state=snapshot(model)))
        if pick.C != usual.C:
            warn_of_rule(pick, usual, len(labels), log)
    index = candidates.index(pick)
    weight, bias = set_scaled_head(model, solutions, index, mean, std)
    if (gap := solutions.gaps[index]) > FINE.gap_if_settled:
        log.warn(
            "not-converged",
            f"the linear probe did not reach its optimum at the picked C = {pick.C:g}: it is proven only that"
            f" at most {gap:.1e} of its objective is above the least value, not that at most"
            f" {FINE.gap_if_settled:.0e} is",
        )
    check_head(body, inputs, scaled @ weight.T + bias, log)
    edge = len(candidates) > 1 and index in (0, len(candidates) - 1)
    if edge:
        side = "smallest" if index == 0 else "largest"
        log.warn("edge-of-grid", f"the picked C = {pick.C:g} is the {side} of {len(Cs)} values")
    return candidates, solutions.gaps, replace(pick, edge_of_grid=edge), features_s


def set_scaled_head(
    model: nn.Module, solutions: Path, index: int, mean: float, std: float
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Make a solution of features (φ - mean) / std the model's head; gives its weights [K, D] and bias [K], float64.

    The scaling is undone in the head: W(φ - m)/s + b = (W/s)φ + (b - (m/s) W·1), so the model takes plain features.
    """
    weight, bias = (tensor.double().cpu() for tensor in solutions.head(index))
    set_head(model, weight / std, bias - (mean / std) * weight.sum(1))
    return weight, bias


def warn_of_rule(pick: Candidate, usual: Candidate, n: int, log: Log) -> None:
    """Say what the one-standard-error rule has picked, and what the usual one would have."""
    error = standard_error(usual.accuracy, n)
    log.warn(
        "one-standard-error",
        f"--rule se: C = {pick.C:.3g} with ID-val accuracy {100 * pick.accuracy:.1f}; the usual rule picks"
        f" C = {usual.C:.3g} with {100 * usual.accuracy:.1f}, whose standard error is {100 * error:.1f} points",
    )


def scale_of(features: FeatureMatrix) -> tuple[float, float]:
    """One mean and one standard deviation of all entries of features [N, D]. Raises RunError where all are equal."""
    mean, std = features.moments()
    if not std > 0:
        raise RunError(
            "every feature of the training set has the same value: the network does not distinguish the images."
        )
    return mean, std


def labels_of(inputs: RunInputs, name: str | None) -> Tensor:
    """Labels [N] of a set, or of the training set."""
    data = inputs.task.train if name is None else inputs.task.sets()[name]
    assert data is not None
    return torch.from_numpy(data.labels)


def check_head(body: FrozenBody, inputs: RunInputs, expected: Tensor, log: Log) -> None:
    """Raises RunError unless the model's logits on ID-val are the probe's `expected` [N, K].

    The head is checked on all features of ID-val, the whole network on the first batch of its images: features may come
    from an earlier run. Classes without a training example are left out: their constant -1e4 would make any difference
    look small.
    """
    loader = inputs.sets["id_val"]
    present = expected[0] > ABSENT_BIAS / 2  # [K]
    size = expected[:, present].abs().max().item()
    first_batch = next(passes(body.model, loader, inputs.machine, log, "check of the head")).logits
    for logits in (body.logits(loader, "features of ID-val"), first_batch.cpu()):
        difference = (logits.double() - expected[: len(logits)])[:, present].abs().max().item()
        if not difference <= HEAD_TOLERANCE * size:
            raise RunError(
                f"the saved head does not compute what the probe found: logits differ by {difference:.3g}, "
                f"allowed is {HEAD_TOLERANCE:g} × {size:.3g}."
            )


def sgd_probe(loaded: Loaded, inputs: RunInputs, config: Training, log: Log) -> Trained:
    """The head by minibatches, in the one loop; the body is frozen, BatchNorm statistics and all."""
    head = blocks_of(loaded.model)[1]
    return search(
        lambda seed: copy_with_fresh_head(loaded.model, inputs, seed), always(head.tensors), config, inputs, log
    )
