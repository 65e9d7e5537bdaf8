"""Mean ranks over benchmarks, against SciPy's ranks."""

import json
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import UNSET
from scipy.stats import rankdata

from ftcli.engine.select import Candidate
from ftcli.measures.types import MeanAccuracy
from ftcli.studies.joining import MethodRow, with_selection
from ftcli.studies.summary import ranks_of
from ftcli.studies.types import Rank


def row(method: str, accuracy: float, *, sets: tuple[str, ...] = ("a", "b"), data: str = "", val: float = 0.5) -> Any:
    """A method with one seed. data: tells its images from those of other rows. val: ID-val accuracy."""
    figures = SimpleNamespace(accuracy=accuracy)
    results = SimpleNamespace(
        id_val=SimpleNamespace(n=100),
        ood=dict.fromkeys(sets, figures),
        ood_mean=MeanAccuracy(accuracy),
        by_set=lambda: dict.fromkeys(sets, figures),
    )
    cell = SimpleNamespace(command=method.split()[0], name=method, seed=0)
    pick = SimpleNamespace(
        cell=cell, results=results, data={name: name + data for name in sets}, predictions={},
        candidate=Candidate(0, val, 1.0), selected=SimpleNamespace(C=None),
    )  # fmt: skip
    picks: Any = (pick,)
    return MethodRow(method, picks)


def ranks(rows: dict[str, list[Any]]) -> tuple[list[Rank], str]:
    notes: list[str] = []
    found = ranks_of({name: with_selection(of, "best") for name, of in rows.items()}, notes)
    return found, " ".join(notes)


@pytest.mark.parametrize("seed", range(5))
def test_ranks_are_those_of_scipy(seed: int) -> None:
    """Also of equal accuracies, and of those that are equal but for the last digit."""
    methods = ["probe", "finetune", "lpft", "surgical"]
    accuracies = np.random.default_rng(seed).integers(1, 4, (3, 4)) / 10
    noise = np.random.default_rng(seed).uniform(-1e-16, 1e-16, (3, 4))
    benchmarks = {
        str(i): [row(*pair) for pair in zip(methods, line, strict=True)] for i, line in enumerate(accuracies + noise)
    }
    expected = dict(zip(methods, rankdata(-accuracies, axis=1).mean(axis=0), strict=True))
    found, notes = ranks(benchmarks)
    assert {one.method: one.rank for one in found} == pytest.approx(expected) and not notes
    assert [one.rank for one in found] == sorted(expected.values()) and {one.benchmarks for one in found} == {3}


def test_a_method_that_a_benchmark_lacks_has_no_rank_and_takes_none() -> None:
    full = [row("probe", 0.5), row("finetune", 0.4), row("lpft", 0.9)]
    found, _ = ranks({"x": full, "y": [row("probe", 0.2), row("finetune", 0.6)]})
    assert found == [
        Rank(method="finetune", rank=1.5, benchmarks=2), Rank(method="probe", rank=1.5, benchmarks=2),
        Rank(method="lpft", rank=UNSET, benchmarks=1),
    ]  # fmt: skip
    assert json.loads(msgspec.json.encode(found[2])) == {"method": "lpft", "benchmarks": 1}


@pytest.mark.parametrize("other", [{"sets": ("a",)}, {"data": "of others"}])
def test_a_benchmark_whose_means_do_not_compare_is_left_out(other: dict[str, Any]) -> None:
    fair = [row("probe", 0.5), row("lpft", 0.9)]
    unfair = [row("probe", 0.9), row("lpft", 0.1, **other)]
    found, notes = ranks({"x": fair, "y": unfair, "z": fair})
    assert [(one.method, one.rank, one.benchmarks) for one in found] == [("lpft", 1, 2), ("probe", 2, 2)]
    assert "y: left out of the ranks" in notes
    found, notes = ranks({"x": fair, "y": unfair})
    assert found == [] and "no mean ranks" in notes


def test_one_row_of_set_counts() -> None:
    """The one that ID-val takes, in each benchmark another; and not the one with the highest OOD accuracy."""
    one = [row("lpft --l2-sp=0", 0.1, val=0.9), row("lpft --l2-sp=1", 0.9, val=0.1), row("probe", 0.5)]
    other = [row("lpft --l2-sp=0", 0.9, val=0.1), row("lpft --l2-sp=1", 0.2, val=0.9), row("probe", 0.5)]
    found, notes = ranks({"x": one, "y": other})
    assert [(one.method, one.rank) for one in found] == [("probe", 1), ("lpft", 2)] and not notes
    assert [one.method for one in ranks({"x": one, "y": one})[0]] == ["probe", "lpft --l2-sp=0"]


def test_without_several_benchmarks_or_methods_there_are_no_ranks() -> None:
    assert ranks({"x": [row("probe", 0.5), row("lpft", 0.9)], "y": []}) == ([], "")
    assert ranks({"x": [row("probe", 0.5)], "y": [row("probe", 0.5)]}) == ([], "")
    two = [row("probe", 0.5), row("lpft", 0.9)]
    found, notes = ranks({"x": two, "y": two, "z": [row("probe", 0.1)]})
    assert [one.method for one in found] == ["lpft", "probe"] and "z: left out" in notes and "probe alone" in notes
