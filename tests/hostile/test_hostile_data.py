"""Data that mean harm, through the whole program: refused with a line, and nothing run, written, waited for or painted.

Every command runs in a watched child: `faults` names what no command may do whatever it is given, among it to take more
than ten seconds or 2 GB, to write outside its folders, to start a program, and to send a control character to a
terminal. What only has to be refused is opened in the test's own process.
"""

import contextlib
import io
import json
import os
import pickle
import socket
import struct
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ftcli.data.decoding import decode as pixels
from ftcli.data.decoding.semaphore import WeightedSemaphore
from ftcli.data.examples import open_images
from ftcli.data.specs.parse import parse
from ftcli.errors import RequestError
from ftcli.log import Log
from tests.helpers.bombs import bmp, chunk, gif, packed, png, tiff, webp
from tests.helpers.pictures import encoded, folder, picture
from tests.helpers.program import checkpoint
from tests.helpers.sandbox import Outcome, watched

PAINT = "\x1b[2J\x9b31m[red]x\u202e"  # a name that paints a terminal, is read as markup, and turns the line around
SMALL = ["--image-size", 32, "--batch-size", 8, "--threads", 1]
IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def refused(*words: Any, allowed: tuple[Path, ...] = ()) -> Outcome:
    """The outcome of a command that must end with exit 2, a short word and nothing else."""
    outcome = watched(words, allowed)
    assert outcome.faults([2]) == [], outcome
    assert outcome.stdout == "" and len(outcome.stderr) < 3000
    assert outcome.stderr.startswith("error: ") and "\n  try: " in outcome.stderr
    return outcome


def answered(*words: Any, allowed: tuple[Path, ...] = ()) -> Outcome:
    """The outcome of a command that must end well."""
    outcome = watched(words, allowed)
    assert outcome.faults([0]) == [], outcome
    return outcome


def refusal(spec: object) -> str:
    """The words with which opening a set in this process is refused."""
    with pytest.raises(RequestError) as error:
        open_images(parse(str(spec)), Log())
    assert error.value.fix and len(error.value.problem) < 2000
    return error.value.problem


def content(*words: Any) -> dict[str, Any]:
    """What `data` says of a set."""
    return json.loads(answered("data", *words, "--json").stdout)


def with_file(root: Path, data: bytes, name: str = "x.png") -> Path:
    """An image folder of two classes with one more file in it."""
    (folder(root / "set", {"ant": 2, "bee": 2}) / "ant" / name).write_bytes(data)
    return root / "set"


def structs(count: int = 4) -> pa.Array:
    return pa.array([{"bytes": encoded(picture(i)), "path": None} for i in range(count)], IMAGE)


def table(root: Path, columns: dict[str, Any], metadata: Any = None, **options: Any) -> Path:
    """A parquet file; `metadata`: what `datasets` would leave in it, as text or as an object."""
    found = pa.table(columns)
    if metadata is not None:
        text = metadata if isinstance(metadata, str) else json.dumps({"info": {"features": metadata}})
        found = found.replace_schema_metadata({"huggingface": text})
    pq.write_table(found, root / "set.parquet", **options)
    return root / "set.parquet"


# ---- pictures

BOMBS: dict[str, Callable[[], bytes]] = {
    "png": lambda: png(50_000, 50_000, rows=3),
    "png above the limit": lambda: png(12_000, 8_000, rows=3),
    "a long strip": lambda: png(1, 60_000),
    "text": lambda: png(4, 4, more=chunk(b"zTXt", b"k\0\0" + packed(10**7))),
    "international text": lambda: png(4, 4, more=chunk(b"iTXt", b"k\0\1\0\0\0" + packed(10**7))),
    "profile": lambda: png(4, 4, more=chunk(b"iCCP", b"k\0\0" + packed(10**7))),
    "gif": lambda: gif(65_535, 65_535),
    "tiff": lambda: tiff(60_000, 60_000),
    "tiff strip": lambda: tiff(9000, 9000, strip=2**32 - 1),
    "bmp": lambda: bmp(2**31 - 1, 2**31 - 1),
    "webp": lambda: webp(2**24, 2**24),
    "ppm": lambda: b"P6 60000 60000 255\n",
    "no pixels": lambda: png(0, 0),
    "PostScript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n",
    "PDF": lambda: b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\n%%EOF",
    "SVG": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_a_damaged_image(tmp_path: Path, name: str) -> None:
    said = refusal(with_file(tmp_path, BOMBS[name]()))
    assert said.startswith(f'a damaged image in {tmp_path}/set: file "ant/x.png": it ')


def test_bombs_are_left_out_and_counted(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", {"ant": 2, "bee": 2})
    for i, bomb in enumerate(BOMBS.values()):
        (root / "bee" / f"bomb{i}.png").write_bytes(bomb())
    assert "--damaged skip" in refused("data", root).stderr
    found = content(root, "--damaged", "skip")
    assert found["damaged"] == len(BOMBS) and found["classes"] == {"ant": 2, "bee": 2}


def test_the_largest_picture_that_is_decoded_takes_little_memory(tmp_path: Path) -> None:
    """Just below the limit, with transparency, which is laid on white: the most that one picture can ask for."""
    assert content(with_file(tmp_path, png(9450, 9450, colour=6)))["n"] == 5


def test_an_animation_is_its_first_frame(tmp_path: Path) -> None:
    assert content(with_file(tmp_path, gif(8, 8, frames=10_000)))["n"] == 5


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", {"ant": 2, "bee": 2})
    os.mkfifo(root / "ant" / "pipe.png")
    for name, target in {
        "zero": "/dev/zero",
        "random": "/dev/random",
        "gone": "/nowhere",
        "itself": "itself.png",
    }.items():
        (root / "ant" / f"{name}.png").symlink_to(target)
    with socket.socket(socket.AF_UNIX) as listening:
        with contextlib.chdir(root / "ant"):
            listening.bind("socket.png")  # whose path must be short
        outcome = refused("data", root)
        found = content(root, "--damaged", "skip")
    assert "a damaged image" in outcome.stderr and not [path for path in outcome.read if path.startswith("/dev/")]
    assert found["damaged"] == 6 and found["n"] == 4


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = with_file(tmp_path, b"\x89PNG\r\n\x1a\n") / "ant" / "x.png"
    os.truncate(path, 2**35)
    assert "34,359,738,368 bytes" in refused("data", tmp_path / "set").stderr


# ---- folders


def test_links_that_go_round_in_circles_end(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", {"ant": 2, "bee": 3})
    for name in ("ant", "bee"):
        for i, target in enumerate(("..", ".", "../ant", "../../set", "/")):
            (root / name / f"link{i}").symlink_to(target)
    (root / "again").symlink_to(".")
    # A link from one class to another is its author's own affair.
    assert content(root)["classes"] == {"ant": 2, "bee": 5}
    assert len(answered("predict", checkpoint(tmp_path / "model"), root, *SMALL).stdout.splitlines()) == 1 + 5


def test_links_to_elsewhere_are_followed(tmp_path: Path) -> None:
    elsewhere = folder(tmp_path / "elsewhere", {"ant": 2, "bee": 3})
    root = tmp_path / "set"
    (root / "ant").mkdir(parents=True)
    (root / "ant" / "deep").symlink_to(elsewhere / "ant")
    (root / "ant" / "9.png").symlink_to(elsewhere / "bee" / "0.png")
    (root / "bee").symlink_to(elsewhere / "bee")
    assert content(root)["classes"] == {"ant": 3, "bee": 3}


def test_a_folder_reached_twice_counts_once_and_under_its_own_name(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", {"ant": 1, "bee": 1, "ant/deep": 2})
    (root / "ant" / "a").symlink_to("deep")
    rows = answered("predict", checkpoint(tmp_path / "model"), root, *SMALL).stdout
    assert "ant/deep/0.png" in rows and "ant/a/" not in rows


def test_folders_by_the_ten_thousand(tmp_path: Path) -> None:
    for i in range(10_000):
        (tmp_path / "set" / f"class{i}").mkdir(parents=True)
    assert "has no rows" in refused("data", tmp_path / "set").stderr
    assert "no class folders" in refusal(tmp_path / "set" / "class0")


def test_names_of_every_kind_stay_names(tmp_path: Path) -> None:
    """Of classes and of files: nothing paints, and JSON has them as they are; bytes that are no text are spelt."""
    root = os.fsencode(tmp_path / "set")
    names = [PAINT.encode(), b"a\nb", b"-rf", b"x" * 255, b"\xff"]
    for name in names:
        os.makedirs(os.path.join(root, name))
        for i, file in enumerate((b"-rf.png", PAINT.encode() + b".png", b"\xfe\n.png")):
            Path(os.fsdecode(os.path.join(root, name, file))).write_bytes(encoded(picture(i)))
    assert content(tmp_path / "set")["classes"] == {PAINT: 3, "a\nb": 3, "-rf": 3, "x" * 255: 3, "\\xff": 3}
    shown = answered("data", tmp_path / "set").stdout
    assert "[red]x" in shown and "\u202e" not in shown
    Path(os.fsdecode(os.path.join(root, names[0], b"-rf.png"))).write_bytes(b"")
    assert "[red]x\N{REPLACEMENT CHARACTER}/-rf.png" in refused("data", tmp_path / "set").stderr


def test_names_of_classes_through_a_whole_run(tmp_path: Path) -> None:
    root, out = folder(tmp_path / "set", {PAINT: 12, "[bold]bee\n": 12}), tmp_path / "out"
    probe = ["probe", "--checkpoint", checkpoint(tmp_path / "model"), "--train", root, *SMALL, "--augment", "none"]
    answered(*probe, "--out", out, allowed=(out,))
    measured = [out, "--id-test", root, *SMALL, "--per-class", "--confusion", "--out", tmp_path / "measured"]
    outcome = answered("evaluate", *measured, allowed=(tmp_path / "measured",))
    assert "[red]x" in outcome.stdout and "\u202e" not in outcome.stdout
    report = json.loads((tmp_path / "measured" / "report.json").read_text())
    assert sorted(report["results"]["id_test"]["confusion"]["classes"]) == sorted([PAINT, "[bold]bee\n"])
    other = folder(tmp_path / "other", {PAINT + "2": 12, "[bold]cow\n": 12})
    refused("evaluate", out, "--id-test", other, *SMALL, "--out", tmp_path / "no")


# ---- tables


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.png", "a/../../secret.png", "file:///etc/passwd", "a\0b"])
def test_a_table_names_no_file_outside_its_folder(tmp_path: Path, path: str) -> None:
    picture(0).save(tmp_path / "secret.png")
    (tmp_path / "in").mkdir()
    rows = pa.array([{"bytes": None, "path": path}] * 4, IMAGE)
    found = table(tmp_path / "in", {"image": rows, "label": [0, 1, 0, 1]})
    said = refusal(found)
    assert said.startswith('row "0" of ') and 'has a path in "image" that ' in said
    if "://" in path or "\0" in path:  # the name of no file
        assert "is a URL" in said or "has a zero byte" in said
        return
    assert "leads out of the folder" in said
    assert not {"/etc/passwd", str(tmp_path / "secret.png")} & set(refused("data", found).read)


def test_a_table_names_files_of_its_folder(tmp_path: Path) -> None:
    """By a path from there, or by a whole one; and a SPEC may have `..`, which is the user's own."""
    (tmp_path / "deep").mkdir()
    picture(0).save(tmp_path / "deep" / "0.png")
    paths = ["deep/0.png", "./deep/../deep/0.png", str(tmp_path / "deep" / "0.png")]
    rows = pa.array([{"bytes": None, "path": path} for path in paths], IMAGE)
    table(tmp_path, {"image": rows, "label": ["a", "b", "a"]})
    assert content(f"{tmp_path}/deep/../set.parquet")["n"] == 3


def long_list() -> pa.Array:
    return pa.ListArray.from_arrays([0, 80_000_000], pa.nulls(80_000_000))


def repeated(cell: bytes, rows: int) -> dict[str, Any]:
    """One cell in every row, which parquet stores once."""
    return {
        "image": pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), pa.array([cell])),
        "label": pa.nulls(rows),
    }


@pytest.mark.parametrize(
    "columns",
    [
        lambda: {"image": pa.chunked_array([pa.array([bytes(10**8)])] * 3), "label": range(3)},
        lambda: repeated(bytes(50_000), 100_000),
        lambda: {"image": pa.nulls(50_000_000, pa.binary()), "label": pa.nulls(50_000_000, pa.int8())},
        lambda: {"image": structs(1), "label": [0], "more": long_list()},
    ],
    ids=["cells", "a dictionary", "rows", "a list"],
)  # fmt: skip
def test_a_small_table_does_not_unpack_to_gigabytes(tmp_path: Path, columns: Callable[[], dict[str, Any]]) -> None:
    path = table(tmp_path, columns(), compression="zstd", row_group_size=None, store_schema=False)
    assert path.stat().st_size < 10**6
    assert "unpacks to" in refused("data", path).stderr


def test_a_table_that_repeats_a_small_picture_is_read(tmp_path: Path) -> None:
    """Many times in a dictionary that could be larger than it is: read in parts, and weighed."""
    columns = {
        "image": pa.array([encoded(picture(0)), bytes(60_000)] * 3000).dictionary_encode(),
        "label": [0, 1] * 3000,
    }
    found = content(table(tmp_path, columns, store_schema=False), "--damaged", "skip")
    assert found["n"] == found["damaged"] == 3000


LABELS = {
    "the label nan": pa.array([float("nan")] * 4),
    "negative": pa.array([-1] * 4),
    "18446744073709551615": pa.array([2**64 - 1] * 4, pa.uint64()),
    "1,000,000 classes for 4 rows": pa.array([999_999, 0, 1, 2]),
    "(100,000 characters)": pa.array(["x" * 100_000] * 4),
    "binary": pa.array([b"\xff\x1b"] * 4),
    "list": pa.array([[[{"a": [1]}]]] * 4),
    "no label": pa.nulls(4, pa.string()),
}


@pytest.mark.parametrize("says", LABELS)
def test_labels_that_are_no_classes(tmp_path: Path, says: str) -> None:
    words = {"negative": "the label -1", "list": "a list is a label if"}
    assert words.get(says, says) in refusal(table(tmp_path, {"image": structs(), "label": LABELS[says]}))


IMAGES = {
    "numbers": pa.array(range(4)),
    "texts": pa.array(["/etc/passwd"] * 4),
    "a struct of numbers": pa.array([{"bytes": 1, "path": 2}] * 4),
    "a struct of structs": pa.array([{"bytes": {"bytes": b""}}] * 4),
    "lists of texts": pa.array([[["a"]]] * 4),
    "lists of nothing": pa.array([[[None]]] * 4, pa.list_(pa.list_(pa.int8()))),
    "nothing": pa.nulls(4, IMAGE),
    "no bytes": pa.array([b""] * 4),
    "views": pa.array([b"x" * 40] * 4, pa.binary_view()),
    "four bytes": pa.array([b"\x89PNG"] * 4, pa.binary(4)),
}


@pytest.mark.parametrize("name", IMAGES)
def test_columns_that_are_no_pictures(tmp_path: Path, name: str) -> None:
    said = refusal(table(tmp_path, {"image": IMAGES[name], "label": [0, 1, 0, 1]}))
    words = {"texts": "leads out of the folder", "nothing": "names no file"}
    assert words.get(name, "") in said
    assert name in words or "not images" in said or "a damaged image" in said


METADATA: dict[str, Any] = {
    "names that are none": {"label": {"_type": "ClassLabel", "names": [1, {}]}},
    "names twice": {"label": {"_type": "ClassLabel", "names": ["a", "a"]}},
    "too few names": {"label": {"_type": "ClassLabel", "names": ["a"]}},
    "a long name": {"label": {"_type": "ClassLabel", "names": ["a", "x" * 10**5]}},
    "too many names": {"label": {"_type": "ClassLabel", "names": [str(i) for i in range(30_000)]}},
    "another column": {"image": {"_type": "ClassLabel", "names": ["a", "b"]}, "label": {"_type": "Image"}},
}
HARMLESS: dict[str, Any] = {
    "a number of classes": {"label": {"_type": "ClassLabel", "num_classes": 10**12}},
    "a type to make": {"label": {"_type": "os.system", "command": "touch x"}},
    "a type that is none": {"label": {"_type": ["Image"]}, "image": 3, "gone": {"_type": "Image"}},
    "no JSON": "\x00{",
    "deep JSON": "[" * 200_000,
}


@pytest.mark.parametrize("name", [*METADATA, *HARMLESS])
def test_metadata_that_lie(tmp_path: Path, name: str) -> None:
    path = table(tmp_path, {"image": structs(), "label": [0, 1, 0, 1]}, (METADATA | HARMLESS)[name])
    if name in METADATA:
        assert "label" in refusal(path)
    else:
        assert open_images(parse(str(path)), Log()).classes == ("0", "1")


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    found = pa.Table.from_arrays([structs(), structs(), pa.array([0, 1, 0, 1])], names=["image", "image", "label"])
    pq.write_table(found, tmp_path / "a.parquet")
    assert 'two columns are called "image"' in refused("data", tmp_path / "a.parquet").stderr


def test_what_is_called_a_table_and_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.parquet")
    assert "no regular file" in refused("data", tmp_path).stderr
    assert "cannot be read" in refusal(tmp_path / "a.parquet") and "cannot be read" in refusal("/dev/zero")


def test_classes_by_the_ten_thousand(tmp_path: Path) -> None:
    rows = {"image": pa.array([encoded(picture(0, (1, 1)))] * 12_000), "label": [f"class{i}" for i in range(12_000)]}
    spec = table(tmp_path, rows)
    assert len(content(spec)["classes"]) == 12_000
    assert "and 11,000 more" in answered("data", spec).stdout


@pytest.mark.parametrize(
    "text", ["[" * 200_000, "{" * 10, "[1000000000000, 0]", "[1e400, 0]", '{"0": ["x"]}', '{"\\u001b[2J": "a"}', "",
     "\x00", "\ufeff[]"],
)  # fmt: skip
def test_class_maps_of_others(tmp_path: Path, text: str) -> None:
    path = table(tmp_path, {"image": structs(), "label": [0, 1, 0, 1]})
    (tmp_path / "map.json").write_text(text)
    assert "class map" in refusal(f"{path}?classes={tmp_path}/map.json")


def test_a_class_map_that_is_no_file(tmp_path: Path) -> None:
    path = table(tmp_path, {"image": structs(), "label": [0, 1, 0, 1]})
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path, "/dev/zero"):
        assert "no regular file" in refusal(f"{path}?classes={place}")


# ---- folders of `datasets`


def saved(root: Path) -> Path:
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["ant", "bee"]))
    columns = {"image": [picture(i) for i in range(4)], "label": [0, 1, 0, 1]}
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(root / "set")
    return root / "set"


STATES: dict[str, Any] = {
    "outside": {"_data_files": [{"filename": "../outside.arrow"}]},
    "absolute": {"_data_files": [{"filename": "/dev/zero"}]},
    "no files": {"_data_files": []},
    "numbers": {"_data_files": [1]},
    "no object": [],
}


@pytest.mark.parametrize("name", STATES)
def test_a_saved_set_names_no_file_outside_its_folder(tmp_path: Path, name: str) -> None:
    root = saved(tmp_path)
    (root / "data-00000-of-00001.arrow").rename(tmp_path / "outside.arrow")
    (root / "state.json").write_text(json.dumps(STATES[name]))
    assert "state.json" in refusal(root)


def test_a_saved_set_says_what_it_is_not(tmp_path: Path) -> None:
    root = saved(tmp_path)
    for lies in ({"_type": "os.system"}, {"label": {"_type": "ClassLabel", "num_classes": 10**12}}, [1], "x"):
        (root / "dataset_info.json").write_text(json.dumps({"features": lies}))
        assert len(open_images(parse(str(root)), Log())) == 4
    (root / "dataset_info.json").write_text("[" * 200_000)
    assert "nested too deeply" in refusal(root)
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": ["../..", "/etc"]}))
    assert "does not list splits" in refusal(tmp_path)


@pytest.mark.parametrize("how", ["compressed", "offsets", "rows", "cut", "pipe"])
def test_an_arrow_file_that_is_damaged(tmp_path: Path, how: str) -> None:
    """Memory is mapped and not read: an offset that lies would be followed out of it."""
    root = saved(tmp_path)
    path = root / "data-00000-of-00001.arrow"
    whole = pa.ipc.open_stream(path.read_bytes()).read_all()
    options = pa.ipc.IpcWriteOptions(compression="zstd" if how == "compressed" else None)
    if how == "rows":
        whole = pa.table({"image": pa.nulls(10**9), "label": pa.nulls(10**9)})
    if how == "offsets":
        offsets = pa.array([0, 10**9, 5, 7, 9], pa.int32()).buffers()[1]
        cells = pa.Array.from_buffers(pa.binary(), 4, [None, offsets, pa.py_buffer(b"x" * 10)])
        whole = pa.table({"image": cells, "label": [0, 1, 0, 1]})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, whole.schema, options=options) as stream:
        stream.write_table(whole)
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    if how == "pipe":
        path.unlink()
        os.mkfifo(path)
    refused("data", root)


@pytest.mark.parametrize("spec", ["{}", "hf:{}"])
def test_a_script_beside_the_data_is_not_run(tmp_path: Path, spec: str) -> None:
    root = tmp_path / "script"
    root.mkdir()
    (root / "script.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    refused("data", spec.format(root))
    assert not (tmp_path / "ran").exists()


# ---- the sets of torchvision


class Calls:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self.command,)


def nest(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value] * 10
    return value


PICKLES: dict[str, Callable[[], bytes]] = {
    "calls": lambda: pickle.dumps({"data": Calls("touch ran"), "labels": [0]}),
    "grows": lambda: pickle.dumps({"data": nest(0, 30), "labels": nest(0, 30)}, protocol=2),
    "shape": lambda: b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I100000000000\ntS'b'\ntR.",
    "array": lambda: b"cnumpy\nndarray\n((I100000000000\nttR.",
    "codec": lambda: b"c_codecs\nencode\n(S'x'\nS'zlib'\ntR.",
    "long": lambda: b"\x80\x04\x8e" + struct.pack("<Q", 2**62),
    "deep": lambda: b"(" * 10**6 + b"l" * 10**6 + b".",
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("name", PICKLES)
def test_pickles_of_cifar(tmp_path: Path, name: str) -> None:
    root = tmp_path / "cifar-10-batches-py"
    root.mkdir()
    for file in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"):
        (root / file).write_bytes(PICKLES[name]())
    assert "CIFAR" in refused("data", f"torchvision:CIFAR10?root={tmp_path}&split=test").stderr


def test_archives_and_pipes_of_torchvision(tmp_path: Path) -> None:
    """An archive is not unpacked beside the data, least of all to where its names lead; no pipe is waited for."""
    evil = tarfile.TarInfo("../../ran")
    for name in ("ILSVRC2012_devkit_t12.tar.gz", "ILSVRC2012_img_val.tar"):
        with tarfile.open(tmp_path / name, "w:gz" if name.endswith("gz") else "w") as archive:
            archive.addfile(evil, io.BytesIO())
    assert "is not unpacked" in refused("data", f"torchvision:ImageNet?root={tmp_path}&split=val").stderr
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images", "train-labels", "t10k-images", "t10k-labels"):
        kind = 3 if name.endswith("images") else 1
        header = struct.pack(">4i", 2048 + kind, 2**31 - 1, 28, 28)[: 4 + 4 * kind]
        (raw / f"{name}-idx{kind}-ubyte").write_bytes(header + bytes(100))
    refused("data", f"torchvision:MNIST?root={tmp_path}&split=test")
    (raw / "t10k-images-idx3-ubyte").unlink()
    os.mkfifo(raw / "t10k-images-idx3-ubyte")
    assert "no regular file" in refused("data", f"torchvision:MNIST?root={tmp_path}&split=test").stderr


def test_image_of_odd_forms_are_read(tmp_path: Path) -> None:
    """What is rare and honest stays as it was: one pixel, 16 bits, CMYK, a palette that is seen through."""
    root = folder(tmp_path / "set", {"ant": 1, "bee": 1})
    (root / "ant" / "one.png").write_bytes(png(1, 1))
    (root / "ant" / "deep.png").write_bytes(png(8, 8, depth=16, colour=6))
    (root / "ant" / "cmyk.jpg").write_bytes(encoded(Image.new("CMYK", (8, 8)), "JPEG"))
    palette = chunk(b"PLTE", bytes(3)) + chunk(b"tRNS", bytes(1))
    (root / "ant" / "palette.png").write_bytes(png(8, 8, colour=3, more=palette))
    assert content(root)["classes"] == {"ant": 5, "bee": 1}


# ---- the parts


def test_a_large_picture_in_bands_is_the_same_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """In every mode, whatever the bands: transparency is laid on white, floats are scaled by the whole picture."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 30, 4), dtype=np.uint8)
    rgba = Image.fromarray(noise)
    see_through = rgba.convert("P")
    see_through.info["transparency"] = bytes(range(256))
    floats = Image.fromarray(np.linspace(0, 200, 1200, dtype=np.float32).reshape(40, 30))  # the first bands are below 1
    deep = Image.fromarray(noise[:, :, 0].astype(np.uint16) * 257)
    for image in (rgba, see_through, floats, deep, *(rgba.convert(mode) for mode in ("L", "LA", "1", "CMYK", "YCbCr"))):
        whole = np.asarray(pixels.to_rgb(image))
        with monkeypatch.context() as patched:
            patched.setattr(pixels, "SMALL", 100)
            assert np.array_equal(np.asarray(pixels.to_rgb(image)), whole), image.mode


def test_the_gate_lets_in_what_there_is_room_for() -> None:
    gate, inside, most = WeightedSemaphore(10), [], [0]

    def work(size: int) -> int:
        with gate.acquired(size):
            inside.append(min(size, 10))
            most[0] = max(most[0], sum(inside))
            time.sleep(0.001)
            inside.remove(min(size, 10))
        return size

    sizes = [1, 4, 9, 100, 6, 5, 10] * 5
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, sizes)) == sizes
    assert 5 <= most[0] <= 10
