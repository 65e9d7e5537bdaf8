"""Every signal about one target, measured in order: passes over the sets, tests, interventions, gradients."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from msgspec import UNSET
from torch import nn

from ftcli.data.images import ImageSet
from ftcli.engine.gradient_scores import SCORED_BATCHES
from ftcli.engine.run_inputs import RunInputs
from ftcli.errors import RequestError
from ftcli.explain.advise.block_features import SetFeatures, batch_statistics_logits, set_features
from ftcli.explain.advise.evidence import (
    Predictions,
    accuracy_loss,
    block_evidence,
    label_shift_of,
    signals_of,
    two_sample_tests,
)
from ftcli.explain.advise.gradients import BlockGradients, block_gradients
from ftcli.explain.advise.interventions import fresh_head_correct, regained
from ftcli.explain.advise.options import TARGET, UNLABELLED
from ftcli.explain.advise.rule import ALPHA, FEW, Decision, decide
from ftcli.explain.advise.two_samples import FEWEST_PAIRS
from ftcli.explain.advise.types import AccuracyLoss, Cost, Evidence, LabelShift, Regained
from ftcli.log import Log
from ftcli.safe_text import counted, listed

SOURCE = "id_val"


@dataclass
class Seconds:
    """Seconds by kind of work."""

    by_work: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def of(self, work: str) -> Iterator[None]:
        """Adds the time inside."""
        started = time.perf_counter()
        yield
        self.by_work[work] = round(self.by_work.get(work, 0.0) + time.perf_counter() - started, 3)


@dataclass(frozen=True)
class Side:
    """One set among the classes that the target covers. rows [n]: its images of those classes."""

    features: SetFeatures
    predictions: Predictions


@dataclass(frozen=True)
class Measured:
    """passed: every set as it came through the model, all classes and images. covered: classes of the target."""

    evidence: Evidence
    decision: Decision
    passed: dict[str, SetFeatures]
    covered: list[int]


def measure_target(model: nn.Module, inputs: RunInputs, seed: int, log: Log) -> Measured:
    """The evidence and the decision. The model is on the machine, and is left as it was.

    Raises RequestError where a set has too few images among the classes of the target.
    """
    seconds, machine, sets = Seconds(), inputs.machine, inputs.task.sets()
    labelled = TARGET in sets and sets[TARGET].labelled
    covered = covered_classes(sets, inputs.num_classes)
    check_enough(sets, covered, log)
    with seconds.of("forward passes"):
        passed = {name: set_features(model, inputs.sets[name], machine, log, name) for name in sets}
    source = side_of(passed[SOURCE], sets[SOURCE], covered)
    target = side_of(passed[TARGET], sets[TARGET], covered) if TARGET in sets else None
    images = target if UNLABELLED not in sets else side_of(passed[UNLABELLED], None, covered)
    assert images is not None
    judged = target if labelled else None
    names = [inputs.task.classes[k] for k in covered]
    with seconds.of("label shift"):
        labels = label_shift_of(
            source.predictions, images.predictions, judged.predictions if judged else None, names, seed
        )
        warn_of_inversion(labels, source.predictions, names, log)
    warn_of_chance(source.predictions, log)
    with seconds.of("two-sample tests"):
        tests = two_sample_tests(
            (source.features, source.predictions), (images.features, images.predictions),
            (judged.features, judged.predictions) if judged else None, seed,
        )  # fmt: skip
    if judged:
        accuracy, head, batch_norm, gradients = labelled_signals(
            model, source, judged, covered, inputs, seconds, seed, log
        )
    else:
        accuracy, head, batch_norm, gradients = None, None, None, {}
    n = {name: len(data) for name, data in sets.items()}
    smaller = min(len(source.predictions.logits), len(images.predictions.logits))
    decision = decide(signals_of(smaller, accuracy, labels, tests, head, batch_norm, gradients))
    with seconds.of("divergences"):
        blocks = block_evidence(source.features, images.features, tests, gradients, seed)
    passes = dict.fromkeys(sets, 1)
    if batch_norm:
        passes[TARGET] += 1
    evidence = Evidence(
        n=n, alpha=ALPHA, accuracy=accuracy or UNSET, label_shift=labels,
        pairs={name: test.n for name, test in tests.named().items()}, blocks=blocks, fresh_head=head or UNSET,
        batch_norm=batch_norm or UNSET,
        cost=Cost(passes=passes, gradient_batches=SCORED_BATCHES if gradients else 0, seconds=seconds.by_work),
    )  # fmt: skip
    return Measured(evidence, decision, passed, covered)


def labelled_signals(
    model: nn.Module, source: Side, target: Side, covered: list[int], inputs: RunInputs, seconds: Seconds, seed: int,
    log: Log,
) -> tuple[AccuracyLoss, Regained | None, Regained | None, dict[str, BlockGradients]]:  # fmt: skip
    """What needs the target's labels: the loss of accuracy, what a fresh head and BatchNorm regain, gradients."""
    data, loader, machine = inputs.task.sets()[TARGET], inputs.sets[TARGET], inputs.machine
    accuracy = accuracy_loss(source.predictions, target.predictions, data.groups)
    with seconds.of("fresh head"):
        head = fresh_head(target, seed)
    with seconds.of("BatchNorm of the target"):
        adapted = batch_statistics_logits(model, loader, machine, seed, log)
        batch_norm = None if adapted is None else normalised(adapted, target, covered, seed)
    with seconds.of("gradients"):
        gradients = block_gradients(model, loader, covered if data.restrict else None, machine, seed, log)
    return accuracy, head, batch_norm, gradients


def covered_classes(sets: dict[str, ImageSet], K: int) -> list[int]:
    """The classes that the target has, where it has labels; else all."""
    restricted = sets[TARGET].restrict if TARGET in sets else None
    return list(restricted) if restricted else list(range(K))


def side_of(features: SetFeatures, data: ImageSet | None, covered: list[int]) -> Side:
    """A set among some classes; of a set with labels only the images of those. data: None where its
    labels do not count.
    """
    logits = features.logits[:, covered]
    if data is None or not data.labelled:
        return Side(features, Predictions(logits, None))
    rows = np.isin(data.labels, covered)
    blocks = {name: values[rows] for name, values in features.blocks.items()}
    kept = replace(features, blocks=blocks, penultimate=features.penultimate[rows], logits=features.logits[rows])
    return Side(kept, Predictions(logits[rows], np.searchsorted(covered, data.labels[rows])))


def check_enough(sets: dict[str, ImageSet], covered: list[int], log: Log) -> None:
    """Raises RequestError for a set with fewer images than a test by folds needs; warns of few."""
    for name, data in sets.items():
        n = int(np.isin(data.labels, covered).sum()) if name == SOURCE else len(data)
        called = "ID-val" if name == SOURCE else f"the set {name}"
        if n < FEWEST_PAIRS:
            among = " of the target's classes" if name == SOURCE and n < len(data) else ""
            raise RequestError(
                f"{called} has {counted(n, 'image', 'images')}{among}: too few to compare, {FEWEST_PAIRS} are needed.",
                "give a larger one" + (" with --id-val SPEC" if name == SOURCE else ""),
            )
        if n < FEW:
            log.warn("few-to-compare", f"{called} has {n} images: only large shifts can be seen, and no advice is sure")


def warn_of_inversion(labels: LabelShift, source: Predictions, names: list[str], log: Log) -> None:
    """Say why BBSE gives nothing, where it does not."""
    if labels.bbse is UNSET:
        never = [name for k, name in enumerate(names) if k not in source.predicted]
        why = f"never predicted on ID-val: {listed(never)}" if never else "some classes are always mixed up"
        log.warn(
            "confusion-singular", f"the confusion matrix of ID-val cannot be inverted ({why}): class shares are EM's"
        )


def warn_of_chance(source: Predictions, log: Log) -> None:
    """Warn of a model that is no better on the source than one that always answers its most frequent class."""
    assert source.labels is not None
    n, accuracy = len(source.labels), float(source.correct.mean())
    constant = float(np.bincount(source.labels).max() / n)
    if accuracy <= constant + 2 * math.sqrt(constant * (1 - constant) / n):
        log.warn(
            "at-chance",
            f"the model is right on {100 * accuracy:.1f} % of ID-val, and its most frequent class is "
            f"{100 * constant:.1f} % of it: such a model has no accuracy to lose, so no shift can be seen to hurt it",
        )


def fresh_head(target: Side, seed: int) -> Regained | None:
    """What a fresh head regains."""
    of = target.predictions
    assert of.labels is not None
    correct = fresh_head_correct(target.features.penultimate, of.labels, of.logits.shape[1], seed)
    return None if correct is None else regained(correct, of.correct, seed)


def normalised(logits: np.ndarray, target: Side, covered: list[int], seed: int) -> Regained:
    """What the target's BatchNorm statistics regain; an image without logits keeps its prediction."""
    of = target.predictions
    predicted = np.where(np.isnan(logits).any(axis=1), of.predicted, logits[:, covered].argmax(axis=1))
    return regained(predicted == of.labels, of.correct, seed)
