"""`ftcli agreement` as a user types it: against what `ftcli evaluate` says of each model alone."""

import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.metrics import cohen_kappa_score

from ftcli.explain.agreement.measure import DISJOINT, KINDS
from ftcli.figures.contact_sheet import GAP, LABEL_WIDTH, LINE_HEIGHT, SIDE
from ftcli.log import Log
from ftcli.measures.paired import bootstrap_difference
from ftcli.model.checkpoints.checkpoint import open_checkpoint
from ftcli.model.head import head_of, set_head
from ftcli.model.loading.load import load_model
from ftcli.model.loading.save import save_model
from ftcli.report.schema import report_schema
from tests.conftest import ROOT
from tests.helpers.ended import Ended
from tests.helpers.program import inside
from tests.helpers.worlds import coloured, loaded

MODEL = ["--image-size", 32, "--threads", 1, "--batch-size", 16]


def again(model: Path, folder: Path, order: list[int], names: tuple[str, ...] | None) -> Path:
    """The same model with the rows of its head in another order, under these names."""
    checkpoint = open_checkpoint(str(model), strip_prefix=None, log=Log())
    one = load_model(name=None, checkpoint=checkpoint, num_classes=None, image_size=32, log=Log())
    head = head_of(one.model)
    set_head(one.model, head.weight[order].clone(), head.bias[order].clone())
    save_model(folder, one, one.model, names)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models probed on other pictures of three classes, one of another family with another normalisation; the
    first again under other names; a test set, and a shifted set that lacks a class.
    """
    root = tmp_path_factory.mktemp("agreement")
    for i, (name, mean) in enumerate([("test_resnet", 0.5), ("test_resnet", 0.5), ("test_vit", 0.3)]):
        network = loaded(name)
        network = replace(network, data_config={**network.data_config, "mean": (mean,) * 3})
        save_model(root / f"start{i}", network, network.model, None)
        train = coloured(root / f"train{i}", each=12, seed=10 + i, noise=200)
        start = ["--checkpoint", root / f"start{i}", "--train", train, "--augment", "none"]
        done = inside("probe", *start, *MODEL, "--out", root / "abc"[i])
        assert done.returncode == 0, done.stderr
    coloured(root / "test", each=20, seed=1, noise=250)
    coloured(root / "far", classes=2, each=20, seed=2, noise=300)
    again(root / "a", root / "turned", [2, 0, 1], ("class2", "class0", "class1"))
    again(root / "a", root / "unnamed", [0, 1, 2], None)
    again(root / "a", root / "others", [0, 1, 2], ("class0", "class1", "someone"))
    five = loaded("test_resnet", 5)
    save_model(root / "five", five, five.model, None)
    return root


def words(place: Path, *models: str) -> list[Any]:
    sets = ["--id-test", place / "test", "--ood", f"far={place / 'far'}"]
    return [*(place / model for model in models), *sets, *MODEL]


def asked(place: Path, out: Path, *models: str, more: tuple[Any, ...] = ()) -> Ended:
    return inside("agreement", *words(place, *models), "--out", out, *more)


@pytest.fixture(scope="module")
def alone(place: Path) -> dict[str, tuple[dict[str, Any], pa.Table]]:
    """What `ftcli evaluate` says of each model: its report, and its predictions."""
    found = {}
    for model in "abc":
        out = place / f"evaluated-{model}"
        found[model] = inside("evaluate", *words(place, model), "--out", out, "--json").report
        found[model] = (found[model], pq.read_table(out / "predictions.parquet"))
    return found


@pytest.fixture(scope="module")
def report(place: Path) -> dict[str, Any]:
    return asked(place, place / "run", "a", "b", "c", more=("--json", "--seed", 3)).report


def test_every_pair_on_every_set_as_evaluate_predicts(report: dict[str, Any], alone: dict[str, Any]) -> None:
    jsonschema.validate(report, report_schema())
    pairs = report["agreement"]["pairs"]
    assert [(pair["a"], pair["b"]) for pair in pairs] == list(combinations("abc", 2))
    for pair in pairs:
        assert list(pair["sets"]) == ["id_test", "far"]
        for name, found in pair["sets"].items():
            both = (alone[pair[model]][1] for model in "ab")
            one, other = (table.filter(pc.equal(table["set"], name)) for table in both)
            assert one["example"] == other["example"]
            ids, labels = one["example"].to_pylist(), one["label"].to_pylist()
            said = [table["predicted"].to_pylist() for table in (one, other)]
            wrong = [{i for i, x, y in zip(ids, labels, s, strict=True) if x != y} for s in said]
            sets = {"common": wrong[0] & wrong[1], "g1": wrong[0] - wrong[1], "g2": wrong[1] - wrong[0]}
            for kind in DISJOINT:
                assert set(found["examples"][kind]["ids"]) == sets[kind]
                assert [ids[i] for i in found["examples"][kind]["indices"]] == found["examples"][kind]["ids"]
                by_class = {row["name"]: row[kind] for row in found["per_class"]}
                assert by_class == {c: sum(i.startswith(c) for i in sets[kind]) for c in sorted(set(labels))}
            assert found["kappa"] == pytest.approx(cohen_kappa_score(*said))
            right = [np.array([float(i not in one) for i in ids]) for one in wrong]
            assert found["ci95"] == bootstrap_difference(*right, seed=3)
    assert any(pair["sets"]["id_test"]["uncommon"] for pair in pairs)


def test_the_page_names_every_key(report: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "commands" / "agreement.md").read_text(encoding="utf-8")
    named = {word for row in re.findall(r"^\| (`.+?) \|", page, re.MULTILINE) for word in re.findall(r"`(\w+)`", row)}
    assert named >= set(report["agreement"]["pairs"][0]["sets"]["far"])


def test_each_model_has_the_figures_of_evaluate(report: dict[str, Any], alone: dict[str, Any], place: Path) -> None:
    """Of the third too, which wants its pictures normalised in another way."""
    table = pq.read_table(place / "run" / "predictions.parquet")
    for model in report["models"]:
        there, predictions = alone[model["label"]]
        for here, other in ((model["results"]["id_test"], there["results"]["id_test"]),
                            (model["results"]["ood"]["far"], there["results"]["ood"]["far"])):  # fmt: skip
            assert here["accuracy"] == other["accuracy"] and here["loss"] == pytest.approx(other["loss"], rel=1e-5)
        mine = table.filter(pc.equal(table["model"], model["label"])).drop_columns(["model"])
        assert mine.drop_columns(["probability"]).equals(predictions.drop_columns(["probability"]))
    assert [model["name"] for model in report["models"]] == ["test_resnet", "test_resnet", "test_vit"]
    assert report["results"] == report["models"][0]["results"]


def test_the_table_shows_every_pair_by_its_letters(report: dict[str, Any], place: Path) -> None:
    shown = inside("report", place / "run", COLUMNS="100").stdout
    for pair in report["agreement"]["pairs"]:
        a, b = pair["a"].upper(), pair["b"].upper()
        section = shown.partition(f"Mistakes of {a} and {b}\n")[2].splitlines()
        assert f"only {a}" in section[0] and f"only {b}" in section[0]
        for line, entry in zip(section[2:], pair["sets"].values(), strict=False):
            assert line.split()[1:5] == [str(entry[key]) for key in ("n", "common", "g1", "g2")]
            assert f"{100 * entry['difference']:+z.1f} [" in line and f"{100 * entry['agreement']:z.1f}" in line
    assert "mistakes by class" not in shown  # of three pairs that would be a long answer
    assert max(len(line) for line in shown.splitlines() if line.startswith("─")) <= 100


def test_classes_in_another_order_are_matched_by_name(place: Path, tmp_path: Path) -> None:
    report = asked(place, tmp_path / "o", "a", "turned", more=("--json",)).report
    assert "classes-by-position" not in [warning["code"] for warning in report["warnings"]]
    for entry in report["agreement"]["pairs"][0]["sets"].values():
        assert entry["common"] > 0 == entry["uncommon"] and entry["agreement"] == 1.0
    one, other = (model["results"] for model in report["models"])
    assert one["id_test"]["loss"] == pytest.approx(other["id_test"]["loss"], rel=1e-6)
    turned = asked(place, tmp_path / "p", "turned", "b", more=("--json",)).report
    straight = asked(place, tmp_path / "q", "a", "b", more=("--json",)).report
    for name, entry in straight["agreement"]["pairs"][0]["sets"].items():
        assert turned["agreement"]["pairs"][0]["sets"][name]["examples"] == entry["examples"]


def test_classes_without_names_are_matched_by_position(place: Path, tmp_path: Path) -> None:
    report = asked(place, tmp_path / "o", "a", "unnamed", more=("--json",)).report
    assert report["agreement"]["pairs"][0]["sets"]["id_test"]["agreement"] == 1.0
    [said] = [warning["text"] for warning in report["warnings"] if warning["code"] == "classes-by-position"]
    assert str(place / "unnamed") in said


REFUSED: list[tuple[tuple[str, ...], tuple[Any, ...], tuple[str, ...]]] = [
    (("a", "others"), (), ("someone", "class2", "same classes", "ftcli evaluate")),
    (("a", "five"), (), ("5 classes", "same classes", "ftcli evaluate")),
    (("a",), (), ("two models or more", "got 1")),
    (("a", "b"), ("--sheet", "mistakes.jpg"), ("--sheet", "mistakes.jpg", ".png")),
    (("a", "b"), ("--mistakes", "g1"), ("--mistakes g1", "--sheet")),
    (("a", "b"), ("--mistakes", "g3", "--sheet", "mistakes.png"), ("g3", "g2")),
    (("a", "nowhere"), (), ("nowhere",)),
]


@pytest.mark.parametrize(("models", "more", "said"), REFUSED, ids=str)
def test_refused(
    place: Path, tmp_path: Path, models: tuple[str, ...], more: tuple[Any, ...], said: tuple[str, ...]
) -> None:
    ended = asked(place, tmp_path / "o", *models, more=more)
    assert ended.returncode == 2, ended.stderr
    for part in said:
        assert part in ended.stderr
    assert "Traceback" not in ended.stderr and not ended.stdout and not (tmp_path / "o").exists()


def test_pictures_without_labels_are_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "loose").mkdir()
    for i, path in enumerate(sorted((place / "test").rglob("*.png"))[:3]):
        (tmp_path / "loose" / f"{i}.png").write_bytes(path.read_bytes())
    ended = inside("agreement", place / "a", place / "b", "--id-test", tmp_path / "loose", "--out", tmp_path / "o")
    assert ended.returncode == 2 and "loose" in ended.stderr and "Traceback" not in ended.stderr
    assert not (tmp_path / "o").exists()


def test_one_file_twice(place: Path, tmp_path: Path) -> None:
    report = asked(place, tmp_path / "o", "a", "a", more=("--json", "--sheet", tmp_path / "none.png")).report
    assert {"identical-files", "no-sheet"} <= {warning["code"] for warning in report["warnings"]}
    [pair] = report["agreement"]["pairs"]
    assert pair["a"] != pair["b"] and pair["sets"]["far"]["agreement"] == 1.0
    assert not (tmp_path / "none.png").exists()


def mistakes_of(model: str, table: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """(set, example) of everything that a model gets wrong, from predictions.parquet."""
    own = [row for row in table if row["model"] == model and row["label"] != row["predicted"]]
    return {(row["set"], row["example"]) for row in own}


@pytest.mark.parametrize("kind", KINDS)
def test_the_sheet_shows_the_mistakes_of_its_kind(place: Path, tmp_path: Path, kind: str) -> None:
    """A row per set and class, in it the first eight such pictures, and nothing after them."""
    path = tmp_path / "new" / "sheet.png"
    done = asked(place, tmp_path / "o", "a", "c", more=("--sheet", path, "--mistakes", kind))
    assert done.returncode == 0, done.stderr
    table = pq.read_table(tmp_path / "o" / "predictions.parquet").to_pylist()
    a, c = mistakes_of("a", table), mistakes_of("c", table)
    wanted = {"common": a & c, "uncommon": a ^ c, "g1": a - c, "g2": c - a}[kind]
    rows: dict[tuple[str, str], list[str]] = {}
    for row in table[: len(table) // 2]:
        if (row["set"], row["example"]) in wanted:
            rows.setdefault((row["set"], row["label"]), []).append(row["example"])
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    down = SIDE + GAP + 2 * LINE_HEIGHT
    assert pixels.shape[0] == down * len(rows) > 0
    folders = {"id_test": place / "test", "far": place / "far"}
    for i, ((name, _), examples) in enumerate(rows.items()):
        for j in range(8):
            left = LABEL_WIDTH + j * (SIDE + GAP)
            seen = pixels[i * down : i * down + SIDE, left : left + SIDE]
            if j >= len(examples):
                assert (seen == 255).all()
                continue
            with Image.open(folders[name] / examples[j]) as picture:
                assert np.array_equal(seen, np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.NEAREST)))


def test_reports_of_several_models_are_not_compared(place: Path, tmp_path: Path) -> None:
    assert asked(place, tmp_path / "o", "a", "b").returncode == 0
    done = inside("compare", tmp_path / "o", tmp_path / "o" / "report.json")
    assert done.returncode == 2 and "agreement" in done.stderr and "try:" in done.stderr
