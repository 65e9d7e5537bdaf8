"""All figures of one model on every set of a task, and what it predicted for each example."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add

import numpy as np
import pyarrow as pa
from msgspec import UNSET, structs
from torch import Tensor, nn

from ftcli.arrow import number_array, repeated, text_array
from ftcli.data.images import ImageSet
from ftcli.data.task import Task
from ftcli.engine.evaluate import all_logits
from ftcli.engine.run_inputs import RunInputs
from ftcli.log import Log
from ftcli.measures.accuracy import figures, predictions
from ftcli.measures.calibration import fit_temperature
from ftcli.measures.confusion import Confusion
from ftcli.measures.joining import arrange, join_figures
from ftcli.measures.types import FiguresBySet, Unlabelled


@dataclass(frozen=True)
class Results:
    """One model on every set. `predictions`: one row per set and example.

    `details` ("per_class", "confusion") are in the figures too; `confusions`, by set, is what they are made of.
    """

    seed: int
    figures: FiguresBySet
    predictions: pa.Table
    temperature: float | None
    details: Sequence[str] = ()
    confusions: dict[str, Confusion] = field(default_factory=dict)


def measure(
    model: nn.Module, inputs: RunInputs, seed: int, log: Log, *, frozen: bool = False, details: Sequence[str] = ()
) -> Results:
    """The results of one pass over every set. details: what a set gets besides its figures."""
    return results_from(all_logits(model, inputs, log, frozen), inputs.task, seed, log, details)


def results_from(predicted: dict[str, Tensor], task: Task, seed: int, log: Log, details: Sequence[str] = ()) -> Results:
    """The figures of the logits [N, K] of every set that has labels, and the predictions on all. The temperature is
    fitted on ID-val; without it, none is.

    details: what every set gets besides its figures, "per_class" or "confusion".
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
    confusions = {name: confusion_of(data, logits[name], classes) for name, data in sets.items()} if details else {}
    by_set |= {name: confusion.added_to(by_set[name], details) for name, confusion in confusions.items()}
    unlabelled = {name: Unlabelled(len(data)) for name, data in task.unlabelled_sets().items()}
    found = structs.replace(arrange(by_set), unlabelled=unlabelled or UNSET)
    return Results(seed, found, pa.concat_tables(rows), temperature, details, confusions)


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


def join_seeds(models: Sequence[Results]) -> FiguresBySet:
    """The figures of several seeds, each entry joined. Counts of classes are summed, and their rates follow."""
    joined = join_figures([model.figures for model in models])
    by_set = joined.by_set()
    for name in models[0].confusions:
        counts = reduce(add, [model.confusions[name] for model in models])
        by_set[name] = counts.added_to(by_set[name], models[0].details)
    return structs.replace(arrange(by_set), ood_mean=joined.ood_mean, unlabelled=models[0].figures.unlabelled)
