"""EXIF orientation: not applied, and therefore counted and said, whoever reads the pictures and however."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import ExifTags, Image, ImageOps

from ftcli.cache.cache import Cache
from ftcli.data.decoding.orientation import is_turned
from ftcli.data.examples import open_images
from ftcli.data.specs.parse import parse
from ftcli.log import Log
from tests.helpers.pictures import encoded, picture
from tests.helpers.program import checkpoint, inside

QUICK = ["--image-size", 32, "--batch-size", 16, "--threads", 1]


def turned(image: Image.Image, orientation: int, format: str) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encoded_with(image, format, exif=exif)


def encoded_with(image: Image.Image, format: str, **more: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **more)
    return stream.getvalue()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 10))
def test_it_is_what_pillow_would_turn(format: str, orientation: int) -> None:
    content = turned(picture(3), orientation, format)
    with Image.open(io.BytesIO(content)) as image:
        changes = not np.array_equal(np.asarray(image), np.asarray(ImageOps.exif_transpose(image)))
    assert is_turned(content) is changes is (2 <= orientation <= 8)
    assert is_turned(pa.py_buffer(content)) is changes


def test_other_metadata_and_none_are_upright() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Orientation Exif"
    assert not is_turned(encoded_with(picture(0), "JPEG", exif=exif))
    assert not is_turned(encoded(picture(0))) and not is_turned(b"Exif\0 no picture") and not is_turned(b"")
    assert not is_turned(np.zeros((4, 4, 3), np.uint8))


def test_xmp_says_it_too() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'
    assert is_turned(encoded_with(picture(0), "JPEG", xmp=xmp))


def test_tiff_is_turned_by_pillow_itself(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.tif").write_bytes(turned(picture(1, (9, 7)), 6, "TIFF"))
    log = Log()
    images = open_images(parse(str(tmp_path)), log)
    assert images.image(0).size == (7, 9) and log.warnings == []


def photos(root: Path) -> Path:
    for name in "ab":
        (root / name).mkdir(parents=True)
        for i in range(12):
            orientation = 3 if i < 2 else 1
            (root / name / f"{i}.jpg").write_bytes(turned(picture(i + 20 * (name == "a")), orientation, "JPEG"))
    return root


@pytest.mark.parametrize("damaged", ["stop", "skip"])
def test_it_is_counted_with_and_without_a_cache_and_on_a_warm_one(tmp_path: Path, damaged: str) -> None:
    root = photos(tmp_path / "set")
    warnings = []
    for cache in (None, Cache(tmp_path / "cache", 10**9, Log()), Cache(tmp_path / "cache", 10**9, Log())):
        log = Log()
        open_images(parse(str(root)), log, damaged=damaged, cache=cache)
        warnings.append(log.warnings)
    assert warnings[0] == warnings[1] == warnings[2] and len(warnings[0]) == 1
    assert warnings[0][0]["code"] == "exif-orientation" and warnings[0][0]["text"].startswith("4 of 24 images")


def test_it_is_counted_in_tables(tmp_path: Path) -> None:
    cells = [turned(picture(i), 1 + 5 * (i < 3), "PNG") for i in range(5)]
    pq.write_table(pa.table({"image": cells, "label": list("aabba")}), tmp_path / "t.parquet")
    log = Log()
    open_images(parse(f"{tmp_path}/t.parquet"), log)
    assert log.warnings[0]["text"].startswith("3 of 5 images")


def test_every_command_says_it(tmp_path: Path) -> None:
    root, model = photos(tmp_path / "set"), checkpoint(tmp_path / "model")
    out = tmp_path / "out"
    for words in (
        ["predict", model, root, *QUICK], ["predict", model, root, *QUICK, "--no-cache"], ["data", root],
        ["probe", "--checkpoint", model, "--train", root, *QUICK, "--out", out],
    ):  # fmt: skip
        done = inside(*words)
        assert done.returncode == 0 and "4 of 24 images" in done.stderr and "EXIF" in done.stderr, done.stderr
