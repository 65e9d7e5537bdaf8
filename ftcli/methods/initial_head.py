"""The head that runs start from: drawn afresh, scaled, or the checkpoint's own with its rows in the task's order."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
from torch import nn

from ftcli.data.classes.alignment import correspond
from ftcli.data.classes.labels import are_names, numbers
from ftcli.data.task import Task
from ftcli.engine.run_inputs import RunInputs
from ftcli.engine.types import HeadNorms
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.model.head import Head, fresh_head, head_of, set_head
from ftcli.model.loading.load import Loaded
from ftcli.safe_text import listed


def copy_with_fresh_head(model: nn.Module, inputs: RunInputs, seed: int) -> nn.Module:
    """A copy of a model on the machine, with a head drawn for `seed`: one rule for every method with a fresh head."""
    copy = deepcopy(model)
    fresh_head(copy, inputs.num_classes, seed)
    return inputs.machine.place(copy)


def match_head_to_task(loaded: Loaded, task: Task, option: str, log: Log) -> Loaded:
    """The model with its head's rows in the order of the task's classes, or with `head_loaded` False.

    The latter, which asks for a probe first, where the head does not have just these classes, and where `option`, the
    value of --head, is "probe". Raises RequestError where `option` is "keep" and the head does not fit, and for fewer
    training images than classes.
    """
    assert task.train is not None
    if len(task.train) < len(task.classes):
        raise RequestError(
            f"the target {task.train.spec} has {len(task.train)} training images for {len(task.classes)} classes.",
            "give at least one of each class, as with per-class=1 after its SPEC",
        )
    order = head_order(loaded, task.classes, log)
    if order is None and option == "keep":
        known = listed(loaded.label_names) if loaded.label_names else "another number of them"
        raise RequestError(
            f"--head keep: the target has the classes {listed(task.classes)}, the checkpoint's head has {known}.",
            "--head probe, which trains one for them first",
        )
    if order is None or option == "probe":
        why = "its classes are not the target's" if order is None else "as --head probe says"
        log.note(f"the head is probed first: {why}")
        return replace(loaded, head_loaded=False, label_names=None)
    reorder_head(loaded.model, order)
    return replace(loaded, label_names=task.classes)


def head_order(loaded: Loaded, classes: tuple[str, ...], log: Log) -> list[int] | None:
    """For each of the `classes`, its row of the checkpoint's head; None where the head does not have just these.

    Matched by name; by number where both sides are numbers, in whatever order; by position where one side alone has
    names. Raises RequestError where one of the classes is there twice.
    """
    known = class_names(loaded)
    if not loaded.head_loaded or len(known) != len(classes):
        return None
    where = f"the head of {loaded.checkpoint.where if loaded.checkpoint else loaded.name}"
    rows, how = correspond(classes, known, "the task")
    if -1 in rows:
        return None
    if how == "position":
        log.warn(
            "classes-by-position",
            f"{where}: {len(classes)} classes on both sides and names on one side only; they are matched by position",
        )
    elif rows.tolist() != list(range(len(rows))) and are_names(classes) != are_names(known):
        log.warn("classes-by-number", f"{where} has its class numbers in another order; rows are matched by number")
    return rows.tolist()


def class_names(loaded: Loaded) -> tuple[str, ...]:
    """The classes of a head's rows: label names, or the numbers 0, 1, … where it has none."""
    return loaded.label_names or numbers(len(head_of(loaded.model).bias))


def reorder_head(model: nn.Module, order: list[int]) -> None:
    """Put the rows of a model's head in this order."""
    head = head_of(model)
    set_head(model, head.weight[order], head.bias[order])


def scale_head(model: nn.Module, factor: float) -> None:
    """Multiply weights and bias of a model's head by a factor above 0: every prediction stays, every margin changes."""
    head = head_of(model)
    set_head(model, factor * head.weight, factor * head.bias)


def norms_of_head(head: Head, inputs: RunInputs) -> HeadNorms:
    """The norms of a head, of the rows of those classes that the training set has an example of."""
    assert inputs.task.train is not None
    seen = np.unique(inputs.task.train.labels)
    weight, bias = head.weight[seen].double(), head.bias[seen].double()
    return HeadNorms(weight=float(weight.norm()), bias=float(bias.norm()))
