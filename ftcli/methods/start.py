"""Where runs start: a copy of the body, a head fresh or the checkpoint's own, on the machine."""

from copy import deepcopy
from dataclasses import replace

from torch import nn

from ftcli.data.labels import are_names, listed
from ftcli.data.task import Task
from ftcli.engine.setting import Setting
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.model.head import fresh_head, head_of, set_head
from ftcli.model.load import Loaded


def fresh_start(body: nn.Module, setting: Setting, seed: int) -> nn.Module:
    """A copy of `body` under a head drawn for `seed`; one rule for every method that starts from a fresh head."""
    model = deepcopy(body)
    fresh_head(model, setting.num_classes, seed)
    return setting.machine.place(model)


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
    order = rows_for(loaded, task, log)
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
    head = head_of(loaded.model)
    set_head(loaded.model, head.weight[order], head.bias[order])
    return replace(loaded, label_names=task.classes)


def rows_for(loaded: Loaded, task: Task, log: Log) -> list[int] | None:
    """Which row of the checkpoint's head is which class of the task; None where it does not have just those classes.

    By name; by position where one side has names and the other numbers only.
    """
    if not loaded.head_loaded:
        return None
    names = loaded.label_names
    if names and are_names(names) and task.named:
        return [names.index(name) for name in task.classes] if set(names) == set(task.classes) else None
    if task.named or (names and are_names(names)):
        log.warn(
            "classes-by-position",
            f"the head of {loaded.checkpoint.where if loaded.checkpoint else loaded.name} and the sets have "
            f"{len(task.classes)} classes each and names on one side only; they are matched by position",
        )
    return list(range(len(task.classes)))
