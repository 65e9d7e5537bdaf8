"""All figures of one model on every set of a task, and what it predicted for each example."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from statistics import fmean
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor, nn

from ftcli.data.images import ImageSet
from ftcli.data.task import Task
from ftcli.engine.evaluate import all_logits
from ftcli.engine.experiment import Experiment
from ftcli.log import Log
from ftcli.measures.accuracy import figures, over_seeds, predictions
from ftcli.measures.calibration import fit_temperature
from ftcli.measures.confusion import Confusion

ID_SETS = ("id_val", "id_test")


@dataclass(frozen=True)
class Results:
    """`figures`: the report's `results` of one model. `predictions`: one row per set and example.

    `details` ("per_class", "confusion") stand in the figures too; `confusions`, by set, is what they are made of.
    """

    seed: int
    figures: dict[str, Any]
    predictions: pa.Table
    temperature: float | None
    details: Sequence[str] = ()
    confusions: dict[str, Confusion] = field(default_factory=dict)


def measure(
    model: nn.Module, experiment: Experiment, seed: int, log: Log, *, frozen: bool = False, details: Sequence[str] = ()
) -> Results:
    """The results of one pass over every set. details: what a set gets besides its figures."""
    return results_from(all_logits(model, experiment, log, frozen), experiment.task, seed, log, details)


def results_from(predicted: dict[str, Tensor], task: Task, seed: int, log: Log, details: Sequence[str] = ()) -> Results:
    """The figures of the logits [N, K] of every set. The temperature is fitted on ID-val; without it, none is.

    details: what every set gets besides its figures, "per_class" or "confusion".
    """
    data = task.sets()
    logits = {name: values.numpy() for name, values in predicted.items()}
    temperature = fit_temperature(logits["id_val"], data["id_val"].labels) if "id_val" in logits else None
    by_set = {
        name: figures(logits[name], one.labels, temperature=temperature, restrict=one.restrict, groups=one.groups)
        for name, one in data.items()
    }
    if temperature is not None and by_set["id_val"]["accuracy"] == 1:
        log.warn("no-temperature", "ID-val has no error to fit a temperature on: it stays 1, ece_calibrated equals ece")
    classes = task.classes
    rows = [prediction_rows(name, seed, one, logits[name], classes) for name, one in data.items()]
    confusions = {name: confusion_of(one, logits[name], classes) for name, one in data.items()} if details else {}
    for name, found in confusions.items():
        by_set[name] |= found.details(details)
    return Results(seed, arrange(by_set), pa.concat_tables(rows), temperature, details, confusions)


def confusion_of(data: ImageSet, logits: np.ndarray, classes: tuple[str, ...]) -> Confusion:
    """The predictions of a set, counted; among the classes that an OOD set covers, where it is restricted."""
    return Confusion.of(data.labels, predictions(logits, data.restrict)[0], classes, data.restrict)


def prediction_rows(name: str, seed: int, data: ImageSet, logits: np.ndarray, classes: tuple[str, ...]) -> pa.Table:
    """What was predicted for each example of a set, by class name, so that reports of other class orders compare."""
    predicted, probability = predictions(logits, data.restrict)
    names = np.array(classes, dtype=object)
    return pa.table({
        "set": pa.array([name] * len(data), pa.string()),
        "seed": pa.array([seed] * len(data), pa.int64()),
        "example": pa.array(data.ids, pa.string()),
        "label": pa.array(names[data.labels], pa.string()),
        "predicted": pa.array(names[predicted], pa.string()),
        "probability": pa.array(probability, pa.float32()),
    })  # fmt: skip


def arrange(by_set: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Figures by set in the report's form: ID sets on top, OOD sets under `ood`, and the mean of these."""
    ood = {name: entry for name, entry in by_set.items() if name not in ID_SETS}
    results: dict[str, Any] = {name: by_set[name] for name in ID_SETS if name in by_set}
    results["ood"] = ood
    results["ood_mean"] = {"accuracy": fmean(entry["accuracy"] for entry in ood.values())} if ood else None
    return results


def join_seeds(models: list[Results]) -> dict[str, Any]:
    """The same form, each entry joined over the seeds. Counts of classes are summed, and their rates follow."""
    first = models[0].figures
    joined: dict[str, Any] = {name: over_seeds([m.figures[name] for m in models]) for name in ID_SETS if name in first}
    joined["ood"] = {name: over_seeds([m.figures["ood"][name] for m in models]) for name in first["ood"]}
    for name in models[0].confusions:
        entries = joined if name in ID_SETS else joined["ood"]
        entries[name] = entries[name] | reduce(add, [m.confusions[name] for m in models]).details(models[0].details)
    joined["ood_mean"] = over_seeds([m.figures["ood_mean"] for m in models]) if first["ood"] else None
    return joined
