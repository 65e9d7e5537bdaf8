"""Groups of equal size, and halves of a set: what last-layer retraining is fitted to and picked by."""

from dataclasses import replace

import numpy as np

from ftcli.data.cuts import stratified
from ftcli.data.images import ImageSet
from ftcli.data.task import Task
from ftcli.seeds import derive_seed


def groups_of(images: ImageSet) -> np.ndarray:
    """The group of every example, str [N]: as `group=` of its SPEC says, else its class."""
    return np.array(images.classes)[images.labels] if images.groups is None else images.groups


def balanced(groups: np.ndarray, seed: int) -> np.ndarray:
    """As many rows of every group as the smallest has, drawn by the seed: sorted indices. groups: [N]."""
    _, strata = np.unique(groups, return_inverse=True)
    return stratified.per_class(strata, int(np.bincount(strata).min()), seed)


def halves(images: ImageSet, split_seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two halves, group by group: sorted indices. Of an odd group the second has one more, so it has every group."""
    _, strata = np.unique(groups_of(images), return_inverse=True)
    first = stratified.half(strata, derive_seed("halves", split_seed))
    return first, np.setdiff1d(np.arange(len(images)), first)


def with_half_of_id_val(task: Task, split_seed: int) -> Task:
    """The task with the first half of its ID-val as the set `retrain`, and the second as its ID-val."""
    assert task.id_val is not None
    parts = (
        replace(task.id_val.select(rows), spec=f"{task.id_val.spec} ({name} half, split seed {split_seed})")
        for name, rows in zip(("first", "second"), halves(task.id_val, split_seed), strict=True)
    )
    retrain, id_val = parts
    return replace(task, retrain=retrain, id_val=id_val)
