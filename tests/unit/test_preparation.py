"""One pass over the images: each is read and decoded once, and the pixels that are kept are those of decoding."""

import errno
import json
import multiprocessing
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ftcli.cache.cache import Cache
from ftcli.data import pixel_cache
from ftcli.data.decoding import column, inspection
from ftcli.data.images import ImageSet
from ftcli.data.pixel_cache import CachedPixels, DecodedPixels, PixelDraft, open_pixels
from ftcli.data.preparation import Transforms
from ftcli.data.storage import local
from ftcli.data.task import Task, open_sets, read_task, without_labels
from ftcli.data.transforms import augmentation, evaluation
from ftcli.errors import RequestError
from ftcli.log import Log
from tests.helpers.pictures import folder, picture
from tests.helpers.program import Work, inside, work

CONFIG = {"input_size": (3, 8, 8), "interpolation": "bilinear", "crop_pct": 1.0, "crop_mode": "center"}
CONFIG |= {"mean": (0.5,) * 3, "std": (0.5,) * 3}
PLAIN, LIGHT = evaluation(CONFIG), augmentation(CONFIG, "light")
TRANSFORMS = Transforms((PLAIN, LIGHT), (PLAIN,))


class Counts:
    """How often each file was read, and how many images were opened to be decoded."""

    def __init__(self) -> None:
        self.read, self.decoded = Counter[str](), 0

    def clear(self) -> None:
        self.read.clear()
        self.decoded = 0


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    counted, read, opened = Counts(), local.read_regular, Image.open

    def reading(path: Any, most: int) -> bytes:
        counted.read[str(path)] += 1
        return read(path, most)

    def opening(*words: Any, **more: Any) -> Any:
        counted.decoded += 1
        return opened(*words, **more)

    monkeypatch.setattr(local, "read_regular", reading)
    monkeypatch.setattr(Image, "open", opening)
    return counted


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 10**7, Log())


def task_of(root: Path, cache: Cache | None, log: Log | None = None, damaged: str = "stop", **ood: str) -> Task:
    log = log or Log()
    opened = open_sets(train=str(root), id_val=None, id_test=None, ood=list(ood.items()), log=log)
    return read_task(opened, split_seed=0, damaged=damaged, log=log, cache=cache, transforms=TRANSFORMS)


def prepared(task: Task) -> Iterator[tuple[ImageSet, Any]]:
    """Every set with the transforms that a run uses it with."""
    assert task.train is not None
    yield from ((task.train, transform) for transform in TRANSFORMS.train)
    yield from ((images, PLAIN) for images in task.sets().values())


def content(cache: Cache) -> dict[str, bytes]:
    return {f"{entry.kind}/{entry.key}": entry.path.read_bytes() for entry in cache.entries()}


def check_kept(task: Task, cache: Cache) -> None:
    """The pixels of every set are in the cache already, and are those that decoding gives."""
    for images, transform in prepared(task):
        assert (cache.folder / "pixels" / pixel_cache.pixels_key(images, transform)).exists()
        kept, decoded = open_pixels(images, transform, cache, Log()), DecodedPixels(images, transform)
        assert isinstance(kept, CachedPixels) and kept.n == len(images)
        assert all(np.array_equal(kept[i], decoded[i]) for i in range(len(images)))
    assert not list(cache.folder.rglob("*.part"))


def copies(root: Path) -> Path:
    """A set in which some images are copies, so that its cut is not that of images which all differ."""
    folder(root, {"a": 30, "b": 30})
    for i in range(9):
        shutil.copy(root / "a" / "0.png", root / "a" / f"copy{i}.png")
    return root


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return work(tmp_path_factory.mktemp("work"))


def test_a_first_run_reads_and_decodes_every_image_once(tiny: Work, tmp_path: Path, counts: Counts) -> None:
    """Images that are in several sets too; and a second run decodes none."""
    files = {str(path) for root in (tiny.train, tiny.far) for path in root.rglob("*.png")}
    files -= {str(path) for path in tiny.far.glob("*more/*")}  # of a class that the task lacks
    sets = ["--ood", f"foggy={tiny.far}?shift=contrast:2", "--ood", f"half={tiny.far}?per-class=9:0"]
    words = ["lpft", *tiny.words, *sets, "--augment", "light", "--epochs", 1, "--lr", "1e-5", "--json"]
    reports = []
    for number, decoded in enumerate((len(files), 0)):
        counts.clear()
        done = inside(*words, "--out", tmp_path / str(number), FTCLI_CACHE=str(tmp_path / "cache"))
        reports.append(done.report)
        assert counts.read == dict.fromkeys(files, 1)
        assert counts.decoded == decoded
    alone = inside(*words, "--no-cache", "--out", tmp_path / "alone").report
    for part in ("results", "data", "warnings"):
        assert json.dumps(reports[0][part]) == json.dumps(reports[1][part]) == json.dumps(alone[part])


def test_pixels_are_kept_for_every_set_as_it_is_cut(tmp_path: Path, cache: Cache, counts: Counts) -> None:
    root, far = folder(tmp_path / "set", {"a": 30, "b": 30}), folder(tmp_path / "far", {"a": 5, "b": 5}, first=99)
    task = task_of(root, cache, far=str(far))
    assert set(counts.read.values()) == {1} and counts.decoded == 70
    check_kept(task, cache)


def test_where_copies_change_the_cut_the_rest_is_decoded(tmp_path: Path, cache: Cache, counts: Counts) -> None:
    task = task_of(copies(tmp_path / "set"), cache)
    again = sum(counts.read.values()) - 69
    assert 0 < again < 69 / 2, "the cut is as expected: choose other copies"
    check_kept(task, cache)
    counts.clear()
    task_of(tmp_path / "set", Cache(cache.folder, cache.cap, Log()))
    assert set(counts.read.values()) == {1} and counts.decoded == 0


def test_damaged_images_leave_the_pixels_of_the_others(tmp_path: Path, cache: Cache) -> None:
    root, far = folder(tmp_path / "set", {"a": 30, "b": 30}), folder(tmp_path / "far", {"a": 5, "b": 5}, first=99)
    for path in (root / "a" / "7.png", root / "b" / "0.png", far / "b" / "2.png"):
        path.write_bytes(path.read_bytes()[:60])
    log = Log()
    task = task_of(root, cache, log, damaged="skip", far=str(far))
    assert [warning["code"] for warning in log.warnings].count("damaged-skipped") == 2 and len(task.ood["far"]) == 9
    check_kept(task, cache)
    with pytest.raises(RequestError, match=r"a/7\.png.*b/0\.png"):
        task_of(root, cache, far=str(far))
    assert not list(cache.folder.rglob("*.part"))


@pytest.mark.skipif(inspection.fork_context() is None, reason="processes are forked on Linux only")
def test_processes_make_the_bytes_that_threads_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, log = copies(tmp_path / "set"), [Log(), Log()]
    (root / "b" / "3.png").write_bytes(b"damaged")
    picture(5, (1100, 1000)).save(root / "b" / "4.png")  # large enough to wait for memory
    (other := tmp_path / "other" / "a").mkdir(parents=True)
    monkeypatch.setattr(inspection, "available_cores", lambda: 3)
    folders, forks = [], []
    plain = inspection.Forks
    monkeypatch.setattr(inspection, "Forks", lambda *words: forks.append(words[-1]) or plain(*words))
    for number, images in enumerate((10**9, 4)):
        monkeypatch.setattr(inspection, "IMAGES_PER_PROCESS", images)
        folders.append(Cache(tmp_path / f"cache{number}", 10**7, Log()))
        task_of(root, folders[-1], log[number], damaged="skip")
    assert forks == [3] and content(folders[0]) == content(folders[1]) and log[0].warnings == log[1].warnings
    assert multiprocessing.active_children() == [] and other.exists()


def test_a_changed_image_alone_is_decoded_again(tmp_path: Path, cache: Cache, counts: Counts) -> None:
    root = folder(tmp_path / "set", {"a": 30, "b": 30})
    first = task_of(root, cache)
    picture(1000).save(root / "b" / "20.png")
    counts.clear()
    log = Log()
    opened = open_sets(train=str(root), id_val=None, id_test=None, ood=[], log=log)
    again = read_task(opened, split_seed=0, damaged="stop", log=log, cache=cache)
    assert counts.decoded == 1 and set(counts.read.values()) == {1}
    fresh = read_task(opened, split_seed=0, damaged="stop", log=log)
    for name in ("train", "id_val", "id_test"):
        one, other, before = getattr(again, name), getattr(fresh, name), getattr(first, name)
        assert one.digests == other.digests and one.pixel_digests == other.pixel_digests
        assert (one.digests == before.digests) == ("b/20.png" not in one.ids)


def test_what_was_evicted_is_made_when_it_is_needed(tmp_path: Path, cache: Cache, counts: Counts) -> None:
    """Features of it may be there: so nothing is decoded before."""
    root = folder(tmp_path / "set", {"a": 30, "b": 30})
    task_of(root, cache)
    cache.clear("pixels")
    counts.clear()
    task = task_of(root, cache)
    assert counts.decoded == 0 and cache.entries("pixels") == []
    assert isinstance(open_pixels(task.ood.get("x", task.sets()["id_val"]), PLAIN, cache, Log()), CachedPixels)


def test_another_transform_is_prepared_in_one_pass_too(tmp_path: Path, cache: Cache, counts: Counts) -> None:
    root = folder(tmp_path / "set", {"a": 30, "b": 30})
    log = Log()
    for side in (8, 6):
        counts.clear()
        transforms = Transforms(others=(evaluation(CONFIG | {"input_size": (3, side, side)}),))
        without_labels(str(root), damaged="stop", log=log, cache=cache, transforms=transforms)
        assert set(counts.read.values()) == {1} and counts.decoded == 60
    assert len(cache.entries("pixels")) == 2 and len(cache.entries("checked")) == 1


class FullFile:
    """A file on a disk that is full after so many bytes."""

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, content: memoryview) -> int:
        self.room -= memoryview(content).nbytes
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return int(self.file.write(content))


@pytest.mark.parametrize("room", [0, 1000, 5000])
def test_a_full_disk_is_said_once_and_hinders_nobody(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    root = folder(tmp_path / "set", {"a": 30, "b": 30})
    calm = task_of(root, None)
    start = PixelDraft.__init__

    def on_full_disk(draft: PixelDraft, path: Path, file: Any, *more: Any) -> None:
        start(draft, path, FullFile(file, room), *more)  # type: ignore[arg-type]

    monkeypatch.setattr(PixelDraft, "__init__", on_full_disk)
    task = task_of(root, cache)
    assert [warning["code"] for warning in cache.log.warnings] == ["cache-unusable"]
    assert "No space left" in cache.log.warnings[0]["text"] and not list(cache.folder.rglob("*.part"))
    assert calm.train and task.train and task.train.pixel_digests == calm.train.pixel_digests
    assert cache.entries("pixels") == []


def test_what_does_not_fit_under_the_cap_is_not_begun(tmp_path: Path, counts: Counts) -> None:
    root, small = folder(tmp_path / "set", {"a": 30, "b": 30}), Cache(tmp_path / "small", 5000, Log())
    task = task_of(root, small)
    assert set(counts.read.values()) == {1} and counts.decoded == 60
    assert small.entries("pixels") == [] or all(entry.size < 5000 for entry in small.entries("pixels"))
    assert not list(small.folder.rglob("*.part")) and small.log.warnings == [] and task.train is not None


class Interrupted(Log):
    def track(self, items: Any, label: str, total: int | None = None) -> Iterator[Any]:
        for i, item in enumerate(items):
            if i == 33:
                raise KeyboardInterrupt
            yield item


@pytest.mark.parametrize("images", [4, 10**9])
def test_an_interrupted_pass_leaves_nothing(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch, images: int
) -> None:
    monkeypatch.setattr(inspection, "IMAGES_PER_PROCESS", images)
    monkeypatch.setattr(inspection, "available_cores", lambda: 2)
    with pytest.raises(KeyboardInterrupt):
        task_of(folder(tmp_path / "set", {"a": 30, "b": 30}), cache, Interrupted())
    assert multiprocessing.active_children() == [] and cache.entries() == []
    assert not list(cache.folder.rglob("*.part"))


def test_sets_of_one_table_are_read_together(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch, counts: Counts
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tests.helpers.pictures import encoded

    contents, labels = [encoded(picture(i)) for i in range(60)], ["a", "b"] * 30
    pq.write_table(pa.table({"image": contents, "label": labels}), tmp_path / "t.parquet")
    rows: list[int] = []
    read: Callable[..., Any] = column.ImageColumn.content
    monkeypatch.setattr(column.ImageColumn, "content", lambda self, row: (rows.append(row), read(self, row))[1])
    table = f"{tmp_path}/t.parquet"
    sets = {"some": f"{table}?limit=20:1", "foggy": f"{table}?shift=contrast:1", "again": f"{table}?split=train"}
    task = task_of(Path(table), cache, **sets)
    assert Counter(rows) == Counter(range(60)) and counts.decoded == 60
    check_kept(task, cache)
