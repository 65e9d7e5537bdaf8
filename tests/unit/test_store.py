"""Store: pixels are those that decoding gives, and an entry is believed only where it is exactly the right one."""

import multiprocessing
import os
import pickle
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from ftcli.cache import cache as cache_module
from ftcli.cache import entries as cache_entries
from ftcli.cache.cache import Cache
from ftcli.cache.entries import FOOTER, StaleEntry
from ftcli.data import pixel_cache as store_module
from ftcli.data.decoding import inspection
from ftcli.data.decoding.column import ImageColumn
from ftcli.data.decoding.inspection import inspect
from ftcli.data.images import ImageSet
from ftcli.data.pixel_cache import CachedPixels, DecodedPixels, open_pixels
from ftcli.data.threads import map_in_order
from ftcli.data.transforms import augmentation, evaluation
from ftcli.errors import RequestError
from ftcli.log import Log
from tests.helpers.notes import Notes
from tests.helpers.pictures import encoded, picture

N = 7


def config(**more: Any) -> dict:
    plain = {"input_size": (3, 8, 8), "interpolation": "bilinear", "crop_pct": 0.9, "crop_mode": "center"}
    return plain | {"mean": (0.5,) * 3, "std": (0.5,) * 3} | more


def files(n: int = N) -> list[bytes]:
    """Pictures of different sizes."""
    return [encoded(picture(i, (9 + i, 12 - i))) for i in range(n)]


def opened(
    contents: list[bytes], cache: Cache | None = None, log: Log | None = None, damaged: str = "stop"
) -> ImageSet:
    """A set without labels, through `inspect`."""
    column = pa.chunked_array([pa.array(contents, pa.binary())])
    images, rows = ImageColumn(column, None), np.arange(len(contents))
    ids = [str(i) for i in range(len(contents))]
    whole, seen = inspect(images, rows, ids, spec="set", unit="row", damaged=damaged, log=log or Log(), cache=cache)
    return ImageSet(
        spec="set", column=images, rows=rows[whole], labels=np.full(len(seen), -1), classes=(), named=False,
        positions=False, groups=None, ids=[id for id, good in zip(ids, whole, strict=True) if good],
        digests=[one.digest for one in seen], pixel_digests=[one.pixel_digest for one in seen],
    )  # fmt: skip


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 10**6, Log())


def names(cache: Cache, kind: str = "pixels") -> set[str]:
    return {entry.key for entry in cache.entries(kind)}


def entry(cache: Cache) -> Path:
    (one,) = cache.entries("pixels")
    return one.path


@pytest.mark.parametrize("name", ["none", "light", "standard"])
def test_stored_pixels_are_those_that_decoding_gives(cache: Cache, name: str) -> None:
    images, transform = opened(files()), augmentation(config(), name)
    decoded = DecodedPixels(images, transform)
    for _ in range(2):
        found = open_pixels(images, transform, cache, Log())
        assert isinstance(found, CachedPixels)
        for i in range(N):
            assert found[i].dtype == np.uint8 and found[i].shape == decoded[i].shape
            assert np.array_equal(found[i], decoded[i])
    if name == "none":
        assert np.array_equal(found.tensor.numpy(), np.stack([decoded[i] for i in range(N)]))
    if name == "standard":
        assert np.array_equal(found[3], np.asarray(images.image(3)))
    assert len(cache.entries()) == 1


def test_a_store_sent_to_a_process_maps_the_same_file(cache: Cache) -> None:
    found = open_pixels(opened(files()), evaluation(config()), cache, Log())
    sent = pickle.dumps(found)
    assert len(sent) < 1000
    cache.clear()  # its name is gone
    there = pickle.loads(sent)
    assert all(np.array_equal(there[i], found[i]) for i in range(N))


def compare(there: CachedPixels, here: list[np.ndarray]) -> None:
    assert all(np.array_equal(there[i], pixels) for i, pixels in enumerate(here))


def test_a_process_that_inherits_nothing_reads_an_entry_that_is_gone(cache: Cache) -> None:
    found = open_pixels(opened(files()), evaluation(config()), cache, Log())
    cache.clear()
    process = multiprocessing.get_context("spawn").Process(target=compare, args=(found, [found[i] for i in range(N)]))
    process.start()
    process.join(100)
    assert process.exitcode == 0


def test_writing_to_pixels_never_reaches_the_file(cache: Cache) -> None:
    images, transform = opened(files()), evaluation(config())
    before = open_pixels(images, transform, cache, Log())[0].copy()
    content = entry(cache).read_bytes()
    open_pixels(images, transform, cache, Log())[0][:] = 255 - before
    assert entry(cache).read_bytes() == content
    assert np.array_equal(open_pixels(images, transform, cache, Log())[0], before)


def test_whatever_could_make_other_pixels_makes_another_entry(cache: Cache) -> None:
    """One byte of one picture, one picture more or less, their order; size, interpolation, crop, augmentation."""
    contents = files()
    behind = bytearray(contents[2] + b"\0")  # after the end of the picture, where it changes no pixel
    sets = [contents, contents[:-1], contents[::-1], [*contents[:2], bytes(behind), *contents[3:]]]
    for i, some in enumerate(sets, 1):
        open_pixels(opened(some), evaluation(config()), cache, Log())
        assert len(cache.entries()) == i
    others = [
        {"input_size": (3, 8, 9)}, {"interpolation": "bicubic"}, {"crop_pct": 0.8}, {"crop_mode": "squash"},
        {"crop_mode": "border"},
    ]  # fmt: skip
    for i, more in enumerate(others, len(sets) + 1):
        open_pixels(opened(contents), evaluation(config(**more)), cache, Log())
        assert len(cache.entries()) == i
    for i, name in enumerate(("light", "standard"), len(sets) + len(others) + 1):
        open_pixels(opened(contents), augmentation(config(), name), cache, Log())
        assert len(cache.entries()) == i
    before = names(cache)
    open_pixels(opened(contents), evaluation(config(mean=(0.1,) * 3, std=(0.2,) * 3)), cache, Log())
    open_pixels(opened(contents), augmentation(config(input_size=(3, 5, 5)), "standard"), cache, Log())
    assert names(cache) == before  # the same pixels


@pytest.mark.parametrize("module", [store_module.decode, store_module.transforms])
def test_another_decoder_makes_another_entry(cache: Cache, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    images, transform = opened(files()), evaluation(config())
    open_pixels(images, transform, cache, Log())
    source = store_module.inspect.getsource
    changed = lambda one: source(one) + ("\n# changed" if one is module else "")  # noqa: E731
    monkeypatch.setattr(store_module.inspect, "getsource", changed)
    open_pixels(images, transform, cache, Log())
    monkeypatch.setattr(store_module.features, "version", lambda name: f"{name} 0.0")
    open_pixels(images, transform, cache, Log())
    assert len(cache.entries()) == 3


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def foreign(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def no_more_than_a_beginning(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:90])


def other_shapes(path: Path) -> None:
    """One row of pixels of one example said to be another's: the total is the same."""
    content = bytearray(path.read_bytes())
    content[:4] = (-8).to_bytes(4, "little", signed=True)
    path.write_bytes(content)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "file").write_bytes(b"x")


def zeroed(path: Path) -> None:
    """The second half of the pixels."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) // 2 - FOOTER) + content[-FOOTER:])


def one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    """Bound under a short name, for a long one would not do."""
    path.unlink()
    with socket.socket(socket.AF_UNIX) as one, tempfile.TemporaryDirectory() as folder:
        one.bind(f"{folder}/s")
        os.rename(f"{folder}/s", path)


def a_giant(path: Path) -> None:
    """A petabyte of which nothing is on the disk, or as much as this disk can claim."""
    for size in (2**50, 2**43):
        with suppress(OSError):
            return os.truncate(path, size)


SPOILT = [
    truncated, longer, foreign, empty, no_more_than_a_beginning, other_shapes, a_folder, zeroed, one_bit, a_pipe,
    a_socket, a_giant,
]  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_spoiled_entry_is_made_anew(cache: Cache, spoil: Callable[[Path], None]) -> None:
    images, transform = opened(files()), evaluation(config())
    open_pixels(images, transform, cache, Log())
    whole = entry(cache).read_bytes()
    spoil(entry(cache))
    found = open_pixels(images, transform, Cache(cache.folder, cache.cap, cache.log), Log())
    assert isinstance(found, CachedPixels) and np.array_equal(found[3], DecodedPixels(images, transform)[3])
    assert entry(cache).read_bytes() == whole
    assert [warning["code"] for warning in cache.log.warnings] == ["cache-damaged"]
    open_pixels(images, transform, Cache(cache.folder, cache.cap, log := Log()), Log())
    assert log.warnings == []


def test_an_entry_that_is_a_link_is_not_followed(cache: Cache, tmp_path: Path) -> None:
    images, transform = opened(files()), evaluation(config())
    open_pixels(images, transform, cache, Log())
    elsewhere = entry(cache).rename(tmp_path / "elsewhere")
    (cache.folder / "pixels" / store_module.pixels_key(images, transform)).symlink_to(elsewhere)
    with pytest.raises(StaleEntry):
        cache_entries.open_entry(cache.folder / "pixels" / store_module.pixels_key(images, transform), "x")
    open_pixels(images, transform, Cache(cache.folder, cache.cap, cache.log), Log())
    assert not entry(cache).is_symlink() and elsewhere.exists()


def test_the_store_of_another_set_is_not_believed(cache: Cache) -> None:
    """Of the same shape, and under the right name."""
    transform = evaluation(config())
    one, two = opened(files()), opened([*files()[1:], files()[0]])
    open_pixels(one, transform, cache, Log())
    mine = entry(cache)
    open_pixels(two, transform, cache, Log())
    (theirs,) = [found.path for found in cache.entries("pixels") if found.path != mine]
    assert len(mine.read_bytes()) == len(theirs.read_bytes())
    mine.write_bytes(theirs.read_bytes())
    with pytest.raises(StaleEntry, match="checksum"):
        cache_entries.open_entry(mine, mine.name)
    cache_entries.open_entry(theirs, theirs.name).close()
    assert np.array_equal(open_pixels(one, transform, cache, Log())[0], DecodedPixels(one, transform)[0])


@pytest.mark.parametrize("moment", ["while it is decoded", "before it has its name", "after"])
def test_an_entry_that_is_removed_is_used_to_the_end(
    cache: Cache, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another process that clears the cache: no picture is decoded twice, and none is another."""
    images, transform = opened(files()), evaluation(config())
    decoded, real = [], DecodedPixels.__getitem__
    other = Cache(cache.folder, cache.cap, Log())

    def counted(store: DecodedPixels, i: int) -> np.ndarray:
        decoded.append(i)
        if moment == "while it is decoded":
            other.clear()
        return real(store, i)

    plain = [DecodedPixels(images, transform)[i].copy() for i in range(N)]
    monkeypatch.setattr(DecodedPixels, "__getitem__", counted)
    if moment == "before it has its name":
        put = cache_module._rename
        monkeypatch.setattr(cache_module, "_rename", lambda part, path: (put(part, path), other.clear()))
    found = open_pixels(images, transform, cache, Log())
    other.clear()
    assert isinstance(found, CachedPixels) and not other.entries() and sorted(decoded) == list(range(N))
    assert all(np.array_equal(found[i], plain[i]) for i in range(N)) and cache.log.warnings == []


def test_an_entry_that_vanishes_when_it_is_found_is_made_anew(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    images, transform = opened(files()), evaluation(config())
    open_pixels(images, transform, cache, Log())
    fresh = Cache(cache.folder, cache.cap, cache.log)
    find = fresh.find
    monkeypatch.setattr(fresh, "find", lambda *name: (find(*name), cache.clear())[0])
    assert isinstance(open_pixels(images, transform, fresh, Log()), CachedPixels) and fresh.log.warnings == []


def test_a_set_that_does_not_fit_is_decoded_each_time(tmp_path: Path) -> None:
    images, transform, log = opened(files()), evaluation(config()), Notes()
    needed = N * 8 + N * 8 * 8 * 3 + FOOTER
    small = Cache(tmp_path / "small", needed - 1, log)
    found = open_pixels(images, transform, small, log)
    assert isinstance(found, DecodedPixels) and len(log.notes) == 1 and log.warnings == []
    assert os.listdir(small.folder / "pixels") == ["CACHEDIR.TAG"]
    assert np.array_equal(found[2], open_pixels(images, transform, None, log)[2])
    exact = Cache(tmp_path / "exact", needed, log)
    assert isinstance(open_pixels(images, transform, exact, log), CachedPixels)
    assert entry(exact).stat().st_size == needed


def test_a_cache_that_cannot_be_written_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    images, transform, log = opened(files()), evaluation(config()), Log()
    cache = Cache(tmp_path / "file" / "cache", 10**6, log)
    for _ in range(2):
        assert isinstance(open_pixels(images, transform, cache, log), DecodedPixels)
    assert [warning["code"] for warning in log.warnings] == ["cache-unusable"]


def test_pictures_once_found_whole_are_not_decoded_again(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = files()
    first = opened(contents, cache)
    assert first.digests == opened(contents).digests and len(names(cache, "checked")) == 1
    decoded: list[object] = []
    real = inspection.decode
    monkeypatch.setattr(
        inspection, "decode", lambda content, *more, **how: (decoded.append(content), real(content, *more, **how))[1]
    )
    again = opened(contents, Cache(cache.folder, cache.cap, cache.log))
    assert again.digests == first.digests and len(again) == N and not decoded
    assert again.pixel_digests == first.pixel_digests and len(set(first.pixel_digests)) == N
    for others in (contents[:-1], [*contents[:-1], contents[-1] + b"\0"]):
        decoded.clear()
        opened(others, cache)
        assert len(decoded) == len(others)
    (path, *_) = [found.path for found in cache.entries("checked")]
    for spoilt in (b"", path.read_bytes()[::-1]):
        decoded.clear()
        for found in cache.entries("checked"):
            found.path.write_bytes(spoilt)
        opened(contents, Cache(cache.folder, cache.cap, cache.log))
        assert len(decoded) == N
    decoded.clear()
    monkeypatch.setattr(inspection.PIL, "__version__", "0.0")
    opened(contents, cache)
    assert len(decoded) == N


def test_a_set_with_a_damaged_picture_is_looked_at_every_time(cache: Cache) -> None:
    contents = [*files(), files()[0][:60]]
    for _ in range(2):
        log = Log()
        images = opened(contents, cache, log, damaged="skip")
        assert len(images) == N and [warning["code"] for warning in log.warnings] == ["damaged-skipped"]
        with pytest.raises(RequestError, match='row "7"'):
            opened(contents, cache)
    assert names(cache, "checked") == set()


def test_in_order_keeps_the_order_and_stays_near() -> None:
    began: list[int] = []

    def work(i: int) -> int:
        began.append(i)
        time.sleep(0.001 * (i % 3))
        return i * i

    for i, found in enumerate(map_in_order(work, range(50), threads=4, ahead=6)):
        assert found == i * i
        assert max(began) <= i + 6


def test_in_order_ends_its_threads_with_an_error() -> None:
    before, done = threading.active_count(), []

    def work(i: int) -> int:
        done.append(i)
        if i == 3:
            raise RequestError("3")
        return i

    with pytest.raises(RequestError, match="3"):
        list(map_in_order(work, range(1000), threads=2, ahead=4))
    assert len(done) <= 3 + 4 + 1 and threading.active_count() == before


@pytest.mark.real
def test_real_photographs(data_dir: Path, cache: Cache) -> None:
    from ftcli.data.examples import open_images
    from ftcli.data.specs.parse import parse

    images = open_images(parse(f"{data_dir}/pacs/photo.parquet?limit=100:0"), Log())
    transform = augmentation(config(input_size=(3, 112, 112), interpolation="bicubic"), "light")
    found = open_pixels(images, transform, cache := Cache(cache.folder, 10**9, cache.log), Log())
    again = open_pixels(images, transform, cache, Log())
    for i in (0, 41, 99):
        resized = images.image(i).resize((128, 128), Image.Resampling.BICUBIC)  # 227 x 227 to 112 / 0.875
        assert np.array_equal(found[i], np.asarray(resized)) and np.array_equal(again[i], found[i])
