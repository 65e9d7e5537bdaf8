"""`predict` against timm alone: ranks, probabilities, features, and every form in which they are written."""

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import timm
import torch
from PIL import Image

from ftcli.data.images import ImageSet
from ftcli.model import head
from ftcli.report.predictions import label_table, probability_columns
from tests.helpers.ended import Ended
from tests.helpers.pictures import picture
from tests.helpers.program import PAINT, checkpoint, inside

NAMES = ["cat", "dög", PAINT, 'a,"b"', ""]
COLUMNS = ("predicted", "name", "probability")
SIZES = [(64, 64), (90, 41), (33, 70), (9, 100), (64, 64)]
QUICK = ["--threads", 1, "--batch-size", 2, "--no-cache"]


def named(folder: Path, names: list[str] | None) -> Path:
    """A checkpoint whose classes have these names."""
    checkpoint(folder)
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"].pop("label_names", None)
    config.pop("label_names", None)
    if names:
        config["pretrained_cfg"]["label_names"] = config["label_names"] = names
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models with and without names, and images of several sizes."""
    root = tmp_path_factory.mktemp("predict")
    named(root / "model", NAMES)
    named(root / "plain", None)
    (root / "images").mkdir()
    for i, size in enumerate(SIZES):
        picture(i, size).save(root / "images" / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def alone(place: Path) -> tuple[np.ndarray, np.ndarray]:
    """What timm alone computes from the saved folder: features [N, D] and probabilities [N, K]."""
    model = timm.create_model(f"local-dir:{place / 'model'}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=model))
    features, probabilities = [], []
    for path in paths(place):
        with torch.inference_mode(), Image.open(path) as image:
            batch = transform(image.convert("RGB"))[None]
            features.append(model.forward_head(model.forward_features(batch), pre_logits=True)[0].numpy())
            probabilities.append(model(batch).double().softmax(dim=1)[0].numpy())
    return np.stack(features), np.stack(probabilities)


def paths(place: Path) -> list[str]:
    return [str(place / "images" / f"{i}.png") for i in range(len(SIZES))]


def predict(place: Path, *words: Any, model: str = "model", images: list[str] | None = None) -> Ended:
    done = inside("predict", place / model, *(images or paths(place)), *QUICK, *words)
    assert done.returncode == 0, done.stderr
    return done


def refused(place: Path, *words: Any) -> str:
    done = inside("predict", place / "model", *paths(place), *QUICK, *words)
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr
    return done.stderr


def test_ranks_and_probabilities_are_those_of_timm(place: Path, alone: tuple[np.ndarray, np.ndarray]) -> None:
    rows = predict(place, "--top", 5, "--probabilities", "--json").report
    columns = [f"{column}{'' if rank == 1 else f'_{rank}'}" for rank in range(1, 6) for column in COLUMNS]
    assert list(rows[0]) == ["example", *columns, *(f"p:{name}" for name in NAMES)]
    for row, path, expected in zip(rows, paths(place), alone[1], strict=True):
        assert row["example"] == path
        assert [row[f"p:{name}"] for name in NAMES] == pytest.approx(expected, abs=1e-5)
        order = np.argsort(-expected, kind="stable")
        for rank, index in enumerate(order, 1):
            ending = "" if rank == 1 else f"_{rank}"
            assert (row[f"predicted{ending}"], row[f"name{ending}"]) == (index, NAMES[index])
            assert row[f"probability{ending}"] == row[f"p:{NAMES[index]}"]
    assert len({tuple(np.argsort(-expected)) for expected in alone[1]}) > 1


def test_one_rank_is_what_it_was(place: Path) -> None:
    rows = predict(place, "--json").report
    assert [list(row) for row in rows] == [["example", *COLUMNS]] * len(SIZES)
    assert [{key: row[key] for key in rows[0]} for row in predict(place, "--top", 3, "--json").report] == rows


def test_models_without_names_use_numbers(place: Path) -> None:
    row = predict(place, "--probabilities", "--json", model="plain").report[0]
    assert list(row)[4:] == [f"p:{index}" for index in range(5)] and row["name"] == str(row["predicted"])


def test_ties_are_broken_by_index() -> None:
    logits = np.array([[1, 2, 2, 1], [0, 0, 0, 0], [0.0, -0.0, 3, 3]], dtype=np.float32)
    table = label_table(["a", "b", "c"], logits, None, top=4)
    ranks = [table.column(f"predicted{ending}").to_pylist() for ending in ("", "_2", "_3", "_4")]
    assert [list(row) for row in zip(*ranks, strict=True)] == [[1, 2, 0, 3], [0, 1, 2, 3], [2, 3, 0, 1]]
    assert table.column("predicted") == label_table(["a", "b", "c"], logits, None).column("predicted")
    assert table.column("probability") == label_table(["a", "b", "c"], logits, None).column("probability")


def test_many_rows_are_computed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = np.random.RandomState(0).normal(0, 3, (23, 7)).astype(np.float32)
    tables = []
    for numbers in (10**6, 20, 1):
        monkeypatch.setattr("ftcli.report.predictions.NUMBERS", numbers)
        tables.append(label_table(list(map(str, range(23))), logits, None, top=3, with_probabilities=True))
    assert tables[0] == tables[1] == tables[2]


def test_columns_of_classes_that_read_the_same_are_numbered() -> None:
    assert probability_columns(["crane", "dog", "crane"]) == ["p:0:crane", "p:1:dog", "p:2:crane"]
    assert probability_columns(["a\x00", "a\x01"]) == ["p:0:a\x00", "p:1:a\x01"]  # equal where they are shown
    assert probability_columns(["1:a", "a"]) == ["p:1:a", "p:a"]


def test_every_form_has_the_same_rows(place: Path, tmp_path: Path) -> None:
    words = ["--top", 2, "--probabilities"]
    rows = predict(place, *words, "--json").report
    assert [json.loads(line) for line in predict(place, *words, "--jsonl").stdout.splitlines()] == rows
    for ending in ("csv", "jsonl", "parquet"):
        file = tmp_path / "new" / f"p.{ending}"
        assert predict(place, *words, "--out", file).stdout == ""
        assert content(file) == [{key: str(value) for key, value in row.items()} for row in rows]
    done = predict(place, *words, "--jsonl", "--out", tmp_path / "p.csv")
    assert len(done.stdout.splitlines()) == len(rows) and (tmp_path / "p.csv").exists()
    shown = predict(place, *words)
    assert "\x1b" not in shown.stdout and len(list(csv.DictReader(io.StringIO(shown.stdout)))) == len(rows)


def content(file: Path) -> list[dict[str, str]]:
    """The rows of a file of predictions, every value as text."""
    if file.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))
    if file.suffix == ".parquet":
        rows = pq.read_table(file).to_pylist()
    else:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [{key: str(value) for key, value in row.items()} for row in rows]


@pytest.mark.parametrize("cached", [False, True])
def test_features_are_those_of_timm(
    place: Path, alone: tuple[np.ndarray, np.ndarray], tmp_path: Path, cached: bool
) -> None:
    for file in (tmp_path / "f" / "f.npy", tmp_path / "f.parquet"):
        done = predict(place, "--features", file, "--json", *(["--cache"] if cached else []))
        if file.suffix == ".npy":
            features = np.load(file, allow_pickle=False)
        else:
            table = pq.read_table(file)
            assert table.column("example").to_pylist() == [row["example"] for row in done.report]
            features = np.array(table.column("features").to_pylist(), dtype=np.float32)
            assert table.schema.field("features").type.list_size == features.shape[1]
        assert features.dtype == np.float32 and features.shape == alone[0].shape
        assert features == pytest.approx(alone[0], abs=1e-4)


def test_features_come_from_the_pass_that_predicts(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def counted(model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return head.features(model, images)

    monkeypatch.setattr("ftcli.engine.predict.features", counted)
    predict(place, "--features", tmp_path / "f.npy", "--out", tmp_path / "p.csv")
    assert sum(seen) == len(SIZES)


def test_features_in_a_file_too_large_for_memory(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read and written a block at a time, here of 64 rows."""
    images = paths(place) * 30
    predict(place, "--features", tmp_path / "a.npy", images=images)
    monkeypatch.setattr("ftcli.engine.features.feature_cache.IN_MEMORY", 0)
    monkeypatch.setattr("ftcli.engine.features.feature_matrix.BLOCK_BYTES", {"cpu": 1})
    for file in ("b.npy", "b.parquet"):
        predict(place, "--features", tmp_path / file, images=images)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    table = pq.read_table(tmp_path / "b.parquet")
    assert table.column("example").to_pylist() == images
    rows = np.array(table.column("features").to_pylist(), dtype=np.float32)
    assert np.array_equal(np.load(tmp_path / "a.npy"), rows)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--top", 6], "--top 6: the model has 5 classes"),
        (["--top", 0], "--top 0"),
        (["--json", "--jsonl"], "type one of them"),
        (["--out", "p.txt"], ".csv, .jsonl or .parquet"),
        (["--features", "f.csv"], ".npy or .parquet"),
        (["--out", "x.parquet", "--features", "./x.parquet"], "are one file"),
        (["--features", "there.npy"], "'there.npy' is there already"),
        (["--features", "there.npy/f.npy"], "which is a file"),
    ],
)
def test_what_is_refused(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[Any], said: str
) -> None:
    """Before any image is read, and nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ImageSet, "inspected", lambda *_, **__: pytest.fail("images are read"))
    (tmp_path / "there.npy").write_bytes(b"mine")
    assert said in refused(place, *words)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"there.npy": b"mine"}


def test_files_are_replaced_as_told(place: Path, tmp_path: Path) -> None:
    (tmp_path / "f.npy").write_bytes(b"old")
    predict(place, "--features", tmp_path / "f.npy", "--overwrite")
    assert len(np.load(tmp_path / "f.npy")) == len(SIZES)


def test_neither_file_is_there_where_one_cannot_be_written(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ftcli.engine.features.feature_file.write_features", full)
    words = ["--out", tmp_path / "p.csv", "--features", tmp_path / "f.npy"]
    done = inside("predict", place / "model", *paths(place), *QUICK, *words)
    assert done.returncode == 1 and "No space left" in done.stderr and list(tmp_path.iterdir()) == []


def test_damaged_images_are_left_out_of_everything(place: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    images = [paths(place)[0], str(tmp_path / "bad.png"), paths(place)[3]]
    stopped = inside("predict", place / "model", *images, *QUICK)
    assert stopped.returncode == 2 and "bad.png" in stopped.stderr
    words = ["--damaged", "skip", "--features", tmp_path / "f.npy", "--json"]
    done = predict(place, *words, images=images)
    assert "bad.png" in done.stderr
    predict(place, "--features", tmp_path / "all.npy")
    assert [row["example"] for row in done.report] == [images[0], images[2]]
    assert np.load(tmp_path / "f.npy") == pytest.approx(np.load(tmp_path / "all.npy")[[0, 3]], abs=1e-5)


def test_ways_of_naming_images_give_the_same(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = predict(place, "--json").report
    assert predict(place, "--json", images=[f"{place}/images/*.png"]).report == expected
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\r\n".join(paths(place)).encode())))
    assert predict(place, "--json", images=["-"]).report == expected
    alone = predict(place, "--json", images=[str(place / "images")]).report
    assert [row | {"example": f"{place}/images/{row['example']}"} for row in alone] == expected
    twice = predict(place, "--json", images=[paths(place)[1]] * 3).report
    assert [row["example"] for row in twice] == [paths(place)[1]] * 3
    assert [row["predicted"] for row in twice] == [expected[1]["predicted"]] * 3
