"""Tables of text, list files and folders with a table of their images: the same set, however it is written."""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ftcli.data.examples import examples_of
from ftcli.data.sources.source import open_source
from ftcli.data.specs.parse import parse
from ftcli.data.storage import local, storage
from ftcli.log import Log
from tests.helpers.opening import names, opened, refusal
from tests.helpers.pictures import encoded, folder, picture

PETS = {"ant": 2, "bee": 1, "cat": 3}


def pets(root: Path) -> list[tuple[str, str]]:
    """A folder of pictures, and (path, class) of each in the folder's order."""
    folder(root, PETS)
    return [(f"{name}/{i}.png", name) for name, count in PETS.items() for i in range(count)]


def write_csv(path: Path, rows: list[tuple[Any, ...]], header: tuple[str, ...] = ("image", "label")) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",").writerows([header, *rows])
    return path


def write_lines(path: Path, objects: list[Any]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in objects), encoding="utf-8")
    return path


def write_parquet(path: Path, rows: list[tuple[str, str]], name: str = "image") -> Path:
    pq.write_table(pa.table({name: [row[0] for row in rows], "label": [row[1] for row in rows]}), path)
    return path


def labelled(tmp_path: Path, labels: list[Any], ending: str = "csv", name: str = "label") -> Path:
    """A table of so many pictures with a column of labels."""
    paths = [f"{i}.png" for i in range(len(labels))]
    for i, path in enumerate(paths):
        if not (tmp_path / path).exists():
            picture(i).save(tmp_path / path)
    if ending == "csv":
        return write_csv(tmp_path / "t.csv", list(zip(paths, labels, strict=True)), ("image", name))
    if ending == "jsonl":
        return write_lines(
            tmp_path / "t.jsonl", [{"image": path, name: label} for path, label in zip(paths, labels, strict=True)]
        )
    pq.write_table(pa.table({"image": paths, name: labels}), tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


# ---- the same set in every form


def test_the_same_pictures_have_one_fingerprint_in_every_form(tmp_path: Path) -> None:
    root = tmp_path / "pets"
    rows = pets(root)
    expected = opened(root).fingerprint
    forms = [write_csv(root / f"t{ending}", rows) for ending in (".csv", ".tsv")]
    forms += [
        write_lines(root / f"t{ending}", [{"image": path, "label": name} for path, name in rows])
        for ending in (".jsonl", ".ndjson")
    ]
    forms.append(write_lines(root / "s.jsonl", [{"image": {"path": path}, "label": name} for path, name in rows]))
    for i, words in enumerate(([name for _, name in rows], [str("abc".index(name[0])) for _, name in rows])):
        lines = [f"{path} {word}\n" for (path, _), word in zip(rows, words, strict=True)]
        (root / f"list{i}.txt").write_text("".join(lines))
        forms.append(root / f"list{i}.txt")
    pq.write_table(
        pa.table({"image": [path for path, _ in rows], "label": [name for _, name in rows]}), root / "t.parquet"
    )
    forms.append(root / "t.parquet")
    for form in forms:
        images = opened(form)
        assert images.fingerprint == expected and names(images) == [name for _, name in rows], form
    flat = tmp_path / "flat"
    flat.mkdir()
    for i, (path, _) in enumerate(rows):
        (flat / f"{i}.png").write_bytes((root / path).read_bytes())
    write_csv(flat / "metadata.csv", [(f"{i}.png", name) for i, (_, name) in enumerate(rows)], ("file_name", "label"))
    assert opened(flat).fingerprint == expected and opened(flat).ids == [f"{i}.png" for i in range(6)]


def test_pixels_in_json_are_images(tmp_path: Path) -> None:
    pixels = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    path = write_lines(tmp_path / "t.jsonl", [{"image": one.tolist(), "label": i} for i, one in enumerate(pixels)])
    assert np.array_equal(np.asarray(opened(path).image(1)), pixels[1])


def test_a_table_is_read_through_its_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a URL's would be: table, list and pictures come from there, and from below its folder only."""
    root = tmp_path / "pets"
    rows = pets(root)

    class Elsewhere(local.LocalStorage):
        def at(self, url: str) -> str:
            return url.replace("mem://host", str(tmp_path))

        def is_file(self, path: str) -> bool:
            return super().is_file(self.at(path))

        def size(self, path: str) -> int:
            return os.path.getsize(self.at(path))

        def open(self, path: str) -> Any:
            return open(self.at(path), "rb")

        def read_whole(self, path: str, most: int) -> bytes:
            return super().read_whole(self.at(path), most)

    stored = Elsewhere()
    for module in ("sources.tables.text_file", "decoding.column"):
        monkeypatch.setattr(f"ftcli.data.{module}.storage_of", lambda path: stored if "://" in path else local.STORAGE)
    from ftcli.data.sources.source import Source
    from ftcli.data.sources.tables.tables import open_table

    write_csv(root / "t.csv", rows)
    write_csv(root / "u.csv", [("ant/../../secret.png", "a"), ("ant/0.png", "b")])
    picture(0).save(tmp_path / "secret.png")
    spec = parse("x.csv")
    images = examples_of(Source(spec, open_table("mem://host/pets/t.csv", None, labelled=True)), Log())
    assert [bytes(images.column.content(i)) for i in range(6)] == [(root / path).read_bytes() for path, _ in rows]
    with pytest.raises(Exception, match="leads out of the folder"):
        examples_of(Source(spec, open_table("mem://host/pets/u.csv", None, labelled=True)), Log())
    assert storage.storage_of("a") is local.STORAGE


# ---- CSV as programs write it


def test_what_programs_write_is_read(tmp_path: Path) -> None:
    """A byte-order mark, Windows line ends, an index without a name, empty lines, cells with commas and line ends."""
    folder(tmp_path, {"a": 2})
    (tmp_path / "t.csv").write_bytes(
        b'\xef\xbb\xbf,file_name,label,note\r\n\r\n0,a/0.png,"cat, black","two\r\nlines ""quoted"""\r\n\r\n'
        b"1,a/1.png,dog,\r\n"
    )
    images = opened(f"{tmp_path}/t.csv")
    assert names(images) == ["cat, black", "dog"] and images.lines is not None and images.lines.tolist() == [3, 6]
    oracle = list(csv.reader(io.StringIO((tmp_path / "t.csv").read_bytes().decode("utf-8-sig"), newline="")))
    rows = open_source(parse(f"{tmp_path}/t.csv"), Log()).rows()
    assert rows.table.column("note").to_pylist() == [oracle[2][3], oracle[4][3]]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "-2", "0"], [1, -2, 0]),
        (["1", "", "30"], [1, None, 30]),
        (["007", "8", "9"], ["007", "8", "9"]),
        (["1", "+2", "3"], ["1", "+2", "3"]),
        (["1", "-0", "3"], ["1", "-0", "3"]),
        (["1", " 2", "3"], ["1", " 2", "3"]),
        (["1.0", "2", "3"], ["1.0", "2", "3"]),
        (["1", "9" * 19, "3"], ["1", "9" * 19, "3"]),
        (["", "", "NA"], ["", "", "NA"]),
        (["2020-01-01", "nan", "True"], ["2020-01-01", "nan", "True"]),
    ],
)
def test_a_cell_stays_the_text_it_is_unless_all_are_whole_numbers(tmp_path: Path, cells: list, values: list) -> None:
    path = write_csv(tmp_path / "t.csv", [(cell, "x") for cell in cells], ("a", "b"))
    assert open_source(parse(str(path)), Log()).rows().table.column("a").to_pylist() == values


def test_a_line_is_named_where_a_label_or_group_is_missing(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 3})
    rows = [("a/0.png", "x\ny", "1"), ("a/1.png", "", "2"), ("a/2.png", "z", "")]
    path = write_csv(tmp_path / "t.csv", rows, ("image", "label", "site"))
    assert 'row "1" (line 4) of' in refusal(path)
    assert 'row "2" (line 5)' in refusal(f"{path}?group=site&label=image")
    assert 'row "1" (line 4) of' in refusal(f"{path}?split=train[1:]")


def test_missing_files_are_counted_before_a_picture_is_read(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 2})
    (tmp_path / "a" / "0.png").write_bytes(b"no picture")
    paths = ["a/0.png", "a/9.png", "a/1.png", "b/1.png", ""]
    path = write_csv(tmp_path / "t.csv", [(one, i % 2) for i, one in enumerate(paths)])
    said = refusal(path)
    assert 'row "1" (line 3)' in said and '"a/9.png"' in said and "2 more of 5" in said
    assert len(opened(path, damaged="skip")) == 1
    assert "damaged" in refusal(f"{path}?where=image:a/0.png")  # what is not chosen may be missing


def test_a_folder_of_the_images_is_named_with_root(tmp_path: Path) -> None:
    rows = pets(tmp_path / "pictures")
    (tmp_path / "tables").mkdir()
    path = write_csv(tmp_path / "tables" / "t.csv", rows)
    assert "root=DIR" in refusal(path)
    expected = opened(tmp_path / "pictures").fingerprint
    assert opened(f"{path}?root={tmp_path}/pictures").fingerprint == expected
    pq.write_table(
        pa.table({"image": [row[0] for row in rows], "label": [row[1] for row in rows]}), path.with_suffix(".parquet")
    )
    assert opened(f"{path.with_suffix('.parquet')}?root={tmp_path}/pictures").fingerprint == expected
    assert "leads out of the folder" in refusal(f"{write_csv(path, [('../pictures/ant/0.png', 'a')])}")
    assert "there is no folder" in refusal(f"{path}?root={tmp_path}/nowhere")
    assert "no table or list" in refusal(f"{tmp_path}/pictures?root={tmp_path}")


# ---- columns of images


@pytest.mark.parametrize("name", ["file_name", "filepath", "img_filename"])
def test_usual_names_of_columns_of_paths_are_found(tmp_path: Path, name: str) -> None:
    folder(tmp_path, {"a": 2})
    rows = [("a/0.png", "x", "x"), ("a/1.png", "y", "y")]
    assert len(opened(write_csv(tmp_path / "t.csv", rows, (name, "label", "more")))) == 2
    two = write_csv(tmp_path / "t.csv", rows, (name, "label", "path"))
    assert "more than one image column" in refusal(two)
    assert len(opened(f"{two}?image={name}")) == 2


def test_a_template_describes_paths(tmp_path: Path) -> None:
    for i, (patient, x) in enumerate((("004", 10), ("010", 20))):
        (tmp_path / f"p_{patient}").mkdir()
        picture(i).save(tmp_path / f"p_{patient}" / f"{{{x}}}_{i}.png")
    path = write_csv(tmp_path / "t.csv", [("004", 10, 0), ("010", 20, 1)], ("patient", "x", "label"))
    template = "p_{patient}/{{{x}}}_{row}.png"
    images = opened(f"{path}?image={template}")
    assert [np.array_equal(images.image(i), picture(i)) for i in range(2)] == [True, True]
    assert len(opened(f"{path}?image={template}&split=train[1:]")) == 1  # rows are counted in the file
    assert (
        'no column "patent"' in (said := refusal(f"{path}?image=p_{{patent}}.png")) and 'did you mean "patient"' in said
    )
    assert "without its counterpart" in refusal(f"{path}?image=p_{{patient.png")
    assert "names no column" in refusal(f"{path}?image={{{{x}}}}.png")
    path = write_csv(tmp_path / "t.csv", [("004", 10, 0), ("", 20, 1)], ("patient", "x", "label"))
    assert 'row "1" (line 3)' in (said := refusal(f"{path}?image={template}")) and "empty" in said
    path = write_csv(tmp_path / "t.csv", [("004", 10, 0), ("../../x", 20, 1)], ("patient", "x", "label"))
    assert "leads out of" in refusal(f"{path}?image={{patient}}/{{x}}.png")


# ---- labels


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("labels", "classes", "values"),
    [
        (["dog", "ant", "dog"], ("ant", "dog"), [1, 0, 1]),
        ([2, 10, 2], tuple(map(str, range(11))), [2, 10, 2]),
        ([1.0, 0.0, 2.0], ("0", "1", "2"), [1, 0, 2]),
        ([-1, 1, 1], ("-1", "1"), [0, 1, 1]),
        ([-1.0, 1.0, 1.0], ("-1", "1"), [0, 1, 1]),
        ([True, False, True], ("False", "True"), [1, 0, 1]),
        (["true", "false", "true"], ("False", "True"), [1, 0, 1]),
        (["v1", "1", "2"], ("1", "2", "v1"), [2, 0, 1]),
    ],
)
def test_labels_mean_the_same_in_every_table(
    tmp_path: Path, ending: str, labels: list[Any], classes: tuple[str, ...], values: list[int]
) -> None:
    images = opened(labelled(tmp_path, labels, ending))
    assert images.classes == classes and images.labels.tolist() == values


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_labels_that_are_none_are_refused_with_their_row(tmp_path: Path, ending: str) -> None:
    assert 'row "1"' in (said := refusal(labelled(tmp_path, [1.0, 1.5, 2.0], ending))) and "1.5" in said
    assert 'row "2"' in (said := refusal(labelled(tmp_path, [0, 1, -1], ending))) and "-1" in said
    path = labelled(tmp_path, [-1, 1, 1], ending)
    assert opened(f"{path}?where=image:1.png").classes == ("-1", "1")  # by the whole column, whatever is chosen


def test_columns_of_0_and_1_are_one_label(tmp_path: Path) -> None:
    for i in range(3):
        picture(i).save(tmp_path / f"{i}.png")
    header = ("image", "MEL", "NV", "BCC", "note")
    rows = [("0.png", "0.0", 1, "false", ""), ("1.png", "1.0", 0, "false", ""), ("2.png", "0.0", 0, "true", "x")]
    path = write_csv(tmp_path / "t.csv", rows, header)
    images = opened(f"{path}?label=MEL+NV+BCC")
    assert images.classes == ("MEL", "NV", "BCC") and images.labels.tolist() == [1, 0, 2]
    assert 'row "2" (line 4)' in (said := refusal(f"{path}?label=MEL+NV")) and "0 ones" in said
    assert opened(f"{path}?label=MEL+NV&split=train[:2]").labels.tolist() == [1, 0]
    assert 'row "0" (line 2)' in (said := refusal(f"{path}?label=note+NV")) and "no value" in said
    assert 'no column "MAL"' in refusal(f"{path}?label=MAL+NV")


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_list_of_0_and_1_is_a_label(tmp_path: Path, ending: str) -> None:
    images = opened(labelled(tmp_path, [[0, 1, 0], [1, 0, 0], [0, 0, 1]], ending))
    assert images.classes == ("0", "1", "2") and images.labels.tolist() == [1, 0, 2]
    assert 'row "1"' in refusal(labelled(tmp_path, [[0, 1], [1, 1]], ending))
    assert 'row "1"' in refusal(labelled(tmp_path, [[0, 1], [1, 0, 0]], ending))


# ---- lists


def test_a_list_may_number_its_folders(tmp_path: Path) -> None:
    folder(tmp_path, {"sea lion": 2, "bee": 1})
    path = tmp_path / "list.txt"
    path.write_text("\nsea lion/0.png 3\nbee/0.png\t7\n\nsea lion/1.png 3\n")
    images = opened(path)
    assert images.classes == ("sea lion", "bee") and images.labels.tolist() == [0, 1, 0]
    assert images.ids == ["sea lion/0.png", "bee/0.png", "sea lion/1.png"] and images.lines.tolist() == [2, 3, 5]  # type: ignore[union-attr]
    path.write_text("sea lion/0.png 1\nbee/0.png 0\nsea lion/1.png 0\n")  # the folders are no classes
    assert opened(path).classes == ("0", "1") and opened(path).labels.tolist() == [1, 0, 0]
    path.write_text("sea lion/0.png a\nnothing\n")
    assert "line 2" in refusal(path)
    path.write_text("sea lion/0.png a\nsea lion/2.png b\n")
    assert "(line 2)" in refusal(path)
    path.write_text("bee/0.png\n")
    assert "line 1" in refusal(path) and len(opened(path, labelled=False)) == 1


def test_the_files_of_a_list_may_lie_elsewhere(tmp_path: Path) -> None:
    folder(tmp_path / "domains" / "clipart", {"ant": 1, "bee": 1})
    (tmp_path / "clipart_train.txt").write_text("clipart/ant/0.png 0\nclipart/bee/0.png 1\n")
    assert opened(f"{tmp_path}/clipart_train.txt?root={tmp_path}/domains").classes == ("ant", "bee")


# ---- folders with a table


def test_a_table_in_each_split(tmp_path: Path) -> None:
    for first, split in ((0, "train"), (3, "test")):
        (tmp_path / split / "deep").mkdir(parents=True)
        for i in range(3):
            picture(first + i).save(tmp_path / split / "deep" / f"{i}.png")
        write_lines(
            tmp_path / split / "metadata.jsonl", [{"file_name": f"deep/{i}.png", "label": "ab"[i]} for i in range(2)]
        )
    log = Log()
    images = opened(f"{tmp_path}?split=test", log=log)
    assert images.ids == ["test/deep/0.png", "test/deep/1.png"] and names(images) == ["a", "b"]
    assert np.array_equal(images.image(1), picture(4))
    assert [w for w in log.warnings if "1 image" in str(w) and "does not name" in str(w)]
    assert len(opened(f"{tmp_path}?split=train+test")) == 4
    (tmp_path / "test" / "metadata.jsonl").unlink()
    assert "none for" in refusal(f"{tmp_path}?split=test")


def test_a_table_above_the_splits_is_divided(tmp_path: Path) -> None:
    """A row of the test images is no row of the training images."""
    for split in ("train", "test"):
        folder(tmp_path / split, {"a": 1, "b": 1})
    rows = [(f"{split}/{name}/0.png", name + "!") for split in ("test", "train") for name in "ab"]
    write_csv(tmp_path / "metadata.csv", rows, ("file_name", "label"))
    images = opened(f"{tmp_path}?split=test")
    assert images.ids == ["test/a/0.png", "test/b/0.png"] and names(images) == ["a!", "b!"]


def test_without_a_label_column_the_folders_are_the_classes(tmp_path: Path) -> None:
    rows = pets(tmp_path)
    write_csv(tmp_path / "metadata.csv", [(path, i % 2) for i, (path, _) in enumerate(rows)], ("file_name", "site"))
    images = opened(f"{tmp_path}?group=site")
    assert names(images) == [name for _, name in rows] and images.groups.tolist() == list("010101")  # type: ignore[union-attr]
    assert opened(f"{tmp_path}?label=site").classes == ("0", "1")


def test_a_table_in_a_folder_that_does_not_fit_is_refused_or_left_out(tmp_path: Path) -> None:
    pets(tmp_path)
    write_csv(tmp_path / "metadata.csv", [("ant/0.png", "x"), ("ant/7.png", "y")], ("file_name", "label"))
    assert "(line 3)" in refusal(tmp_path)
    write_csv(tmp_path / "metadata.csv", [("../out.png", "x"), ("ant/0.png", "y")], ("file_name", "label"))
    assert "(line 2)" in (said := refusal(tmp_path)) and "leads out" in said
    write_csv(tmp_path / "metadata.csv", [("ant/0.png", "x")], ("img", "y"))
    log = Log()
    assert len(opened(tmp_path, log=log)) == 6 and any("no column file_name" in str(w) for w in log.warnings)
    write_lines(tmp_path / "metadata.jsonl", [{"file_name": "ant/0.png", "label": "x"}])
    assert "which of them" in refusal(tmp_path)


def test_a_parquet_table_may_describe_a_folder(tmp_path: Path) -> None:
    rows = pets(tmp_path)
    pq.write_table(
        pa.table({"file_name": [row[0] for row in rows], "label": [row[1] for row in rows]}),
        tmp_path / "metadata.parquet",
    )
    assert opened(tmp_path).ids == [path for path, _ in rows]


def test_encoded_images_stay_those_of_parquet(tmp_path: Path) -> None:
    picture(0).save(tmp_path / "0.png")
    cells = pa.array([encoded(Image.new("RGB", (4, 4)))] * 2)
    pq.write_table(pa.table({"image": cells, "label": ["a", "b"]}), tmp_path / "t.parquet")
    assert len(opened(tmp_path / "t.parquet")) == 2
