"""Classes one by one, against scikit-learn: counts, rates, the sum over seeds, and what a person is shown."""

import re
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from ftcli.config.details.options import Details
from ftcli.measures.confusion import Confusion
from ftcli.measures.types import Figures, FiguresBySet
from ftcli.report.class_tables import class_tables
from ftcli.report.schema import report_from
from tests.helpers.program import PAINT, Work, inside, read, work

NAMES = [f"class {i}" for i in range(7)]


def draw(seed: int, n: int = 300, classes: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions; class 5 is never true, class 6 never predicted."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    predicted = np.where(rng.random(n) < 0.6, labels, rng.integers(classes, size=n))
    labels[labels == 5], predicted[predicted == 6] = 4, 0
    return labels, predicted


@pytest.mark.parametrize("seed", range(3))
def test_against_scikit_learn(seed: int) -> None:
    labels, predicted = draw(seed)
    found = Confusion.of(labels, predicted, NAMES)
    assert np.array_equal(found.counts, confusion_matrix(labels, predicted, labels=range(7)))
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=range(7), zero_division=np.nan
    )
    rows = found.per_class()
    assert [row["name"] for row in rows] == NAMES and [row["n"] for row in rows] == support.tolist()
    assert rows[5]["recall"] is None and rows[6]["precision"] is None
    for key, oracle in (("recall", recall), ("precision", precision), ("f1", f1)):
        values = np.array([np.nan if row[key] is None else row[key] for row in rows])
        np.testing.assert_allclose(values, oracle, atol=1e-15)


def test_a_class_neither_present_nor_predicted_has_no_row() -> None:
    found = Confusion.of(np.array([0, 2]), np.array([0, 0]), ["a", "b", "c"])
    assert [row["name"] for row in found.per_class()] == ["a", "c"]
    assert found.matrix() == {"classes": ["a", "b", "c"], "counts": [[1, 0, 0], [0, 0, 0], [1, 0, 0]]}


def test_too_many_classes_are_refused_before_the_work(run: Path) -> None:
    told = "every pair of 3 classes; at most 2"
    words = ["evaluate", run, "--id-test", read(run)["config"]["train"], "--image-size", 32]
    with mock.patch("ftcli.measures.confusion.MAX_CONFUSION_CLASSES", 2), mock.patch("ftcli.run.measure") as never:
        for option in ("--confusion", "--per-class"):
            done = inside(*words, option)
            assert done.returncode == 2 and told in done.stderr, done.stderr
    assert not never.called


def test_restricted_to_some_classes() -> None:
    labels, predicted = np.array([1, 1, 4, 4, 4]), np.array([1, 4, 4, 4, 1])
    found = Confusion.of(labels, predicted, NAMES, restrict=(4, 1))
    assert found.classes == ("class 1", "class 4") and found.counts.tolist() == [[1, 1], [1, 2]]


def test_runs_add_up_to_the_counts_of_all_examples() -> None:
    runs = [draw(seed) for seed in range(3)]
    total = sum((Confusion.of(*run, NAMES) for run in runs[1:]), Confusion.of(*runs[0], NAMES))
    both = [np.concatenate(part) for part in zip(*runs, strict=True)]
    whole = Confusion.of(*both, NAMES)
    assert total.per_class() == whole.per_class() and total.matrix() == whole.matrix()
    with pytest.raises(ValueError, match="same classes"):
        total + Confusion.of(np.array([0]), np.array([0]), ["a"])


# ---- in a report


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds on three classes, one of them with a hostile name, and an OOD set that covers two."""
    root = tmp_path_factory.mktemp("confusion")
    tiny: Work = work(root)
    words = [*tiny.words, "--lr", "1e-4", "--epochs", 1, "--seeds", 2, "--per-class", "--confusion"]
    done = inside("finetune", *words, "--out", root / "out")
    assert done.returncode == 0, done.stderr
    return root / "out"


def sets(results: dict[str, Any]) -> dict[str, Any]:
    return {name: results[name] for name in ("id_val", "id_test")} | results["ood"]


def test_a_report_counts_its_own_predictions(run: Path) -> None:
    report, rows = read(run), pq.read_table(run / "predictions.parquet").to_pandas()
    assert report_from(report) == report
    parts = [(report["results"], rows)]
    parts += [(one["results"], rows[rows["seed"] == one["selected"]["seed"]]) for one in report["seeds"]]
    for results, predicted in parts:
        for name, entry in sets(results).items():
            own, names = predicted[predicted["set"] == name], entry["confusion"]["classes"]
            assert entry["confusion"]["counts"] == confusion_matrix(own.label, own.predicted, labels=names).tolist()
            recalls = {row["name"]: row["recall"] for row in entry["per_class"] if row["n"]}
            assert recalls == {
                name: np.mean(own.predicted[own.label == name] == name) for name in sorted(set(own.label))
            }
            assert np.mean(list(recalls.values())) == pytest.approx(entry["balanced_accuracy"])
    assert len(report["results"]["ood"]["far"]["confusion"]["classes"]) == 2


def test_without_the_flags_a_report_has_neither(run: Path, tmp_path: Path) -> None:
    words = ["--id-test", read(run)["config"]["train"], "--threads", 1, "--image-size", 32]
    done = inside("evaluate", run, *words, "--json", "--out", tmp_path / "e")
    assert not {"per_class", "confusion"} & set(done.report["results"]["id_test"])
    done = inside("evaluate", run, *words, "--per-class", "--json", "--out", tmp_path / "c")
    assert {"per_class", "confusion"} & set(done.report["results"]["id_test"]) == {"per_class"}


@pytest.mark.parametrize("columns", ["60", "100"])
def test_the_tables_show_them(run: Path, columns: str) -> None:
    shown = inside("report", run, COLUMNS=columns).stdout
    for name in ("ID-val", "ID-test", "far"):
        assert f"{name}: classes, in per cent" in shown
        assert f"{name}: most frequent confusions" in shown and f"{name}: confusion matrix" in shown
    assert "\x1b" not in shown and PAINT.replace("\x1b", "\N{REPLACEMENT CHARACTER}") in shown
    assert max(len(line) for line in shown.splitlines() if line.startswith("─")) <= int(columns)


def figures_of(found: Confusion) -> Figures:
    """Figures of some set, whatever they are."""
    n = int(found.counts.sum())
    return Figures(
        n=n, accuracy=0.5, accuracy_ci95=[0.4, 0.6], loss=1.0, balanced_accuracy=0.5, worst_class_recall=0.0, ece=0.1
    )


def of_sets(ood: dict[str, Figures] | None = None, **inside: Figures) -> FiguresBySet:
    return FiguresBySet(**inside, ood=ood or {}, ood_mean=None)


def printed(results: FiguresBySet, width: int) -> str:
    console = Console(width=width, file=open("/dev/null", "w"), record=True)  # noqa: SIM115
    for part in class_tables(results, width):
        console.print(part)
    return console.export_text()


def test_many_classes_show_the_worst(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = [f"class {i}" for i in range(60)]
    labels = np.repeat(np.arange(60), 50)
    predicted = np.where(rng.random(3000) < labels / 60, labels, rng.integers(60, size=3000))
    found = Confusion.of(labels, predicted, names)
    results = of_sets(id_test=found.added_to(figures_of(found), Details(per_class=True, confusion=True)))
    shown = printed(results, 60)
    assert "40 more" in shown and "confusion matrix" not in shown
    recalls = [float(cells[0]) for cells in re.findall(r"class \d+ +50 +([\d.]+) +([\d.]+)", shown)]
    assert len(recalls) == 20 and recalls == sorted(recalls)
    assert recalls[-1] <= sorted(row["recall"] * 100 for row in found.per_class())[20]
    wrong = found.counts * (1 - np.eye(60, dtype=int))
    assert [int(n) for n in re.findall(r"class \d+ → class \d+ +(\d+)", shown)] == sorted(wrong.flat, reverse=True)[:10]


def test_a_matrix_too_wide_for_the_terminal_is_left_out() -> None:
    found = Confusion.of(np.arange(12).repeat(9), np.arange(12).repeat(9), list("abcdefghijkl"))
    results = of_sets(ood={"far": found.added_to(figures_of(found), Details(confusion=True))})
    assert "confusion matrix" in printed(results, 100) and "nothing is misclassified" in printed(results, 100)
    assert "confusion matrix" not in printed(results, 40)
