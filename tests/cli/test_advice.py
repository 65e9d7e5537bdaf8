"""What a refused set of data is told to type: it is typed here, and works."""

import re
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ftcli.data.examples import open_images
from ftcli.data.images import ImageSet
from ftcli.data.sources.source import open_source
from ftcli.data.specs.parse import parse
from ftcli.errors import RequestError
from ftcli.log import Log
from tests.helpers.pictures import encoded, folder, picture
from tests.helpers.program import checkpoint, inside

QUICK = ["--image-size", 32, "--batch-size", 16, "--threads", 1]


def opened(text: object, *, labelled: bool = True) -> ImageSet:
    return open_images(parse(str(text)), Log(), labelled=labelled)


def refusal(text: object, *, labelled: bool = True) -> RequestError:
    with pytest.raises(RequestError) as error:
        opened(text, labelled=labelled)
    return error.value


def structs(count: int) -> list[dict]:
    return [{"bytes": encoded(picture(i)), "path": None} for i in range(count)]


def names(images: ImageSet) -> list[str]:
    return [images.classes[label] for label in images.labels]


# Labels


@pytest.mark.parametrize(
    ("labels", "kept"), [([0, -1, 1, None, 0], [0, 1, 0]), (["a", None, "b", "", "a"], ["a", "b", "a"])]
)
def test_rows_without_labels_are_left_out_as_told(tmp_path: Path, labels: list, kept: list) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"image": structs(5), "kind": labels}), path)
    error = refusal(f"{path}?label=kind")
    assert "1 more" in error.problem or "no label" in error.problem
    assert "where=" not in error.fix
    line = re.search(r"in Python: (.*?); or", error.fix)
    assert line
    code = line[1].replace("SET.parquet", str(path)).replace("LABELLED.parquet", f"{tmp_path}/l.parquet")
    datasets.disable_progress_bars()
    exec(code, {"datasets": datasets})
    images = opened(f"{tmp_path}/l.parquet?label=kind")
    assert [int(name) if isinstance(kept[0], int) else name for name in names(images)] == kept
    assert np.array_equal(np.asarray(images.image(1)), np.asarray(picture(2)))


@pytest.mark.parametrize("labels", [[-1, -1, -1], pa.nulls(3, pa.int64()), ["", "", ""]])
def test_a_set_with_no_label_at_all_is_to_be_predicted_on(tmp_path: Path, labels: object) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"image": structs(3), "label": labels}), path)
    assert "ftcli predict" in refusal(path).fix and len(opened(path, labelled=False)) == 3


@pytest.mark.parametrize("wanted", ["None", "null", ""])
def test_empty_cells_are_not_offered_as_a_value(tmp_path: Path, wanted: str) -> None:
    path = tmp_path / "t.parquet"
    columns = {"image": structs(4), "label": list("abab"), "site": ["x", None, "y", None]}
    pq.write_table(pa.table(columns), path)
    error = refusal(f"{path}?where=site:{wanted}")
    assert "2 rows have no value" in error.problem and '"x", "y"' in error.problem
    assert "None" not in error.fix and '"None"' not in error.problem.replace(f'has "{wanted}"', "")


def test_the_advice_for_an_empty_group_leaves_the_other_groups(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"image": structs(3), "label": list("aba"), "site": ["x", None, "y"]}), path)
    assert "fill it in" in refusal(f"{path}?group=site").fix


# Tables of text, and paths


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("of cats.csv", "file,label\na/0.png,cat\nb/0.png,dog\n"),
        ("o'neil.tsv", "file\tlabel\na/0.png\tcat\nb/0.png\tdog\n"),
        ("rows.jsonl", '{"file": "a/0.png", "label": "cat"}\n{"file": "b/0.png", "label": "dog"}\n'),
    ],
)
def test_a_table_of_text_is_read_by_its_own_name(tmp_path: Path, name: str, text: str) -> None:
    folder(tmp_path, {"a": 1, "b": 1})
    (tmp_path / name).write_text(text)
    images = opened(tmp_path / name)
    assert names(images) == ["cat", "dog"]
    assert np.array_equal(np.asarray(images.image(1)), np.asarray(picture(1)))


@pytest.mark.parametrize("name", ["set.zip", "set.npz", "set.rar", "list"])
def test_other_files_are_refused_with_what_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"whatever")
    error = refusal(tmp_path / name)
    assert "one subfolder" in error.problem and "name the folder" not in error.fix and error.fix


@pytest.mark.parametrize("type", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_a_column_of_paths_is_read(tmp_path: Path, type: pa.DataType) -> None:
    folder(tmp_path / "pictures", {"a": 2, "b": 1})
    paths = ["pictures/b/0.png", "./pictures/a/1.png", f"{tmp_path}/pictures/a/0.png"]
    pq.write_table(pa.table({"image": pa.array(paths).cast(type), "label": list("bac")}), tmp_path / "t.parquet")
    images = opened(tmp_path / "t.parquet")
    for i, seed in enumerate((2, 1, 0)):
        assert np.array_equal(np.asarray(images.image(i)), np.asarray(picture(seed)))
    pq.write_table(pa.table({"label": list("bac"), "image": pa.array(paths).cast(type)}), tmp_path / "u.parquet")
    assert opened(tmp_path / "u.parquet").fingerprint == images.fingerprint


@pytest.mark.parametrize("paths", [["no.png", "none.png"], ["cat", "dog"], ["", ""]])
def test_a_column_of_other_text_is_no_column_of_images(tmp_path: Path, paths: list[str]) -> None:
    (tmp_path / "in").mkdir()
    picture(0).save(tmp_path / "out.png")
    pq.write_table(pa.table({"image": paths, "label": ["a", "b"]}), tmp_path / "in" / "t.parquet")
    error = refusal(tmp_path / "in" / "t.parquet")
    assert "not images" in error.problem and f'there is no file "{paths[0]}" below' in error.problem


def test_a_missing_file_of_a_column_of_paths_is_named(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 1})
    pq.write_table(pa.table({"image": ["a/1.png", "a/0.png"], "label": ["a", "b"]}), tmp_path / "t.parquet")
    assert 'row "0" of' in (error := refusal(tmp_path / "t.parquet")).problem and '"a/1.png"' in error.problem
    assert len(open_images(parse(f"{tmp_path}/t.parquet"), Log(), damaged="skip")) == 1


# Folders of parquet files


def converted(root: Path, names: tuple[str, ...]) -> None:
    for i, name in enumerate(names):
        (root / name).mkdir(parents=True, exist_ok=True)
        for part in range(2):
            pq.write_table(pa.table({"image": structs(2), "label": [i, part]}), root / name / f"{part:04d}.parquet")


@pytest.mark.parametrize("place", ["default", "data"])
def test_the_hub_s_converted_files_are_splits(tmp_path: Path, place: str) -> None:
    converted(tmp_path / place, ("train", "validation", "extra"))
    for path in (tmp_path / place, tmp_path):
        assert sorted(tuple(open_source(parse(str(path)), Log()).splits)) == ["extra", "train", "validation"]
        assert opened(f"{path}?split=validation").ids == ["0", "1", "2", "3"]


@pytest.mark.parametrize("below", ["", "train"])
def test_several_sets_of_parquet_files_are_to_be_named(tmp_path: Path, below: str) -> None:
    for name in ("art", "photo"):
        converted(tmp_path / "sets" / name, (below,))
    error = refusal(tmp_path / "sets")
    assert '"art", "photo"' in error.problem and error.fix.endswith(f"{tmp_path}/sets/art")
    assert len(opened(tmp_path / "sets" / "art")) == 4


# One picture


@pytest.mark.parametrize("name", ["one.jpg", "one.gif", "one"])
def test_one_picture_is_predicted(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(encoded(picture(5), "JPEG" if name == "one.jpg" else "GIF"))
    folder(tmp_path / "set", {"a": 1})
    (tmp_path / "set" / "a" / "0.png").unlink()
    (tmp_path / "set" / "a" / name).write_bytes((tmp_path / name).read_bytes())
    model = checkpoint(tmp_path / "model")
    alone = inside("predict", model, tmp_path / name, *QUICK, "--json").report
    among = inside("predict", model, tmp_path / "set", *QUICK, "--json").report
    assert [row["example"] for row in alone] == [name] and len(among) == 1
    assert alone[0]["probability"] == among[0]["probability"]
    assert "ftcli predict" in refusal(tmp_path / name).fix


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"film")
    done = inside("predict", checkpoint(tmp_path / "model"), tmp_path / "a.mp4", *QUICK)
    assert done.returncode == 2 and done.stdout == "" and "a.mp4" in done.stderr


@pytest.mark.parametrize("labels", [[None, "a", "", "b", None], ["", "a", None, None, "b"]])
def test_rows_without_a_label_are_counted_together(tmp_path: Path, labels: list[str | None]) -> None:
    cells = [encoded(picture(i)) for i in range(5)]
    pq.write_table(pa.table({"image": cells, "label": labels}), tmp_path / "t.parquet")
    error = refusal(tmp_path / "t.parquet")
    assert 'row "0"' in error.problem and "2 more of 5" in error.problem
