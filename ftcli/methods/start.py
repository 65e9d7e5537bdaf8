"""Where runs start: a copy of the body, a head fresh or the checkpoint's own, on the machine."""

from copy import deepcopy
from dataclasses import replace

from torch import nn

from ftcli.data.classes.alignment import correspond
from ftcli.data.classes.labels import are_names, numbers
from ftcli.data.task import Task
from ftcli.engine.experiment import Experiment
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.model.head import fresh_head, head_of, set_head
from ftcli.model.loading.load import Loaded
from ftcli.text import listed


def fresh_start(body: nn.Module, experiment: Experiment, seed: int) -> nn.Module:
    """A copy of `body` under a head drawn for `seed`; one rule for every method that starts from a fresh head."""
    model = deepcopy(body)
    fresh_head(model, experiment.num_classes, seed)
    return experiment.machine.place(model)


def with_target_head(loaded: Loaded, task: Task, wish: str, log: Log) -> Loaded:
    """The checkpoint's head, its rows in the order of the task's classes; where it does not know them, or `wish` is
    "probe", as if the checkpoint had none: `head_loaded` is False, and the head has to be probed.

    Raises RequestError where `wish` is "keep" and the head does not fit, and for fewer training images than classes.
    """
    assert task.train is not None
    if len(task.train) < len(task.classes):
        raise RequestError(
            f"the target {task.train.spec} has {len(task.train)} training images for {len(task.classes)} classes.",
            "give at least one of each class, as with per-class=1 after its SPEC",
        )
    order = rows_for(loaded, task.classes, log)
    if order is None and wish == "keep":
        known = listed(loaded.label_names) if loaded.label_names else "another number of them"
        raise RequestError(
            f"--head keep: the target has the classes {listed(task.classes)}, the checkpoint's head has {known}.",
            "--head probe, which trains one for them first",
        )
    if order is None or wish == "probe":
        why = "its classes are not the target's" if order is None else "as --head probe says"
        log.note(f"the head is probed first: {why}")
        return replace(loaded, head_loaded=False, label_names=None)
    order_rows(loaded.model, order)
    return replace(loaded, label_names=task.classes)


def rows_for(loaded: Loaded, classes: tuple[str, ...], log: Log) -> list[int] | None:
    """Which row of the checkpoint's head is which of the `classes`; None where it does not have just those.

    By name; as numbers where both sides are numbers, in whatever order; by position where one side alone has names.

    Raises RequestError where a class that is looked for is there twice.
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
    """What the rows of a model's head stand for: its label names, or else their numbers."""
    return loaded.label_names or numbers(len(head_of(loaded.model).bias))


def order_rows(model: nn.Module, order: list[int]) -> None:
    """Put the rows of a head in this order."""
    head = head_of(model)
    set_head(model, head.weight[order], head.bias[order])
