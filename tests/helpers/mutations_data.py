"""Hostile tables and pictures by seed: each kind writes a small set, spoils it, and gives the words that read it."""

import json
import os
import random
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tests.helpers.bombs import BOMBS, ODD
from tests.helpers.damage import NAMES, damaged
from tests.helpers.pictures import encoded, picture
from tests.helpers.program import checkpoint

OUT = "out"
N = 12  # pictures of a valid set
SETTINGS = ["?limit=5", "?per-class=2", "?where=label:0", "?split=train[:50%]", "?group=extra"]
SMALL = ["--image-size", 32, "--batch-size", 8, "--threads", 1]
IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
PATHS = [
    "/etc/passwd", "../../x.png", "http://127.0.0.1:9/x.png", "file:///etc/passwd", "a\0b", "", ".", "..", "\x1b[2J",
    "/dev/zero", "/proc/self/mem", "x" * 5000, "~/x.png", "//x", "zip://a::b",
]  # fmt: skip
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")


@cache
def model() -> Path:
    """A tiny checkpoint, once per process."""
    return checkpoint(Path(tempfile.mkdtemp(prefix="ftcli-mutations-")) / "checkpoint", classes=2)


def command(draw: random.Random, data: Path, folder: Path) -> list[Any]:
    """A command that reads the data."""
    settings = draw.choice(["", "", "", *SETTINGS])
    spec, damage = f"{data}{settings}", ["--damaged", draw.choice(["stop", "skip"])]
    out = folder / OUT
    return draw.choice([
        ["data", spec, *damage],
        ["data", spec, *damage, "--json"],
        ["data", spec, *damage, "--save", out / "sheet.png"],
        ["predict", model(), data, *SMALL, *damage],
        ["evaluate", model(), "--id-test", spec, *SMALL, *damage, "--confusion", "--per-class", "--out", out],
        ["probe", "--checkpoint", model(), "--train", spec, *SMALL, *damage, "--augment", "none", "--out", out],
    ])  # fmt: skip


# ---- tables


def parquet(draw: random.Random, folder: Path) -> list[Any]:
    """A parquet file that is damaged, whose columns are of odd types and values, or whose metadata lie."""
    columns: dict[str, Any] = {"image": pictures(), "label": [i % 2 for i in range(N)]}
    metadata: dict[str, str] = {}
    how = draw.choice(["damaged", "damaged", "extra", "labels", "images", "lies", "unpacks", "rows"])
    if how == "extra":
        columns["extra"] = draw.choice(STRANGE)()
    elif how == "labels":
        columns["label"] = draw.choice(LABELS)(draw)
    elif how == "images":
        columns["image"] = draw.choice(IMAGES)(draw)
    elif how == "lies":
        metadata = {"huggingface": draw.choice(LIES)(draw)}
    elif how == "unpacks":
        columns = draw.choice(UNPACKING)(draw)
    elif draw.random() < 0.5:
        metadata = {"huggingface": described({"label": {"_type": "ClassLabel", "names": ["ant", "bee"]}})}
    path = folder / "data" / "set.parquet"
    path.parent.mkdir()
    write(draw, path, columns, metadata)
    if how == "damaged":
        path.write_bytes(damaged(draw, path.read_bytes()))
    elif how == "rows":
        path.write_bytes(lying_footer(draw, path.read_bytes()))
    return command(draw, path, folder)


def pictures() -> pa.Array:
    return pa.array([{"bytes": encoded(picture(i)), "path": f"{i}.png"} for i in range(N)], IMAGE)


def write(draw: random.Random, path: Path, columns: dict[str, Any], metadata: dict[str, str]) -> None:
    """A file in one of the ways that parquet knows."""
    table = pa.table(columns).replace_schema_metadata(metadata or None)
    pq.write_table(
        table, path,
        compression=draw.choice(["zstd", "snappy", "gzip", "none", "lz4"]) if table.nbytes < 10**6 else "zstd",
        use_dictionary=table.nbytes >= 10**6 or draw.random() < 0.7,
        row_group_size=draw.choice([None, 5]) if len(table) == N else None,
        data_page_version=draw.choice(["1.0", "2.0"]), store_schema=draw.random() < 0.7,
    )  # fmt: skip


def lying_footer(draw: random.Random, content: bytes) -> bytes:
    """A footer of another length, or with one of its numbers grown."""
    length = int.from_bytes(content[-8:-4], "little")
    if draw.random() < 0.4:
        told = draw.choice([0, 1, length - 1, length + 1, 2**31 - 1, 2**31, 2**32 - 1, len(content)])
        return content[:-8] + told.to_bytes(4, "little") + b"PAR1"
    footer = bytearray(content[-8 - length : -8])
    at = draw.randrange(len(footer))
    footer[at : at + 1] = draw.choice(
        [b"\xff\xff\xff\xff\x0f", b"\xff" * 9 + b"\x01", b"\x80\x80\x80\x80\x08", b"\xff"]
    )
    return content[: -8 - length] + bytes(footer) + len(footer).to_bytes(4, "little") + b"PAR1"


def nested(depth: int) -> pa.Array:
    """Lists and structs in turn, so many of them one within the other."""
    column = pa.array(range(N))
    for level in range(depth):
        if level % 2:
            column = pa.StructArray.from_arrays([column], names=["a"])
        else:
            column = pa.ListArray.from_arrays(pa.array(range(N + 1), pa.int32()), column)
    return column


STRANGE: list[Callable[[], Any]] = [
    lambda: nested(5),
    lambda: nested(60),
    lambda: pa.array([[("a", 1)]] * N, pa.map_(pa.string(), pa.int64())),
    lambda: pa.array(range(N), pa.decimal128(38, 5)),
    lambda: pa.array(["x", "y"] * (N // 2)).dictionary_encode(),
    lambda: pa.nulls(N),
    lambda: pa.array([b"x" * 100_000] * N, pa.large_binary()),
    lambda: pa.array([b"x" * 40] * N, pa.binary_view()),
    lambda: pa.array(["\x1b[2J"] * N, pa.string_view()),
    lambda: pa.array([2**62] * N, pa.timestamp("ns")),
    lambda: pa.array([2**30] * N, pa.date32()),
    lambda: pa.array([None, *[float("nan")] * (N - 1)], pa.float16()),
    lambda: pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"\xff" * 16] * N, pa.binary(16))),
    lambda: pa.array([[[1, 2], [3]]] * N, pa.list_(pa.list_(pa.int8()))),
]
LABELS: list[Callable[[random.Random], Any]] = [
    lambda draw: pa.array([float("nan")] * N),
    lambda draw: pa.array([-1] * N),
    lambda draw: pa.array([2**63] * N, pa.uint64()),
    lambda draw: pa.array([draw.choice([2**62, 999_999, 30_000, 1000])] * N),
    lambda draw: pa.array([[0]] * N),
    lambda draw: pa.array([{"a": 0}] * N),
    lambda draw: pa.array([draw.choice(texts()) for _ in range(N)]),
    lambda draw: pa.array([draw.choice(texts())] * (N - 1) + ["other"]).dictionary_encode(),
    lambda draw: pa.array([draw.choice(texts()).encode() for _ in range(N)], pa.binary()),
    lambda draw: pa.array([None] * N, pa.string()),
    lambda draw: pa.nulls(N),
    lambda draw: pa.array([2**62] * N, pa.timestamp("ns")),
    lambda draw: pa.array(range(N), pa.decimal128(20, 2)),
    lambda draw: pa.array(["ant", "bee"] * (N // 2), pa.string_view()),
    lambda draw: nested(draw.choice([1, 2, 5])),
]
IMAGES: list[Callable[[random.Random], Any]] = [
    lambda draw: pa.array(range(N)),
    lambda draw: pa.array([draw.choice(PATHS) for _ in range(N)]),
    lambda draw: pa.array([{"bytes": None, "path": draw.choice(PATHS)} for _ in range(N)], IMAGE),
    lambda draw: pa.array([{"bytes": b"", "path": draw.choice(PATHS)} for _ in range(N)], IMAGE),
    lambda draw: pa.array([None, {"bytes": None, "path": None}] * (N // 2), IMAGE),
    lambda draw: pa.array([{"bytes": i, "path": i} for i in range(N)]),
    lambda draw: pa.array([{"path": {"bytes": "x"}}] * N),
    lambda draw: pa.array([damaged(draw, encoded(picture(i), draw.choice(FORMATS))) for i in range(N)]),
    lambda draw: pa.array([draw.choice(BOMBS)() for _ in range(N)], pa.large_binary()),
    lambda draw: pa.array([[[draw.choice([0, 255, 256, -1, 2**40])] * 4] * 4] * N),
    lambda draw: pa.array([[[[0.5] * draw.randint(0, 5)] * 3] * 3] * N),
    lambda draw: pa.array([[[None]]] * N, pa.list_(pa.list_(pa.int8()))),
    lambda draw: pa.array([[], [[]], None] * (N // 3), pa.list_(pa.list_(pa.uint8()))),
    lambda draw: pa.array([b"\x89PNG"] * N, pa.binary(4)),
    lambda draw: pa.array([[["a"]]] * N),
    lambda draw: pictures().field(0).dictionary_encode(),
    lambda draw: nested(3),
]
UNPACKING: list[Callable[[random.Random], dict[str, Any]]] = [
    lambda draw: {"image": pa.nulls(30_000_000, pa.binary()), "label": pa.nulls(30_000_000, pa.int8())},
    lambda draw: {"image": pa.array([b"\0" * 200_000_000, b""], pa.large_binary()), "label": [0, 1]},
    lambda draw: {
        "image": pa.array([b"\0" * 200_000] * 1000, pa.large_binary()),
        "label": pa.array([0, 1] * 500),
    },
    lambda draw: {
        "image": pa.DictionaryArray.from_arrays(np.zeros(100_000, np.int32), pa.array([b"\0" * 50_000])),
        "label": pa.array([0, 1] * 50_000),
    },
    lambda draw: {
        "image": pa.array([[[0] * 4000] * 4000, [[1]]], pa.list_(pa.list_(pa.uint8()))),
        "label": ["a", "b"],
    },
]


def described(features: Any) -> str:
    """The metadata that the `datasets` library leaves in a table."""
    return json.dumps({"info": {"features": features}})


def label(**feature: Any) -> str:
    return described({"label": {"_type": "ClassLabel", **feature}})


LIES: list[Callable[[random.Random], str]] = [
    lambda draw: label(names=["ant"]),
    lambda draw: label(names=["ant", "ant"]),
    lambda draw: label(names=draw.choice([5, "ab", {"0": "a"}, [1, 2], [None, "a"], [["a"], ["b"]], []])),
    lambda draw: label(names=draw.sample(texts(), 2)),
    lambda draw: label(names=[str(i) for i in range(draw.choice([30_000, 1_000_000]))]),
    lambda draw: label(num_classes=10**12),
    lambda draw: label(num_classes=10**12, names=None, names_file="/etc/passwd"),
    lambda draw: described({"image": {"_type": "ClassLabel", "names": ["a", "b"]}, "label": {"_type": "Image"}}),
    lambda draw: described({"label": {"_type": draw.choice(["os.system", ["Image"], {}, 1, None, "Features", "Any"])}}),
    lambda draw: described({"image": {"_type": "Image", "decode": "x", "mode": "x"}, "gone": {"_type": "Image"}}),
    lambda draw: described(draw.choice([[], "x", 1, None, {"label": "ClassLabel"}, {"label": [{"_type": "Image"}]}])),
    lambda draw: draw.choice(["", "{", "null", "[]", '{"info": 1}', "\x00", "NaN"]),
    lambda draw: draw.choice(["[", '{"info":']) * 100_000,
    lambda draw: described({"extra": {"_type": "Array3D", "shape": [10**9] * 3, "dtype": "uint8"}}),
]


def texts() -> list[str]:
    """The names from `damage` that a table can hold."""
    return [name for name in NAMES if name.isprintable() or name.isascii() or "\u202e" in name]


# ---- pictures


def image(draw: random.Random, folder: Path) -> list[Any]:
    """An image folder of two classes, one picture of which is damaged, a bomb, or something else than it says."""
    root = folder / "data"
    for name in ("ant", draw.choice(FOLDERS)):
        place = os.path.join(os.fsencode(root), name if isinstance(name, bytes) else name.encode())
        os.makedirs(place, exist_ok=True)
        for i in range(N // 2):
            with open(os.path.join(place, b"%d.png" % i), "wb") as file:
                file.write(encoded(picture(i)))
    how = draw.choice(["damaged", "damaged", "bomb", "odd"])
    if how == "damaged":
        source = Image.effect_noise((40, 30), 90).convert(draw.choice(["L", "RGB", "P"]))
        kind = draw.choice([one for one in FORMATS if source.mode != "P" or one not in ("JPEG", "PPM")])
        content = damaged(draw, encoded(source, kind))
    else:
        content = draw.choice(BOMBS if how == "bomb" else ODD)()
    name = draw.choice(FILES)
    with open(os.path.join(os.fsencode(root), b"ant", name), "wb") as file:
        file.write(content)
    return command(draw, root, folder)


FOLDERS: list[str | bytes] = [
    "bee", "\x1b[2J", "\x9b31m", "[red]x[/red]", "a\nb", "\u202egnp.x", "-rf", "x" * 255, b"\xff\xfe", "train", "0",
    " ", "$(touch x)", "%s", "{0}",
]  # fmt: skip
FILES = [
    b"x.png", b"x.jpg", b"x.TIFF", b"x.webp", b"\x1b[2J.png", b"a\nb.png", b"\xff.png", b"-rf.png",
    b"x" * 250 + b".png",     "\u202egnp.png".encode(), b"[red]x.png", b" .png",
]  # fmt: skip
