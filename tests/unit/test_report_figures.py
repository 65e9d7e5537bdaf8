"""What the figures of reports show, from reports and predictions made by hand, against plain arithmetic."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ftcli.config.looking import Compare, check_figures
from ftcli.config.looking import Report as ReportOptions
from ftcli.errors import RequestError
from ftcli.figures.panels import HeatMap, LinePlot, ScatterPlot
from ftcli.measures.calibration import ece
from ftcli.report.figures.accuracy import distortion_panels, id_ood_panels
from ftcli.report.figures.answers import answers_of
from ftcli.report.figures.by_kind import chosen_panels, comparison_panels, report_panels
from ftcli.report.figures.calibration import reliability_panels
from ftcli.report.figures.confusion import confusion_panels, most_confused
from ftcli.report.figures.learning_curves import learning_curve_panels
from ftcli.report.types import Report
from tests.helpers.reports import report_with

PICK = {"seed": 0, "lr": 0.1, "epoch": 2, "C": None, "edge_of_grid": False, "id_val": {"accuracy": 0.9, "loss": 0.1}}


def figures(accuracy: float, **more: Any) -> dict[str, Any]:
    spread = {"n": 100, "accuracy_ci95": [accuracy - 0.1, accuracy + 0.05], "loss": 1.0, "balanced_accuracy": accuracy}
    return {"accuracy": accuracy, "worst_class_recall": 0.0, "ece": 0.1, **spread, **more}


def results(ood: dict[str, float], id_test: float = 0.9, **more: Any) -> dict[str, Any]:
    mean = {"accuracy": sum(ood.values()) / len(ood)} if ood else None
    by_set = {name: figures(accuracy, **more) for name, accuracy in ood.items()}
    return {"id_val": figures(0.95), "id_test": figures(id_test, **more), "ood": by_set, "ood_mean": mean}


def trained(**parts: Any) -> Report:
    return report_with("finetune", selected=PICK, **parts)


def distances(**by_set: float) -> dict[str, Any]:
    other = {"mean": 1.0, "se": None, "relative": None, "cosine": None, "dropped": 0}
    return {name: {"penultimate": {"rms": rms, **other}} for name, rms in by_set.items()} | {
        "ratio": {},
        "subspace": {},
    }


def scatters(panels: list[Any]) -> dict[str, ScatterPlot]:
    return {panel.title: panel for panel in panels}


def test_a_point_is_a_report_with_its_intervals() -> None:
    seeds = {"ci90": [0.4, 0.8], "accuracy_std": 0.1, "n_seeds": 3}
    reports = {
        "LP": trained(results=results({"art": 0.6, "sketch": 0.4})),
        "FT": trained(results=results({"art": 0.5, "sketch": 0.1}, 0.92, **seeds)),
    }
    panels = scatters(id_ood_panels(reports))
    assert [*panels] == [f"ID and OOD accuracy: {name}" for name in ("mean of 2 OOD sets", "art", "sketch")]
    mean, art = panels["ID and OOD accuracy: mean of 2 OOD sets"], panels["ID and OOD accuracy: art"]
    assert [group.label for group in art.groups] == ["LP", "FT"] and art.diagonal
    np.testing.assert_allclose([[*group.x, *group.y] for group in art.groups], [[90, 60], [92, 50]])
    np.testing.assert_allclose([group.error_bars("y")[0] for group in art.groups], [[50, 65], [40, 80]])
    np.testing.assert_allclose([group.y for group in mean.groups], [[50], [30]])  # type: ignore[arg-type]
    assert np.isnan(mean.groups[0].error_bars("y")).all(), "the mean of one run has no interval"
    assert art.note == "error bars: 95 % intervals of one run or 90 % intervals over seeds"
    assert (art.x, art.y) == ("ID-test accuracy (%)", "art accuracy (%)")


def test_one_report_has_a_point_for_each_set() -> None:
    (panel,) = scatters(id_ood_panels({"LP": trained(results=results({"art": 0.6, "sketch": 0.4}))})).values()
    assert [group.label for group in panel.groups] == ["OOD mean", "art", "sketch"]


def test_of_many_sets_the_least_accurate_are_shown_and_that_is_said() -> None:
    ood = {f"c{k}": (k * 7 % 19) / 20 for k in range(19)}
    reports = {name: trained(results=results(ood)) for name in ("a", "b")}
    panels = id_ood_panels(reports)
    worst = {name for name in ood if ood[name] in sorted(ood.values())[:5]}
    assert {panel.title.split(": ")[1] for panel in panels[1:]} == worst
    assert all("shown are the 5 least accurate of 19 OOD sets" in str(getattr(panel, "note", "")) for panel in panels)


def test_reports_without_ood_sets_or_results_have_no_panel() -> None:
    assert comparison_panels({"a": trained(results=results({})), "b": report_with("theory")}) == {}


def test_distortion_stands_against_the_accuracy_of_the_saved_model() -> None:
    """Not against the mean over seeds: the distances are those of one model."""
    seeds = [
        {"selected": PICK | {"seed": seed}, "results": results({"art": accuracy, "sketch": 0.2})}
        for seed, accuracy in ((0, 0.3), (1, 0.7))
    ]
    parts = {"similarity": {}, "parameters": {}, "distortion": distances(art=1.0, sketch=2.0)}
    report = trained(results=results({"art": 0.5, "sketch": 0.2}), seeds=seeds, **parts)
    plain = trained(results=results({"art": 0.5}))
    panels = scatters(distortion_panels({"FT": report, "LP": plain}))
    assert [*panels] == ["Feature distortion and OOD accuracy"]
    found = {group.label: (*group.x, *group.y) for group in panels["Feature distortion and OOD accuracy"].groups}
    assert found == {"OOD mean": (1.5, 25.0), "art": (1.0, 30.0), "sketch": (2.0, 20.0)}


def history(start: float, epochs: int = 3, **ood: float) -> list[dict[str, Any]]:
    return [
        {"epoch": e, "loss": 1 / e, "id_val": {"accuracy": start + e / 100, "loss": 1.0}, "seconds": 0.0}
        | ({"ood": {name: {"accuracy": one + e / 100, "loss": 1.0} for name, one in ood.items()}} if ood else {})
        for e in range(1, epochs + 1)
    ]


def run(seed: int, lr: float, **more: Any) -> dict[str, Any]:
    return {"seed": seed, "lr": lr, "epoch": 2, "id_val": {"accuracy": 0.9, "loss": 0.1}, "diverged": False} | more


def test_learning_curves_are_the_mean_and_range_of_the_picked_runs() -> None:
    runs = [
        run(0, 0.1, history=history(0.5, art=0.2)),
        run(0, 0.2, history=history(0.1, art=0.9)),
        run(1, 0.2, history=history(0.7, 4, art=0.4)),
    ]
    seeds = [{"selected": PICK | {"seed": s, "lr": lr}, "results": results({})} for s, lr in ((0, 0.1), (1, 0.2))]
    loss, accuracy, rates = learning_curve_panels(trained(runs=runs, seeds=seeds, results=results({})))
    assert isinstance(loss, LinePlot) and isinstance(accuracy, LinePlot) and isinstance(rates, LinePlot)
    np.testing.assert_allclose(loss.curves[0].y, [1, 1 / 2, 1 / 3])  # type: ignore[arg-type]
    id_val, art = accuracy.curves
    assert (id_val.label, art.label) == ("ID-val", "art") and [*id_val.x] == [1, 2, 3], "epochs that both seeds have"
    np.testing.assert_allclose(id_val.y, [61, 62, 63])  # type: ignore[arg-type]
    np.testing.assert_allclose([art.low, art.high], [[21, 22, 23], [41, 42, 43]])  # type: ignore[arg-type]
    assert [curve.label for curve in rates.curves] == ["lr 0.1", "lr 0.2"]
    np.testing.assert_allclose(rates.curves[1].y, [41, 42, 43])  # type: ignore[arg-type]
    assert "0.1 and 0.2" in loss.title and "mean of 2 seeds" in loss.note


def test_one_epoch_is_no_curve() -> None:
    assert learning_curve_panels(trained(runs=[run(0, 0.1, history=history(0.5, 1))], results=results({}))) == []


def predictions(folder: Path, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Of two seeds on one set; the confidences and hits of seed 0."""
    rng = np.random.default_rng(0)
    rows = []
    for seed in (0, 1):
        confidence, correct = rng.random(n), rng.random(n) < 0.6
        rows += [
            {"set": "art", "seed": seed, "example": f"{i}.png", "label": "a", "predicted": "ab"[1 - int(hit)],
             "probability": float(np.float32(sure))}
            for i, (sure, hit) in enumerate(zip(confidence, correct, strict=True))
        ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), folder / "predictions.parquet")
    first = rows[:n]
    return np.array([one["probability"] for one in first]), np.array([one["predicted"] == "a" for one in first])


def test_a_reliability_diagram_is_of_the_saved_model_and_adds_up_to_its_error(tmp_path: Path) -> None:
    confidence, correct = predictions(tmp_path)
    report = trained(results=results({"art": 0.6}, ece_calibrated=0.071))
    (panel,) = reliability_panels(report, answers_of(report, tmp_path))
    assert isinstance(panel, LinePlot) and panel.diagonal
    expected = ece(confidence, correct)
    assert panel.title == f"Calibration on art: ECE {100 * expected:.1f} % (7.1 % after temperature scaling)"
    (curve,) = panel.curves
    bins = np.ceil(confidence * 15) - 1
    for x, y, k in zip(curve.x, curve.y, range(15), strict=True):
        assert x == pytest.approx(100 * confidence[bins == k].mean()) and y == pytest.approx(
            100 * correct[bins == k].mean()
        )
    assert all(low <= y <= high for low, y, high in zip(curve.low or (), curve.y, curve.high or (), strict=True))  # type: ignore[operator]


def test_answers_of_another_run_are_refused_or_absent(tmp_path: Path) -> None:
    report = trained(results=results({}))
    assert answers_of(report, tmp_path) == {}
    (tmp_path / "predictions.parquet").write_bytes(b"no table")
    with pytest.raises(RequestError, match="cannot be read as predictions"):
        answers_of(report, tmp_path)


def test_a_confusion_matrix_is_in_per_cent_of_the_true_class() -> None:
    matrix = {"classes": ["a", "b", "c"], "counts": [[3, 1, 0], [0, 0, 0], [5, 0, 5]]}
    (panel,) = confusion_panels(trained(results=results({}, confusion=matrix)))
    assert isinstance(panel, HeatMap) and panel.title == "Confusion on ID-test"
    assert panel.values == [[75, 25, 0], [None, None, None], [50, 0, 50]] and panel.rows == ["a", "b", "c"]


def test_of_many_classes_the_most_confused_are_shown() -> None:
    counts = np.eye(30, dtype=int) * 50
    for rank, (i, j) in enumerate(((20, 3), (3, 9), (9, 28), (11, 12), (1, 2), (4, 5), (6, 7), (8, 10))):
        counts[i, j] = 40 - rank
    assert most_confused(counts.tolist()) == [1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 20, 28]
    matrix = {"classes": [f"class {k}" for k in range(30)], "counts": counts.tolist()}
    (panel,) = confusion_panels(trained(results=results({}, confusion=matrix)))
    assert isinstance(panel, HeatMap) and panel.title == "Confusion on ID-test: the 12 most confused of 30 classes"
    assert panel.rows[2] == "class 3" and panel.values[2][7] == pytest.approx(100 * 39 / 89)


def test_kinds_are_those_that_the_options_name(tmp_path: Path) -> None:
    predictions(tmp_path)
    parts = {"similarity": {}, "parameters": {}, "distortion": distances(art=1.0)}
    matrix = {"classes": ["a", "b"], "counts": [[3, 1], [0, 4]]}
    whole = results({"art": 0.5}, confusion=matrix)
    panels = report_panels(trained(runs=[run(0, 0.1, history=history(0.5))], results=whole, **parts), tmp_path)
    allowed = ReportOptions(file=tmp_path, plot=Path("a.pdf"), figures=None), Compare(reports=[tmp_path])
    assert allowed and [*panels] == ["id-ood", "distortion", "learning-curves", "reliability", "confusion"]
    assert chosen_panels(panels, ("confusion",), "it") == panels["confusion"]
    assert len(chosen_panels(panels, None, "it")) == sum(map(len, panels.values()))
    for found, kinds, problem in ((panels, ("x",), "nothing to draw of this kind"), ({}, None, "nothing to draw")):
        with pytest.raises(RequestError, match=problem):
            chosen_panels(found, kinds, "it")
    with pytest.raises(RequestError, match="names what --plot draws"):
        check_figures(None, ("id-ood",))  # type: ignore[arg-type]
