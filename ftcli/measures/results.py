"""All figures of one model on every set of a task, and what it predicted for each example."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import TypeVar

import numpy as np
import pyarrow as pa
from msgspec import UNSET, structs
from torch import Tensor, nn

from ftcli.arrow import number_array, repeated, text_array
from ftcli.config.details.estimates import NUCLEAR
from ftcli.config.details.options import NO_DETAILS, Details
from ftcli.data.images import ImageSet
from ftcli.data.task import Task
from ftcli.engine.evaluate import all_logits
from ftcli.engine.run_inputs import RunInputs
from ftcli.log import Log
from ftcli.measures.accuracy import figures, predictions
from ftcli.measures.calibration import fit_temperature
from ftcli.measures.confusion import Confusion
from ftcli.measures.estimates.agreeing import Predicted, estimates_by_agreement
from ftcli.measures.estimates.by_set import estimates_by_set, with_errors
from ftcli.measures.estimates.corrupted import corrupted_id_val
from ftcli.measures.estimates.estimate import CorruptedSet
from ftcli.measures.estimates.types import Estimates
from ftcli.measures.joining import arrange, join_figures
from ftcli.measures.types import Figures, FiguresBySet, Unlabelled

MOST_LOGITS = 2**25  # bytes, of all sets of one model, that are kept beside its predictions
Entry = TypeVar("Entry", Figures, Unlabelled)


@dataclass(frozen=True)
class Results:
    """One model on every set. `predictions`: one row per set and example.

    `details` are in the figures too; `confusions` and `predicted`, by set, are what those of several seeds are made of.
    `logits`: float32 [N, K] by set; none where they are too many to be kept.
    """

    seed: int
    figures: FiguresBySet
    predictions: pa.Table
    temperature: float | None
    details: Details = NO_DETAILS
    confusions: dict[str, Confusion] = field(default_factory=dict)
    predicted: dict[str, Predicted] = field(default_factory=dict)
    logits: dict[str, np.ndarray] = field(default_factory=dict)


def measure(
    model: nn.Module, inputs: RunInputs, seed: int, log: Log, *, frozen: bool = False, details: Details = NO_DETAILS
) -> Results:
    """The results of one pass over every set. details: what a set gets besides its figures."""
    logits = all_logits(model, inputs, log, frozen)
    known = NUCLEAR in details.estimates and inputs.task.id_val is not None
    corrupted = corrupted_id_val(model, inputs, log) if known else None
    return results_from(logits, inputs.task, seed, log, details, corrupted)


def results_from(
    predicted: dict[str, Tensor], task: Task, seed: int, log: Log, details: Details = NO_DETAILS,
    corrupted: CorruptedSet | None = None,
) -> Results:  # fmt: skip
    """The figures of the logits [N, K] of every set that has labels, and the predictions on all. The temperature is
    fitted on ID-val; without it, none is.

    details: what every set gets besides its figures. corrupted: what the estimate by the nuclear norm needs.
    """
    sets, classes = task.labelled_sets(), task.classes
    logits = {name: values.numpy() for name, values in predicted.items()}
    temperature = fit_temperature(logits["id_val"], sets["id_val"].labels) if "id_val" in sets else None
    by_set = {
        name: figures(logits[name], data.labels, temperature=temperature, restrict=data.restrict, groups=data.groups)
        for name, data in sets.items()
    }
    if temperature is not None and by_set["id_val"].accuracy == 1:
        log.warn("no-temperature", "ID-val has no error to fit a temperature on: it stays 1, ece_calibrated equals ece")
    rows = [prediction_rows(name, seed, data, logits[name], classes) for name, data in task.sets().items()]
    confusions = {name: confusion_of(sets[name], logits[name], classes) for name in sets} if details.counts else {}
    by_set |= {name: confusion.added_to(by_set[name], details) for name, confusion in confusions.items()}
    estimated = estimates_by_set(logits, task, details, corrupted, log)
    unlabelled = {name: Unlabelled(len(data)) for name, data in task.unlabelled_sets().items()}
    found = structs.replace(arrange(by_set), unlabelled=unlabelled or UNSET)
    kept = logits if sum(of_set.nbytes for of_set in logits.values()) <= MOST_LOGITS else {}
    return Results(
        seed, with_estimates(found, estimated.estimates), pa.concat_tables(rows), temperature, details, confusions,
        estimated.predicted, kept,
    )  # fmt: skip


def with_estimates(figures: FiguresBySet, estimates: Mapping[str, Estimates]) -> FiguresBySet:
    """The figures with these estimates of some sets beside those that are there."""

    def added(entry: Entry, more: Estimates) -> Entry:
        there = {} if entry.estimates is UNSET else entry.estimates
        more = with_errors(more, entry.accuracy) if isinstance(entry, Figures) else more
        return structs.replace(entry, estimates=there | more)

    by_set = {name: added(of, estimates[name]) if name in estimates else of for name, of in figures.by_set().items()}
    without = figures.without_labels()
    without = {name: added(of, estimates[name]) if name in estimates else of for name, of in without.items()}
    return structs.replace(arrange(by_set), ood_mean=figures.ood_mean, unlabelled=without or UNSET)


def confusion_of(data: ImageSet, logits: np.ndarray, classes: tuple[str, ...]) -> Confusion:
    """The predictions of a set, counted; among the classes that an OOD set covers, where it is restricted."""
    return Confusion.of(data.labels, predictions(logits, data.restrict)[0], classes, data.restrict)


def prediction_rows(name: str, seed: int, data: ImageSet, logits: np.ndarray, classes: tuple[str, ...]) -> pa.Table:
    """What was predicted for each example of a set, by class name, so that reports of other class orders compare. Of a
    set without labels every label is null.
    """
    predicted, probability = predictions(logits, data.restrict)
    names = np.array(classes, dtype=object)
    return pa.table({
        "set": repeated(name, len(data)),
        "seed": number_array(np.full(len(data), seed, dtype=np.int64)),
        "example": text_array(data.ids),
        "label": text_array(names[data.labels]) if data.labelled else pa.nulls(len(data), pa.string()),
        "predicted": text_array(names[predicted]),
        "probability": number_array(probability.astype(np.float32)),
    })  # fmt: skip


def logits_by_seed(models: Sequence[Results]) -> dict[str, np.ndarray]:
    """The logits of every seed and set, float32 [N, K], as "SEED/SET"; in the order of the predictions' rows."""
    return {f"{model.seed}/{name}": of_set for model in models for name, of_set in model.logits.items()}


def join_seeds(models: Sequence[Results]) -> FiguresBySet:
    """The figures of several seeds, each entry joined. Counts of classes are summed, and their rates follow."""
    joined = join_figures([model.figures for model in models])
    by_set = joined.by_set()
    for name in models[0].confusions:
        counts = reduce(add, [model.confusions[name] for model in models])
        by_set[name] = counts.added_to(by_set[name], models[0].details)
    joined = structs.replace(arrange(by_set), ood_mean=joined.ood_mean, unlabelled=joined.unlabelled)
    names = models[0].details.estimates
    shared = {
        name: estimates_by_agreement([model.predicted[name] for model in models], names) for name in models[0].predicted
    }
    return with_estimates(joined, shared) if len(models) > 1 else joined
