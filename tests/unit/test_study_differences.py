"""Methods of a study as contenders."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from ftcli.measures.types import MeanAccuracy
from ftcli.studies.differences import OOD_MEAN, contender


def row(sets: list[str]) -> Any:
    """A method that was measured on OOD sets in this order; on each every example has the same result."""
    results = SimpleNamespace(ood=dict.fromkeys(sets), ood_mean=MeanAccuracy(0.5), by_set=dict)
    cell = SimpleNamespace(name="data/finetune/seed-0")
    pick = SimpleNamespace(results=results, data={name: f"fingerprint of {name}" for name in sets})
    return SimpleNamespace(
        method="finetune", picks=(pick,), best=SimpleNamespace(cell=cell), draws_numbers=True,
        correct=lambda name: np.full((1, 4), name == "a"),
    )  # fmt: skip


def test_the_order_in_which_sets_were_added_does_not_matter() -> None:
    """Set by set, the test holds the same images against each other."""
    one, other = contender(row(["a", "b"]), OOD_MEAN), contender(row(["b", "a"]), OOD_MEAN)
    assert one.data == other.data and one.correct and other.correct
    for mine, theirs in zip(one.correct, other.correct, strict=True):
        assert np.array_equal(mine, theirs)
