"""Methods of a study as contenders."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from msgspec import UNSET

from ftcli.engine.select import Candidate
from ftcli.measures.types import MeanAccuracy
from ftcli.studies.differences import OOD_MEAN, contender, difference_on, differences_of
from ftcli.studies.joining import MethodRow, Seen, seen_by
from ftcli.studies.summary import notes_on


def row(sets: list[str]) -> Any:
    """A method that was measured on OOD sets in this order; on each every example has the same result."""
    results = SimpleNamespace(ood=dict.fromkeys(sets), ood_mean=MeanAccuracy(0.5), by_set=dict)
    cell = SimpleNamespace(name="data/finetune/seed-0")
    pick = SimpleNamespace(results=results, data={name: f"fingerprint of {name}" for name in sets})
    return SimpleNamespace(
        method="finetune", picks=(pick,), best=SimpleNamespace(cell=cell), draws_numbers=True,
        correct=lambda name: np.full((1, 4), name == "a"),
    )  # fmt: skip


def pairs(*accuracies: float) -> list[tuple[str, str, float]]:
    """The pairs of methods with these accuracies on the OOD mean, and their differences."""
    rows = []
    for i, accuracy in enumerate(accuracies):
        one = row(["a"])
        one.method, one.picks[0].results.ood_mean, one.correct = str(i), MeanAccuracy(accuracy), lambda name: None
        rows.append(one)
    return [(one.first, one.second, one.difference) for one in differences_of(rows)]


def test_the_first_minus_the_second() -> None:
    """Of four methods each with each, of more each minus the leader, as `compare` has it."""
    assert pairs(0.25, 0.5) == [("0", "1", -0.25)]
    assert len(pairs(0.1, 0.5, 0.2, 0.3)) == 6
    five = pairs(0.25, 0.125, 0.5, 0.75, 0.0)
    assert five == [("0", "3", -0.5), ("1", "3", -0.625), ("2", "3", -0.25), ("4", "3", -0.75)]


def test_another_class_list_is_other_data() -> None:
    """On the same images, where fewer classes can be predicted."""

    def seen(classes: list[str], of_set: list[int] | None) -> Any:
        sets = {"a": SimpleNamespace(fingerprint="f", restricted_to=of_set)}
        return seen_by(cast(Any, SimpleNamespace(data=SimpleNamespace(classes=classes, by_set=lambda: sets))))

    assert seen(["x", "y", "z"], [2, 0]) == {"a": Seen("f", ("x", "z"))} == seen(["z", "x"], None)
    one, other = row(["a"]), row(["a"])
    one.picks[0].data, other.picks[0].data = seen(["x", "y"], None), seen(["x", "y", "z"], None)
    assert contender(one, OOD_MEAN).data != contender(other, OOD_MEAN).data
    assert difference_on(OOD_MEAN, one, other) is None is difference_on("a", one, other)


def test_different_seeds_are_noted_of_all_that_draw_numbers() -> None:
    """The probe by steps too; not the exact one, of which there is one seed."""

    def seeded(command: str, *seeds: int, C: float | None = None) -> Any:
        picks = [
            SimpleNamespace(
                cell=SimpleNamespace(command=command, seed=seed), results=SimpleNamespace(ood={}, unlabelled=UNSET),
                data={}, rates=(),
                report=SimpleNamespace(model=SimpleNamespace(sha256="w"), warnings=[], config={}),
                selected=SimpleNamespace(C=C, edge_of_grid=False), candidate=Candidate(seed, 0.5, 1.0),
            )
            for seed in seeds
        ]  # fmt: skip
        return MethodRow(command, cast(Any, tuple(picks)))

    assert "different seeds" in " ".join(notes_on("data", [seeded("probe", 0), seeded("lpft", 0, 1)]))
    assert notes_on("data", [seeded("probe", 0, C=1.0), seeded("lpft", 0, 1)]) == []
    added = seeded("lpft", 0, 1)  # a rate was added together with a seed, so the second seed lacks the earlier rate
    added.picks[0].rates, added.picks[1].report.config["lr"] = (1e-3, 1e-2), [1e-2]
    (note,) = notes_on("data", [added])
    assert "lpft" in note and "other learning rates" in note


def test_the_order_in_which_sets_were_added_does_not_matter() -> None:
    """Set by set, the test holds the same images against each other."""
    one, other = contender(row(["a", "b"]), OOD_MEAN), contender(row(["b", "a"]), OOD_MEAN)
    assert one.data == other.data and one.correct and other.correct
    for mine, theirs in zip(one.correct, other.correct, strict=True):
        assert np.array_equal(mine, theirs)
