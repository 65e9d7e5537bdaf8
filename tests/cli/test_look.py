"""The commands around a run: evaluate, predict, report, compare, blocks, data, presets, schema."""

import csv
import io
import json
from pathlib import Path

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest
import timm
from PIL import Image

from ftcli.commands import COMMANDS
from tests.helpers.program import PAINT, SMALL, Work, inside, read, work


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return work(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def runs(tiny: Work, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One folder of each method, two seeds where there are seeds, and one of `evaluate` on the same sets."""
    root = tmp_path_factory.mktemp("runs")
    more = {"probe": [], "finetune": ["--lr", "3e-3", "--seeds", 2], "lpft": ["--lr", "1e-3", "--seeds", 2]}
    for command, words in more.items():
        done = inside(command, *tiny.words, "--epochs", 1, *words, "--out", root / command)
        assert done.returncode == 0, done.stderr
    sets = ["--id-test", tiny.train, "--ood", f"far={tiny.far}"]
    done = inside("evaluate", root / "probe", *sets, "--threads", 1, "--batch-size", 16, "--out", root / "evaluate")
    assert done.returncode == 0, done.stderr
    return {command: root / command for command in (*more, "evaluate")}


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_every_report_keeps_the_schema(runs: dict[str, Path]) -> None:
    schema = inside("schema").report
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    for folder in runs.values():
        check.validate(read(folder))
    broken = read(runs["probe"])
    broken["results"]["id_test"]["accuracy"] = 96.7  # a percentage is no fraction
    assert not check.is_valid(broken)
    del broken["results"]["id_test"]["accuracy"]
    assert not check.is_valid(broken)


def test_report_shows_what_the_run_showed(tiny: Work, tmp_path: Path) -> None:
    done = inside("probe", *tiny.words, "--out", tmp_path / "o")
    for place in (tmp_path / "o", tmp_path / "o" / "report.json"):
        shown = inside("report", place)
        assert shown.returncode == 0 and shown.stdout == done.stdout.replace(f"saved in {tmp_path / 'o'}\n", "")
        assert inside("report", place, "--json").report == read(tmp_path / "o")


def test_stages_stand_beside_each_other(runs: dict[str, Path]) -> None:
    """The first stage of LP-FT is the very probe, and the last one is what the report's results are."""
    lpft, probe = read(runs["lpft"]), read(runs["probe"])
    assert lpft["stages"]["probe"]["results"] == probe["results"]
    assert lpft["stages"]["probe"]["selected"] == probe["selected"]
    assert lpft["stages"]["finetune"]["results"] == lpft["results"]
    assert lpft["stages"]["finetune"]["selected"] == lpft["selected"]
    rows = [line.split()[0] for line in inside("report", runs["lpft"], COLUMNS="200").stdout.splitlines() if line]
    assert rows.index("LP") + 1 == rows.index("LP-FT")


def test_evaluate_finds_the_figures_of_the_run(runs: dict[str, Path]) -> None:
    run, judged = read(runs["probe"]), read(runs["evaluate"])
    assert judged["data"]["classes"] == run["data"]["classes"]
    far, found = run["results"]["ood"]["far"], judged["results"]["ood"]["far"]
    assert set(far) - set(found) == {"ece_calibrated"}  # without ID-val there is no temperature
    for name, value in found.items():
        assert value == pytest.approx(far[name], rel=1e-6), name
    assert judged["data"]["ood"]["far"]["fingerprint"] == run["data"]["ood"]["far"]["fingerprint"]
    assert judged["runs"] == [] and judged["selected"] is None and judged["model"]["trainable"] == 0
    assert {path.name for path in runs["evaluate"].iterdir()} == {
        "report.json",
        "predictions.parquet",
        "logits.safetensors",
    }


def test_compare_says_the_same_in_every_form(runs: dict[str, Path]) -> None:
    folders = [runs[name] for name in ("probe", "finetune", "lpft")]
    accuracy: dict[tuple[str, str], float] = {}
    for folder in folders:
        results = read(folder)["results"]
        flat = {"id_val": results["id_val"], "id_test": results["id_test"], **results["ood"]}
        accuracy |= {(folder.name, name): entry["accuracy"] for name, entry in flat.items()}
        accuracy[folder.name, "ood_mean"] = results["ood_mean"]["accuracy"]
    whole = inside("compare", *folders, "--json").report
    cells = {(row["name"], name): cell["accuracy"] for row in whole["rows"] for name, cell in row["cells"].items()}
    assert cells == accuracy
    rows = table(inside("compare", *folders, "--format", "csv").stdout)
    lines = {(r["name"], r["set"]): float(r["accuracy"]) for r in rows if r["kind"] == "accuracy"}
    assert lines == accuracy
    minus = {(r["name"], r["minus"], r["set"]): float(r["accuracy"]) for r in rows if r["kind"] == "difference"}
    assert {pair[:2] for pair in minus} == {("probe", "finetune"), ("probe", "lpft"), ("finetune", "lpft")}
    for (first, second, name), difference in minus.items():
        assert difference == pytest.approx(accuracy[first, name] - accuracy[second, name], abs=1e-12)
    for words in ([], ["--format", "markdown"]):
        shown = inside("compare", *folders, *words, COLUMNS="200").stdout
        assert all(f"{100 * value:.1f}" in shown for value in accuracy.values())
    files = [folder / "report.json" for folder in folders]
    assert inside("compare", *files, "--json").report == whole


def test_compare_pairs_only_what_saw_the_same_examples(runs: dict[str, Path]) -> None:
    whole = inside("compare", runs["probe"], runs["evaluate"], "--json").report
    assert [pair["set"] for pair in whole["differences"]] == ["far"]
    assert whole["differences"][0]["difference"] == 0
    assert any("id_test" in note for note in whole["notes"])


def test_predict_agrees_with_the_run_in_every_form(runs: dict[str, Path], tiny: Work, tmp_path: Path) -> None:
    words = ["predict", runs["probe"], tiny.train, "--threads", 1, "--batch-size", 16]
    rows = inside(*words, "--json").report
    for file in (tmp_path / "new" / "p.csv", tmp_path / "p.parquet"):
        done = inside(*words, "--out", file)
        assert done.returncode == 0 and done.stdout == ""
        found = table(file.read_text(encoding="utf-8")) if file.suffix == ".csv" else pq.read_table(file).to_pylist()
        assert rows == [
            {**row, "predicted": int(row["predicted"]), "probability": float(row["probability"])} for row in found
        ]
    printed = table(inside(*words).stdout)  # as the others, but for the sign that would paint
    assert [row["example"] for row in printed] == [row["example"].replace("\x1b", "\ufffd") for row in rows]
    classes = read(runs["probe"])["data"]["classes"]
    assert len(rows) == 60 and all(row["name"] == classes[row["predicted"]] for row in rows)
    run = pq.read_table(runs["probe"] / "predictions.parquet").to_pylist()
    by_example = {row["example"]: row for row in rows}
    for row in run:
        if row["set"] in ("id_val", "id_test"):
            mine = by_example[row["example"]]
            assert mine["name"] == row["predicted"]
            assert mine["probability"] == pytest.approx(row["probability"], rel=1e-5)
    taken = inside(*words, "--out", tmp_path / "p.parquet")
    assert taken.returncode == 2 and "--overwrite" in taken.stderr
    assert inside(*words, "--out", tmp_path / "p.parquet", "--overwrite").returncode == 0


def test_predict_needs_no_labels(runs: dict[str, Path], tiny: Work, tmp_path: Path) -> None:
    (tmp_path / "loose").mkdir()
    for i, path in enumerate(sorted(tiny.train.rglob("*.png"))[:3]):
        (tmp_path / "loose" / f"{i}.png").write_bytes(path.read_bytes())
    rows = inside("predict", runs["probe"], tmp_path / "loose", "--json").report
    assert [row["example"] for row in rows] == ["0.png", "1.png", "2.png"]


def test_predictions_carry_the_reported_accuracy(runs: dict[str, Path]) -> None:
    for command in ("probe", "finetune", "lpft"):
        report = read(runs[command])
        rows = pq.read_table(runs[command] / "predictions.parquet").to_pylist()
        flat = {"id_val": report["results"]["id_val"], "id_test": report["results"]["id_test"]}
        for name, entry in (flat | report["results"]["ood"]).items():
            right = [row["label"] == row["predicted"] for row in rows if row["set"] == name]
            assert len(right) == entry["n"] * entry.get("n_seeds", 1)
            assert sum(right) / len(right) == pytest.approx(entry["accuracy"], abs=1e-12)


def test_blocks_of_a_run_and_of_a_name(runs: dict[str, Path]) -> None:
    own = inside("blocks", runs["probe"], "--json").report
    assert {block["name"]: block["parameters"] for block in own["blocks"]} == {
        block["name"]: block["parameters"] for block in read(runs["probe"])["model"]["blocks"]
    }
    named = inside("blocks", "resnet18", "--json").report
    expected = sum(tensor.numel() for tensor in timm.create_model("resnet18").parameters())
    assert sum(block["parameters"] for block in named["blocks"]) == expected == 11_689_512
    assert [block["name"] for block in named["blocks"]] == ["stem", "layer1", "layer2", "layer3", "layer4", "fc"]
    assert "8,393,728" in inside("blocks", "resnet18").stdout


def test_data_counts_and_draws(tiny: Work, tmp_path: Path) -> None:
    grid = tmp_path / "new" / "grid.png"
    found = inside("data", tiny.far, "--json", "--save", grid).report
    assert found["n"] == 42 and found["classes"] == {"class0": 14, PAINT: 14, f"{PAINT}more": 14}
    assert found["fingerprint"] == inside("data", f"{tiny.far}?limit=42", "--json").report["fingerprint"]
    assert found["fingerprint"] != inside("data", f"{tiny.far}?limit=41", "--json").report["fingerprint"]
    with Image.open(grid) as sheet:
        assert sheet.format == "PNG" and sheet.height > 3 * 90 and len(sheet.convert("RGB").getcolors(1 << 20)) > 1000
    shown = inside("data", tiny.far).stdout
    assert "42 images of 3 classes" in shown and found["fingerprint"][:16] in shown
    few = inside("data", f"{tiny.far}?per-class=2:1", "--json").report
    assert few["n"] == 6 and set(few["classes"].values()) == {2}


def test_data_shows_what_is_done_to_a_set(tiny: Work, tmp_path: Path) -> None:
    settings = "per-class=3:0&shift=contrast:5&labels=flip"
    found = inside("data", f"{tiny.far}?{settings}", "--json", "--save", tmp_path / "flat.png").report
    plain = inside("data", f"{tiny.far}?per-class=3:0", "--json", "--save", tmp_path / "plain.png").report
    assert (found["changes"], plain["changes"]) == ({"labels": "flip", "shift": "contrast:5"}, {})
    assert found["fingerprint"] != plain["fingerprint"] and found["classes"] == plain["classes"]
    tiles = {}
    for name in ("flat", "plain"):
        with Image.open(tmp_path / f"{name}.png") as sheet:
            tiles[name] = np.asarray(sheet, dtype=np.float64)[:, 160:]
    rows = {name: [tile[100 * row : 100 * row + 96, :96] for row in range(3)] for name, tile in tiles.items()}
    for row in range(3):  # of a class; flipped, the last comes first
        flat, clear = rows["flat"][row], rows["plain"][2 - row]
        assert np.abs(flat.mean(axis=(0, 1)) - clear.mean(axis=(0, 1))).max() < 2
        assert flat.std(axis=(0, 1)).max() < 0.25 * clear.std(axis=(0, 1)).min()
    assert "9 images of 3 classes, labels=flip, shift=contrast:5" in inside("data", f"{tiny.far}?{settings}").stdout
    wrong = inside("data", f"{tiny.far}?shift=contarst:5")
    assert wrong.returncode == 2 and 'did you mean "contrast"?' in wrong.stderr


def test_the_schema_knows_every_command() -> None:
    text = inside("schema").stdout
    assert json.loads(text)["properties"]["command"]["enum"] == sorted(COMMANDS)


def test_quiet_and_small(runs: dict[str, Path], tiny: Work) -> None:
    for words in (["data", tiny.train], ["predict", runs["probe"], tiny.train], ["report", runs["probe"]]):
        assert inside(*words, "--quiet").stderr == ""
    said = inside("probe", *tiny.words[:4], *SMALL, "--dry-run", "--quiet").stderr
    assert said.startswith("warning: ID-val has 6 examples") and said.count("\n") == 1
