"""EXIF orientation: counted and said where nothing was said about it, applied by exif=apply, silent by exif=ignore."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import ExifTags, Image, ImageOps

from ftcli.cache.cache import Cache
from ftcli.data.decoding.decode import decode, to_rgb
from ftcli.data.decoding.orientation import is_turned
from ftcli.data.examples import open_images
from ftcli.data.specs.parse import parse
from ftcli.data.task import build_task
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


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "I;16", "CMYK"])
def test_upright_is_what_pillow_makes_of_it(format: str, mode: str) -> None:
    """All 8 orientations, and two values that are none; against PIL.ImageOps.exif_transpose."""
    for orientation in range(10):
        image = picture(3).convert("I") if mode == "I;16" else picture(3)
        try:
            content = turned(image.convert(mode), orientation, format)
        except (OSError, ValueError):
            pytest.skip(f"{format} has no {mode}")
        with Image.open(io.BytesIO(content)) as stored:
            expected = np.asarray(to_rgb(ImageOps.exif_transpose(stored)))
        assert np.array_equal(np.asarray(decode(content, upright=True)), expected), orientation


def test_pixels_of_arrays_and_damaged_exif_stay_as_they_are() -> None:
    pixels = np.asarray(picture(1))
    assert np.array_equal(np.asarray(decode(pixels, upright=True)), pixels)
    content = encoded_with(picture(2), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff no table")
    assert decode(content, upright=True).tobytes() == decode(content).tobytes() == picture(2).tobytes()


def oriented(root: Path, *, upright: bool) -> Path:
    """PNG files of all 8 orientations; or the same pictures, saved upright and without EXIF."""
    for k, name in enumerate("ab"):
        (root / name).mkdir(parents=True)
        for i in range(40):
            content = turned(picture(i + 100 * k, (48, 40)), 1 + i % 8, "PNG")
            if upright:
                with Image.open(io.BytesIO(content)) as image:
                    content = encoded(ImageOps.exif_transpose(image).convert("RGB"))
            (root / name / f"{i}.png").write_bytes(content)
    return root


def test_figures_are_those_of_the_upright_pictures(tmp_path: Path) -> None:
    """From the command line, each with a cache that the others have filled; and without it they are others."""
    model = checkpoint(tmp_path / "model")
    exif, upright = oriented(tmp_path / "exif", upright=False), oriented(tmp_path / "upright", upright=True)
    reports, warnings = {}, {}
    for name, spec in (("stored", f"{exif}"), ("apply", f"{exif}?exif=apply"), ("saved", f"{upright}"),
                       ("ignore", f"{exif}?exif=ignore"), ("again", f"{exif}?exif=apply")):  # fmt: skip
        done = inside(
            "probe",
            "--checkpoint",
            model,
            "--train",
            spec,
            "--ood",
            f"same={spec}",
            *QUICK,
            "--out",
            tmp_path / name,
            "--json",
        )
        assert done.returncode == 0, done.stderr
        reports[name] = json.loads(done.stdout)
        warnings[name] = "exif-orientation" in [warning["code"] for warning in reports[name]["warnings"]]
    assert warnings == {"stored": True, "apply": False, "saved": False, "ignore": False, "again": False}
    results = {name: report["results"] for name, report in reports.items()}
    assert results["apply"] == results["saved"] == results["again"] != results["stored"]
    assert results["ignore"] == results["stored"]
    prints = {name: report["data"]["train"]["fingerprint"] for name, report in reports.items()}
    assert prints["stored"] == prints["ignore"] != prints["apply"] == prints["again"]
    assert (tmp_path / "apply" / "predictions.parquet").read_bytes() == (
        tmp_path / "saved" / "predictions.parquet"
    ).read_bytes()


def test_one_command_sees_one_column_both_ways(tmp_path: Path) -> None:
    """Sets of one file that are turned differently are not read as one, and keep pixels of their own."""
    path, cache = tmp_path / "t.parquet", Cache(tmp_path / "cache", 10**9, Log())
    cells = [turned(picture(i), 1 + i % 8, "PNG") for i in range(16)]
    pq.write_table(pa.table({"image": cells, "label": list("ab") * 8}), path)
    task = build_task(
        train=f"{path}", id_val=f"{path}?exif=apply", id_test=f"{path}?exif=apply&limit=8", ood=[], split_seed=0,
        damaged="stop", log=Log(), cache=cache,
    )  # fmt: skip
    assert task.train and task.id_val and task.id_test
    for i, cell in enumerate(cells):
        with Image.open(io.BytesIO(cell)) as image:
            assert task.train.image(i).tobytes() == image.tobytes()
            assert task.id_val.image(i).tobytes() == ImageOps.exif_transpose(image).tobytes()
    same = [a == b for a, b in zip(task.train.pixel_digests, task.id_val.pixel_digests, strict=True)]
    assert same == [i % 8 == 0 for i in range(16)]
    assert task.train.identities != task.id_val.identities and task.train.digests == task.id_val.digests
