"""Arrays of images in .npy files, with labels in another; severities, slices, and files that are not what they say."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ftcli.data.decoding.column import ImageColumn
from ftcli.data.examples import open_images
from ftcli.data.images import ImageSet
from ftcli.data.sources.arrays import array_rows
from ftcli.data.specs.parse import parse
from ftcli.data.task import open_sets
from ftcli.errors import RequestError
from ftcli.limits import MAX_ARRAY_IMAGES
from ftcli.log import Log

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)
LABELS = np.arange(20) % 4


def opened(text: object, labelled: bool = True) -> ImageSet:
    return open_images(parse(str(text)), Log(), labelled=labelled)


def refusal(text: object) -> str:
    with pytest.raises(RequestError) as error:
        opened(text)
    assert error.value.fix
    return f"{error.value.problem} | {error.value.fix}"


def saved(folder: Path, name: str = "fog.npy", pixels: Any = PIXELS, labels: Any = LABELS) -> Path:
    np.save(folder / name, pixels)
    if labels is not None:
        np.save(folder / "labels.npy", labels)
    return folder / name


@pytest.mark.parametrize("pixels", [PIXELS, PIXELS[..., 0], PIXELS[..., :1], np.moveaxis(PIXELS, 3, 1)])
@pytest.mark.parametrize("type", ["uint8", ">i4", "int64", "uint64"])
def test_an_array_is_its_images_and_labels(tmp_path: Path, pixels: np.ndarray, type: str) -> None:
    images = opened(saved(tmp_path, pixels=np.ascontiguousarray(pixels), labels=LABELS.astype(type)))
    assert images.classes == ("0", "1", "2", "3") and not images.named
    assert images.labels.tolist() == LABELS.tolist() and images.ids == list(map(str, range(20)))
    shown = np.moveaxis(pixels, 1, 3) if pixels.shape[1] == 3 else pixels
    for i in range(20):
        rgb = np.broadcast_to(shown[i] if shown.ndim == 4 else shown[i][..., None], (6, 5, 3))
        assert np.array_equal(np.asarray(images.image(i)), rgb)


def test_the_images_are_those_of_an_array_in_memory(tmp_path: Path) -> None:
    rows = array_rows(PIXELS, LABELS, [])
    column = ImageColumn(rows.table.column("image"), None)
    images = opened(saved(tmp_path))
    assert all(np.array_equal(images.column.content(i), column.content(i)) for i in range(20))


@pytest.mark.parametrize("severity", [1, 2, 5])
@pytest.mark.parametrize("labels", [LABELS, LABELS[:4]])
def test_a_severity_is_one_block_of_five(tmp_path: Path, severity: int, labels: np.ndarray) -> None:
    images = opened(f"{saved(tmp_path, labels=labels)}?severity={severity}")
    rows = range(4 * (severity - 1), 4 * severity)
    assert images.ids == list(map(str, rows)) and images.labels.tolist() == [0, 1, 2, 3]
    assert [np.array_equal(np.asarray(images.image(i)), PIXELS[row]) for i, row in enumerate(rows)] == [True] * 4


def test_a_severity_of_images_that_do_not_divide_is_refused(tmp_path: Path) -> None:
    assert "21 images" in refusal(f"{saved(tmp_path, pixels=np.tile(PIXELS, (2, 1, 1, 1))[:21])}?severity=1")
    assert "not divide" in refusal(f"{tmp_path}/fog.npy?severity=1")


def test_labels_of_one_block_need_a_severity(tmp_path: Path) -> None:
    assert "holds 4 labels" in refusal(saved(tmp_path, labels=LABELS[:4]))
    assert "holds 5 labels" in refusal(f"{saved(tmp_path, labels=LABELS[:5])}?severity=2")


def test_severities_of_one_file_in_one_command_are_different_sets(tmp_path: Path) -> None:
    file = saved(tmp_path)
    ood = [("mild", f"{file}?severity=1"), ("strong", f"{file}?severity=5")]
    sets = open_sets(train=str(file), id_val=None, id_test=None, ood=ood, log=Log()).sets
    assert [sets[name].ids[0] for name in ("train", "mild", "strong")] == ["0", "0", "16"]
    assert not sets["mild"].column.same_as(sets["strong"].column)


def test_labels_in_one_command_are_those_of_each_set(tmp_path: Path) -> None:
    file = saved(tmp_path)
    np.save(tmp_path / "other.npy", LABELS[::-1].copy())
    ood = [("x", f"{file}?labels=other.npy")]
    sets = open_sets(train=str(file), id_val=None, id_test=None, ood=ood, log=Log()).sets
    assert sets["train"].labels.tolist() == LABELS.tolist() and sets["x"].labels.tolist() == LABELS[::-1].tolist()
    assert sets["train"].column.same_as(sets["x"].column)


@pytest.mark.parametrize(
    ("split", "rows"),
    [("[4:9]", range(4, 9)), ("[:3]", range(3)), ("[-2:]", range(18, 20)), ("[50%:]", range(10, 20)),
     ("[0:1]+[5:6]", [0, 5]), ("train[4:9]", range(4, 9))],
)  # fmt: skip
def test_a_slice_of_the_only_split_needs_no_name(tmp_path: Path, split: str, rows: Any) -> None:
    images = opened(f"{saved(tmp_path)}?split={split}")
    assert images.labels.tolist() == LABELS[list(rows)].tolist()
    assert [np.array_equal(np.asarray(images.image(i)), PIXELS[row]) for i, row in enumerate(rows)] == [True] * len(
        rows
    )
    if "+" not in split:
        assert images.ids == list(map(str, rows))


def test_a_slice_of_a_severity(tmp_path: Path) -> None:
    assert opened(f"{saved(tmp_path)}?severity=3&split=[1:3]").ids == ["9", "10"]


def test_a_split_that_is_none(tmp_path: Path) -> None:
    assert "no split" in refusal(f"{saved(tmp_path)}?split=test")
    assert "no slice" in refusal(f"{saved(tmp_path)}?split=[a:b]")


def test_where_labels_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = saved(tmp_path, "v6_data.npy", labels=None)
    said = refusal(file)
    assert f'"{tmp_path}/v6_labels.npy"' in said and f'"{tmp_path}/labels.npy"' in said and "labels=none" in said
    np.save(tmp_path / "labels.npy", LABELS)
    assert opened(file).labels.tolist() == LABELS.tolist()
    np.save(tmp_path / "v6_labels.npy", LABELS[::-1].copy())
    assert opened(file).labels.tolist() == LABELS[::-1].tolist()
    np.save(tmp_path / "own.npy", (LABELS + 1) % 4)
    assert opened(f"{file}?labels=own.npy").labels.tolist() == ((LABELS + 1) % 4).tolist()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    np.save("own.npy", (LABELS + 2) % 4)
    assert opened(f"{file}?labels=own.npy").labels.tolist() == ((LABELS + 2) % 4).tolist()
    assert '"lost.npy"' in refusal(f"{file}?labels=lost.npy") and f'"{tmp_path}/lost.npy"' in refusal(
        f"{file}?labels=lost.npy"
    )


def test_without_labels_none_are_looked_for(tmp_path: Path) -> None:
    assert len(opened(saved(tmp_path, labels=None), labelled=False)) == 20
    np.save(tmp_path / "labels.npy", LABELS[:3])
    assert not opened(tmp_path / "fog.npy", labelled=False).labelled


def test_class_names_by_a_map_and_rows_by_their_class(tmp_path: Path) -> None:
    (tmp_path / "names.json").write_text('{"0": "cat", "1": "dog", "2": null, "3": "cat"}')
    images = opened(f"{saved(tmp_path)}?classes={tmp_path}/names.json")
    assert [images.classes[label] for label in images.labels[:3]] == ["cat", "dog", "cat"] and images.dropped == 5
    assert opened(f"{tmp_path}/fog.npy?where=label:3").ids == ["3", "7", "11", "15", "19"]


@pytest.mark.parametrize("data", ["photos", "photos.tar", "hf:cifar10", "digits:plain"])
def test_settings_of_arrays_belong_to_no_other_data(data: str) -> None:
    assert ".npy" in refusal(f"{data}?labels=x.npy")
    if ":" not in data:  # otherwise refused as the SPEC is read
        assert ".npy" in refusal(f"{data}?severity=2")


def test_the_image_column_is_the_only_one(tmp_path: Path) -> None:
    assert '"image"' in refusal(f"{saved(tmp_path)}?image=label")


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (PIXELS / 255, "float64"),
        (PIXELS.astype(np.int16), "int16"),
        (PIXELS[0, :, :, 0], "[6, 5]"),
        (PIXELS[:, None], "[20, 1, 6, 5, 3]"),
        (PIXELS[..., [0, 1]], "[20, 6, 5, 2]"),
        (PIXELS[:0], "[0, 6, 5, 3]"),
        (PIXELS[:, :0], "[20, 0, 5, 3]"),
        (np.asfortranarray(PIXELS), "Fortran"),
        (np.array([{"a": 1}], dtype=object), "pickle"),
        (np.zeros(3, dtype=[("a", "u1"), ("b", "f4")]), "images are"),
        (np.uint8(3), "[]"),
    ],
)
def test_what_holds_no_images_is_refused(tmp_path: Path, pixels: Any, words: str) -> None:
    assert words in refusal(saved(tmp_path, pixels=pixels))


@pytest.mark.parametrize("labels", [LABELS / 1, LABELS.reshape(4, 5), np.array(["cat"] * 20), LABELS[:19], LABELS == 1])
def test_what_holds_no_labels_is_refused(tmp_path: Path, labels: np.ndarray) -> None:
    assert "labels" in refusal(saved(tmp_path, labels=labels))


def test_a_column_of_labels_is_read(tmp_path: Path) -> None:
    assert opened(saved(tmp_path, labels=LABELS[:, None])).labels.tolist() == LABELS.tolist()


def test_unlabelled_rows_are_named(tmp_path: Path) -> None:
    assert 'row "7"' in refusal(saved(tmp_path, labels=np.where(np.arange(20) == 7, -1, LABELS)))


def written(file: Path, described: str, content: bytes = b"", version: tuple[int, int] = (1, 0)) -> Path:
    """A .npy file with any header."""
    header = described.encode() + b"\n"
    size = struct.pack("<H" if version == (1, 0) else "<I", len(header))
    file.write_bytes(b"\x93NUMPY" + bytes(version) + size + header + content)
    return file


def header(shape: str = "(2, 2, 2)", type: str = "'|u1'", fortran: str = "False") -> str:
    return f"{{'descr': {type}, 'fortran_order': {fortran}, 'shape': {shape}, }}"


def test_a_header_of_our_own_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", np.array([0, 1]))
    for version in ((1, 0), (2, 0)):
        assert len(opened(written(tmp_path / "a.npy", header(), bytes(8), version))) == 2


@pytest.mark.parametrize(
    "damage",
    [
        header("(10**12, 2, 2)"), header("(1000000000000, 32, 32, 3)"), header("(-1, 2, 2)"), header("(-2, -2, 2)"),
        header("(True, 2, 4)"), header("(2.0, 2, 2)"), header("[2, 2, 2]"), header("8"), header(f"({9**4000}, 2, 2)"),
        header(type="'|O'"), header(type="'<U9999999999'"), header(type="[('a', '|O')]"), header(type="'zz'"),
        header(type="None"), header(fortran="1"), header(fortran="True"), "{}", "[]", "", "(" * 9000,
        "__import__('os').system('touch x')", header() + "}", "{" + "'a': 1, " * 1000 + "}", header() + " " * 20_000,
    ],
)  # fmt: skip
def test_a_header_that_lies_is_refused(tmp_path: Path, damage: str) -> None:
    assert f'"{tmp_path}/a.npy"' in refusal(written(tmp_path / "a.npy", damage, bytes(8)))


@pytest.mark.parametrize("size", [0, 5, 10, 79, 127, 128, 1000])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, size: int) -> None:
    file = saved(tmp_path)
    file.write_bytes(file.read_bytes()[:size])
    assert f'"{file}"' in refusal(file)


def test_a_file_that_goes_on_is_refused(tmp_path: Path) -> None:
    with saved(tmp_path).open("ab") as file:
        np.save(file, PIXELS)
    assert "goes on" in refusal(tmp_path / "fog.npy")


def test_other_formats_and_no_files(tmp_path: Path) -> None:
    (tmp_path / "text.npy").write_text("no array")
    np.savez(tmp_path / "zip.npz", PIXELS)
    (tmp_path / "zip.npz").rename(tmp_path / "zip.npy")
    written(tmp_path / "three.npy", header(), bytes(8), (3, 0))
    (tmp_path / "folder.npy").mkdir()
    for name in ("text.npy", "zip.npy", "three.npy", "folder.npy", "lost.npy"):
        assert name in refusal(tmp_path / name)


def test_more_images_than_are_read(tmp_path: Path) -> None:
    file = written(tmp_path / "a.npy", header(f"({MAX_ARRAY_IMAGES + 1}, 8, 8)"))
    with file.open("r+b") as opened_file:
        opened_file.truncate(file.stat().st_size + 64 * (MAX_ARRAY_IMAGES + 1))  # a hole, which takes no room
    assert "at most" in refusal(file)


def test_a_file_that_is_cut_short_while_it_is_used(tmp_path: Path) -> None:
    images = opened(saved(tmp_path))
    with (tmp_path / "fog.npy").open("r+b") as file:
        file.truncate(200)
    with pytest.raises(Exception, match=r'image "19" .* now cannot: its file cannot be read'):
        images.image(19)
