"""`ftcli rank` as a user types it: the rows, their order, what is not computed, and wrong requests."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import jsonschema
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from ftcli.engine import predict
from ftcli.engine.features import frozen_body
from ftcli.explain.rank.held_out import FOLDS
from ftcli.measures.paired import mcnemar
from ftcli.model.head import head_of, set_head
from ftcli.model.loading.save import save_model
from ftcli.report.schema import report_schema
from tests.helpers.program import inside, read
from tests.helpers.worlds import coloured, loaded

MODEL = ["--image-size", 32, "--threads", 1, "--batch-size", 16]
SCORES = ("probe", "knn", "logme", "nleep", "h_score", "gbc", "transrate")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints: two families, one of another normalisation; one without a head; one that gives every image the same
    features. A training set, and a shifted set.
    """
    root = tmp_path_factory.mktemp("rank")
    for name, family, mean in (("a", "test_resnet", 0.5), ("b", "test_vit", 0.3)):
        network = loaded(family, 5)
        network = replace(network, data_config={**network.data_config, "mean": (mean,) * 3})
        save_model(root / name, network, network.model, None)
    blind = loaded("test_resnet", 5)
    for parameter in blind.model.parameters():
        torch.nn.init.zeros_(parameter)
    set_head(blind.model, torch.zeros(5, head_of(blind.model).width), torch.zeros(5))
    save_model(root / "blind", blind, blind.model, None)
    coloured(root / "train", each=20, noise=250)
    coloured(root / "far", each=15, seed=2, noise=300)
    return root


def words(place: Path, *models: str) -> list[Any]:
    return ["rank", *(place / model for model in models), "--train", place / "train", *MODEL]


@pytest.fixture(scope="module")
def report(place: Path) -> dict[str, Any]:
    sets = ["--ood", f"far={place / 'far'}", "--ood", f"new={place / 'far'}?labels=none"]
    done = inside(*words(place, "blind", "a", "b"), *sets, "--out", place / "out")
    assert done.returncode == 0, done.stderr
    return read(place / "out")


def test_the_rows_are_in_the_order_of_the_probe(place: Path, report: dict[str, Any]) -> None:
    jsonschema.validate(report, report_schema())
    rows = report["ranking"]
    assert {row["label"] for row in rows[:2]} == {"a", "b"} and rows[2]["label"] == "blind"
    assert rows[0]["probe"] >= rows[1]["probe"] > 1 / 3
    assert [model["label"] for model in report["models"]] == ["blind", "a", "b"]  # as typed
    for row in rows[:2]:
        assert all(isinstance(row[name], float) for name in (*SCORES, "leep"))
        assert row["probe_ci95"][0] < row["probe"] < row["probe_ci95"][1] and row["input"] == [32, 32]
        assert row["ood"]["far"]["n"] == 45 and row["ood"]["far"]["oracle"] > 1 / 3
        assert set(row["ood"]["new"]) == {"n", "estimates"}
        assert 0 <= row["ood"]["new"]["estimates"]["atc"]["accuracy"] <= 1
    by_label = {row["label"]: row for row in rows}
    assert by_label["a"]["parameters"] == report["models"][1]["parameters"]
    assert by_label["a"]["checkpoint"] == str(place / "a")


def test_a_checkpoint_without_scores_says_why(report: dict[str, Any]) -> None:
    blind = report["ranking"][2]
    assert all(blind[name] is None for name in (*SCORES, "probe_ci95", "p_holm", "C")) and "ood" not in blind
    texts = [warning["text"] for warning in report["warnings"] if warning["code"] == "no-score"]
    assert "few-for-estimates" in [warning["code"] for warning in report["warnings"]]
    assert texts == ["blind has no scores: its features are the same for every image"]


def test_a_row_depends_on_its_checkpoint_alone(place: Path, report: dict[str, Any], tmp_path: Path) -> None:
    """The same figures without the others, in whose normalisation its images are not prepared."""
    done = inside(*words(place, "b"), "--ood", f"far={place / 'far'}", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    alone = read(tmp_path / "out")["ranking"]
    among = next(row for row in report["ranking"] if row["label"] == "b")
    assert len(alone) == 1 and alone[0]["p_holm"] is None
    assert [alone[0][name] for name in (*SCORES, "leep")] == [among[name] for name in (*SCORES, "leep")]
    assert alone[0]["ood"]["far"] == among["ood"]["far"]


def test_tables_fit_a_terminal(place: Path, report: dict[str, Any]) -> None:
    done = inside("report", place / "out", COLUMNS="80")
    assert done.returncode == 0, done.stderr
    captions = ("sorted", "higher", "oracle:", "not measured", "warning")
    lines = [line for line in done.stdout.splitlines() if not line.startswith(captions)]
    assert all(len(line) <= 80 for line in lines), max(lines, key=len)
    for word in ("probe", "k-NN", "LogME", "NLEEP", "H-score", "GBC", "TransRate", "LEEP", "oracle", "ATC", "blind"):
        assert word in done.stdout


def test_the_probe_is_tested_on_the_same_images(place: Path, report: dict[str, Any]) -> None:
    """Of two checkpoints nothing is corrected: the p value is that of some b and c whose difference is known."""
    done = inside(*words(place, "a", "b"), "--out", place / "two")
    assert done.returncode == 0, done.stderr
    (first, second), n = read(place / "two")["ranking"], read(place / "two")["data"]["train"]["n"]
    more = round(n * (first["probe"] - second["probe"]))
    assert first["p_holm"] is None
    assert any(second["p_holm"] == pytest.approx(mcnemar(c + more, c)) for c in range(n))


def test_one_pass_over_each_set(place: Path, tmp_path: Path) -> None:
    seen: list[str] = []

    def counted(model: Any, data: Any, machine: Any, log: Any, label: str, *more: Any) -> Any:
        seen.append(label)
        return predict.passes(model, data, machine, log, label, *more)

    with mock.patch.object(frozen_body, "passes", counted):
        sets = ["--ood", f"far={place / 'far'}", "--ood", f"new={place / 'far'}?labels=none"]
        done = inside(*words(place, "a", "b"), *sets, "--no-cache", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert seen == [f"{label}: features of {name}" for label in "ab" for name in ("train", "far", "new")]


def test_every_group_is_left_out_once(place: Path, tmp_path: Path) -> None:
    """Against scikit-learn's logistic regression with the same C, on the features that `predict` writes."""
    lines = ["image,label,place"]
    for i, file in enumerate(sorted((place / "train").rglob("*.png"))):
        lines.append(f"{file},{file.parent.name},{'north' if i % 2 else 'south'}")
    (place / "train.csv").write_text("\n".join(lines) + "\n")
    sets: list[Any] = ["--train", f"{place / 'train.csv'}?group=place&root={place}"]
    sets += ["--id-val", place / "far", "--id-test", place / "far"]
    done = inside("rank", place / "a", *sets, *MODEL, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    row = read(tmp_path / "out")["ranking"][0]
    groups = row["groups"]
    assert set(groups["by_group"]) == {"north", "south"}
    assert groups["worst"] == min(groups["by_group"].values())
    assert groups["mean"] == pytest.approx(sum(groups["by_group"].values()) / 2)
    features = tmp_path / "features.parquet"
    done = inside("predict", place / "a", place / "train", *MODEL, "--features", features, "--out", tmp_path / "p.csv")
    assert done.returncode == 0, done.stderr
    table = pq.read_table(features)
    paths = [Path(example) for example in table["example"].to_pylist()]
    order = sorted(range(len(paths)), key=lambda i: (paths[i].parent.name, paths[i].name))
    phi = torch.tensor(table["features"].to_pylist(), dtype=torch.float64)[order]
    scaled = ((phi - phi.mean()) / phi.std(correction=0)).numpy()
    labels = [paths[i].parent.name for i in order]
    north = [i for i in range(60) if i % 2]
    south = [i for i in range(60) if not i % 2]
    fitted = LogisticRegression(C=row["C"], max_iter=10_000, tol=1e-8)
    right = fitted.fit(scaled[south], [labels[i] for i in south]).predict(scaled[north]) == [labels[i] for i in north]
    assert groups["by_group"]["north"] == pytest.approx(right.mean(), abs=0.04)  # an image on the border, at most


def test_wrong_requests(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = inside("rank", place / "a", "--id-test", place / "far", *MODEL, "--out", out)
    assert done.returncode == 2 and "add --train SPEC" in done.stderr
    done = inside(*words(place), "--out", out)
    assert done.returncode == 2
    done = inside("rank", place / "nowhere", *words(place, "a")[1:], "--out", out)
    assert done.returncode == 2 and "nowhere" in done.stderr
    few = coloured(tmp_path / "few", classes=2, each=2)
    sets = ["--train", few, "--id-val", place / "far", "--id-test", place / "far"]
    done = inside("rank", place / "a", *sets, *MODEL, "--out", out)
    assert done.returncode == 2 and "4 different images" in done.stderr and str(FOLDS) in done.stderr
    assert not out.exists()


def test_the_same_file_twice_is_said(place: Path, tmp_path: Path) -> None:
    done = inside(*words(place, "a", "a"), "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    report = read(tmp_path / "out")
    assert "identical-files" in [warning["code"] for warning in report["warnings"]]
    first, second = report["ranking"]
    assert second["p_holm"] == 1.0 and first["probe"] == second["probe"]
