"""Data behind URLs: the same images as on this machine, fetched by ranges, as many kept as the cache has room for."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ftcli.cache.cache import Cache
from ftcli.data import read_ahead
from ftcli.data.examples import open_images
from ftcli.data.images import ImageSet
from ftcli.data.loader import Loader
from ftcli.data.pixel_cache import CachedPixels, PartialPixels, open_pixels
from ftcli.data.preparation import Transforms
from ftcli.data.sources.remote import hub_parquet, row_groups
from ftcli.data.specs.parse import parse
from ftcli.data.storage import remote, retries
from ftcli.data.task import without_labels
from ftcli.data.transforms import augmentation, evaluation
from ftcli.errors import RequestError, RunError
from ftcli.log import Log
from tests.helpers.pictures import encoded, folder, picture
from tests.helpers.served import Served, serving

N = 60
CONFIG = {"input_size": (3, 8, 8), "interpolation": "bilinear", "crop_pct": 1.0, "crop_mode": "center"}
CONFIG |= {"mean": (0.5,) * 3, "std": (0.5,) * 3}
PLAIN, LIGHT = evaluation(CONFIG), augmentation(CONFIG, "light")
PIXELS = 8 * 8 * 3  # bytes of a picture as PLAIN prepares it


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that another test has read is held."""
    monkeypatch.setattr(row_groups, "GROUPS", row_groups.RowGroups(row_groups.HELD_BYTES, row_groups.AT_ONCE))
    monkeypatch.setattr(remote, "STORAGE", remote.RemoteStorage())
    monkeypatch.setattr(retries, "PAUSES", (0.05,) * 3)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A table of three row groups, `images.parquet`, with labels after the images."""
    contents = [encoded(picture(i, (12, 10))) for i in range(N)]
    images = [{"bytes": content, "path": f"{i}.png"} for i, content in enumerate(contents)]
    columns = {"image": images, "label": ["ant", "bee"] * (N // 2), "site": [f"s{i % 3}" for i in range(N)]}
    pq.write_table(pa.table(columns), tmp_path / "images.parquet", row_group_size=N // 3)
    with serving(tmp_path) as server:
        yield server


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[str]:
    """A folder in the memory file system of fsspec, with what is in tmp_path when it is asked for."""
    system = fsspec.filesystem("memory")
    yield "memory://set"
    if system.exists("/set"):
        system.rm("/set", recursive=True)


def upload(root: Path) -> None:
    system = fsspec.filesystem("memory")
    for path in sorted(root.rglob("*")):
        if path.is_file():
            system.pipe_file(f"/set/{path.relative_to(root)}", path.read_bytes())


def opened(text: object, **options: Any) -> ImageSet:
    return open_images(parse(str(text)), Log(), **options)


def refusal(text: object) -> str:
    with pytest.raises(RequestError) as error:
        opened(text)
    return f"{error.value.problem} | {error.value.fix}"


@pytest.mark.parametrize(
    "settings", ["", "?split=train[10:40]&group=site", "?where=site:s1", "?limit=20:3&image=image"]
)
def test_a_table_is_the_one_on_this_machine(settings: str, served: Served) -> None:
    here, there = opened(f"{served.folder}/images.parquet{settings}"), opened(f"{served.url}/images.parquet{settings}")
    assert there.fingerprint == here.fingerprint and there.ids == here.ids and there.classes == here.classes
    assert there.column.remote and not here.column.remote
    assert there.spec == f"{served.url}/images.parquet{settings}"


def test_every_byte_of_a_table_is_fetched_once(served: Served) -> None:
    opened(f"{served.url}/images.parquet")
    size = (served.folder / "images.parquet").stat().st_size
    assert size <= served.sent < size + 2**16 + 2**10  # and the footer with what lies before it


def test_row_groups_that_are_not_asked_for_are_not_fetched(served: Served) -> None:
    metadata = pq.read_metadata(served.folder / "images.parquet")
    start = metadata.row_group(1).column(0).dictionary_page_offset or metadata.row_group(1).column(0).data_page_offset
    served.asked.clear()
    opened(f"{served.url}/images.parquet?split=train[:10]")
    assert not any(asked.startswith(f"bytes={start}-") for _, asked in served.asked)


def test_images_as_bytes_and_as_pixels(served: Served) -> None:
    contents = [encoded(picture(i)) for i in range(6)]
    pixels = [np.asarray(picture(i)).tolist() for i in range(6)]
    for name, column in (
        ("bytes", pa.array(contents)),
        ("pixels", pa.array(pixels, pa.list_(pa.list_(pa.list_(pa.uint8()))))),
    ):
        pq.write_table(pa.table({"image": column, "label": [0, 1] * 3}), served.folder / f"{name}.parquet")
        there = opened(f"{served.url}/{name}.parquet")
        assert there.fingerprint == opened(served.folder / f"{name}.parquet").fingerprint


def test_paths_of_a_table_lead_to_files_beside_it(served: Served) -> None:
    root = folder(served.folder / "set", {"a": 4})
    odd = ["a/0.png", "a/1.png", "./a/../a/2.png", "a/odd %41?#&é.png"]
    shutil.move(root / "a/3.png", root / odd[3])
    pq.write_table(pa.table({"image": odd, "label": [0, 1, 0, 1]}), root / "t.parquet")
    assert opened(f"{served.url}/set/t.parquet").fingerprint == opened(root / "t.parquet").fingerprint


@pytest.mark.parametrize("path", ["../secret.png", "/secret.png", "a/../../secret.png", "http://127.0.0.1:9/x.png", ""])
def test_no_path_of_a_table_leads_out_of_its_folder(path: str, served: Served) -> None:
    root = folder(served.folder / "set", {"a": 1})
    picture(3).save(served.folder / "secret.png")
    pq.write_table(pa.table({"image": ["a/0.png", path], "label": [0, 1]}), root / "t.parquet")
    served.asked.clear()
    refused = refusal(f"{served.url}/set/t.parquet")
    assert any(words in refused for words in ("leads out of the folder", "is a URL", "damaged image", "names no image"))
    assert all(asked.startswith("/set/") for asked, _ in served.asked)


def test_a_picture_that_is_missing_is_a_damaged_one_and_a_source_that_is_away_is_not(served: Served) -> None:
    root = folder(served.folder / "set", {"a": 6})
    paths = [f"a/{i}.png" for i in range(7)]
    pq.write_table(pa.table({"image": paths, "label": [0, 1] * 3 + [0]}), root / "t.parquet")
    assert opened(f"{served.url}/set/t.parquet", damaged="skip").damaged == 1
    served.busy = 10**6
    with pytest.raises(RequestError, match="went away"):
        opened(f"{served.url}/set/t.parquet", damaged="skip")


def test_several_files_are_splits(memory: str, tmp_path: Path) -> None:
    for name, first in (("train-0", 0), ("train-1", 4), ("test-0", 8)):
        images = [{"bytes": encoded(picture(first + i)), "path": None} for i in range(4)]
        pq.write_table(pa.table({"image": images, "label": ["x", "y"] * 2}), tmp_path / f"{name}.parquet")
    upload(tmp_path)
    for settings in ("?split=train", "?split=test", "?split=train[2:6]%2Btest".replace("%2B", "+")):
        assert opened(memory + settings).fingerprint == opened(f"{tmp_path}{settings}").fingerprint
    assert opened(f"{memory}/train-*.parquet").fingerprint == opened(f"{tmp_path}?split=train").fingerprint


@pytest.mark.parametrize("settings", ["", "?split=train"])
def test_image_folders_by_their_list(settings: str, memory: str, tmp_path: Path) -> None:
    root = folder(tmp_path / ("train" if settings else ""), {"bee": 3, "ant": 2, "cat/deep": 2})
    (root / "bee/.hidden.png").write_bytes(b"")
    (root / "bee/note.txt").write_text("a")
    upload(tmp_path)
    log = Log()
    there = open_images(parse(memory + settings), log)
    here = opened(f"{tmp_path}{settings}")
    assert there.fingerprint == here.fingerprint and there.ids == here.ids and there.classes == here.classes
    assert [warning["code"] for warning in log.warnings] == ["files-left-out"]


def test_what_is_refused(served: Served, memory: str, tmp_path: Path) -> None:
    assert "does not say which files a folder has" in refusal(f"{served.url}/")
    assert "there is no such file" in refusal(f"{served.url}/none.parquet")
    served.forbidden = True
    assert "403" in refusal(f"{served.url}/images.parquet")
    served.forbidden, served.ranges = False, False
    assert "does not send ranges" in refusal(f"{served.url}/images.parquet")
    served.ranges = True
    (served.folder / "bad.parquet").write_bytes(b"PAR1" + bytes(100))
    assert "cannot be read as parquet" in refusal(f"{served.url}/bad.parquet")
    with mock.patch("ftcli.data.sources.remote.parquet.MAX_ROW_GROUP_BYTES", 1000):
        assert "row_group_size=1000" in refusal(f"{served.url}/images.parquet")
    served.stop()
    assert "went away" in refusal(f"{served.url}/images.parquet?limit=3")
    assert "holds no files" in refusal("memory://nothing")


def test_a_query_is_sent_and_not_shown(served: Served) -> None:
    there = opened(f"{served.url}/images.parquet%3Fsig%3Dsecret%26x%3D1?limit=4")
    assert {asked for asked, _ in served.asked} == {"/images.parquet?sig=secret&x=1"}
    assert there.spec == f"{served.url}/images.parquet%3F…?limit=4"
    served.forbidden = True
    assert "secret" not in refusal(f"{served.url}/images.parquet%3Fsig%3Dsecret2")


def test_a_single_image(served: Served) -> None:
    picture(1).save(served.folder / "one.png")
    there = without_labels(f"{served.url}/one.png", damaged="stop", log=Log())
    assert len(there) == 1 and there.ids == ["one.png"]


def test_a_folder_with_a_table_of_its_images_is_read_by_the_table(memory: str, tmp_path: Path) -> None:
    folder(tmp_path, {"x": 3, "y": 3})
    (tmp_path / "metadata.csv").write_text("file_name,label\nx/0.png,a\nx/1.png,b\n")
    upload(tmp_path)
    assert refusal(memory).endswith(f"type it: {memory}/metadata.csv")
    assert opened(f"{memory}/metadata.csv").fingerprint == opened(tmp_path).fingerprint


def test_compressed_archives_in_a_folder_are_no_shards(memory: str, tmp_path: Path) -> None:
    (tmp_path / "images.tar.gz").write_bytes(b"x")
    upload(tmp_path)
    assert "holds no images and no tables" in refusal(memory)


# Sets of the hub


def converted(root: Path, config: str, split: str, first: int) -> None:
    """A split as the hub converts it."""
    images = [{"bytes": encoded(picture(first + i)), "path": None} for i in range(4)]
    path = root / "owner/name@refs%2Fconvert%2Fparquet" / config / split / "0000.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"image": images, "label": ["x", "y"] * 2}), path)


@pytest.fixture
def hub(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_parquet, "ROOT", memory)


def test_sets_of_the_hub_are_streamed(hub: None, tmp_path: Path) -> None:
    converted(tmp_path, "default", "train", 0)
    converted(tmp_path, "default", "test", 4)
    converted(tmp_path, "other", "train", 8)
    upload(tmp_path)
    here = f"{tmp_path}/owner/name@refs%252Fconvert%252Fparquet"
    assert opened("hf:owner/name?streaming=true&split=test").fingerprint == opened(f"{here}/default/test").fingerprint
    assert opened("hf:owner/name/other?streaming=true").fingerprint == opened(f"{here}/other/train").fingerprint
    assert "has the splits train, test" in refusal("hf:owner/name?streaming=true").replace("test, train", "train, test")
    assert 'did you mean "other"' in refusal("hf:owner/name/othe?streaming=true")


def test_a_set_of_which_the_hub_has_only_the_beginning(hub: None, tmp_path: Path) -> None:
    converted(tmp_path, "default", "partial-train", 0)
    upload(tmp_path)
    assert "only the beginning" in refusal("hf:owner/name?streaming=true")
    (tmp_path / "owner/name/data").mkdir(parents=True)
    images = [{"bytes": encoded(picture(i)), "path": None} for i in range(6)]
    pq.write_table(pa.table({"image": images, "label": ["x", "y"] * 3}), tmp_path / "owner/name/data/train-0.parquet")
    upload(tmp_path)
    assert len(opened("hf:owner/name?streaming=true")) == 6
    assert "nothing of it is there" in refusal("hf:owner/none?streaming=true")


def test_the_hub_out_of_reach() -> None:
    assert "HF_HUB_OFFLINE is set" in refusal("hf:owner/name?streaming=true")  # as in all tests
    assert "HF_HUB_OFFLINE is set" in refusal("hf://datasets/owner/name/a.parquet")
    assert "which only hf:NAME[/CONFIG] has" in refusal("a.parquet?streaming=true")
    assert "allowed: true" in refusal("hf:owner/name?streaming=yes")
    assert "write hf:OWNER/NAME as the address of its page has it" in refusal("hf:cifar10?streaming=true")


# The cache, and what does not fit into it


def cache_of(root: Path, images: int) -> Cache:
    """A cache with room for the pixels of so many images, and the entries of what is known of a set."""
    return Cache(root / "cache", int((images * PIXELS + N * 8 + 100) / 0.9) + 1, Log())


def batches(
    images: ImageSet, cache: Cache | None, transform: Any = PLAIN, epoch: int = 0, **options: Any
) -> list[np.ndarray]:
    loader = Loader(images, transform, batch_size=7, cache=cache, **options)
    return [batch.images.numpy() for batch in loader.shuffled(3, epoch, skip_single=False)]


@pytest.mark.parametrize("kept", [0, 25, N])
@pytest.mark.parametrize(
    "transform", [PLAIN, LIGHT, augmentation(CONFIG, "standard")], ids=["plain", "light", "standard"]
)
def test_batches_are_those_of_the_set_on_this_machine(
    kept: int, transform: Any, served: Served, tmp_path: Path
) -> None:
    here, there = opened(f"{served.folder}/images.parquet"), opened(f"{served.url}/images.parquet")
    expected = [batches(here, None, transform, epoch) for epoch in range(2)]
    cache = cache_of(tmp_path, kept)
    with mock.patch.object(read_ahead, "WINDOW_BYTES", 20 * 12 * 10 * 3):
        found = [batches(there, cache if kept else None, transform, epoch) for epoch in range(2)]
    for of_epoch, expected_of_epoch in zip(found, expected, strict=True):
        assert all(map(np.array_equal, of_epoch, expected_of_epoch))


def test_as_many_as_fit_are_kept_under_the_cap(served: Served, tmp_path: Path) -> None:
    there, cache = opened(f"{served.url}/images.parquet"), cache_of(tmp_path, 25)
    pixels = open_pixels(there, PLAIN, cache, Log())
    assert isinstance(pixels, PartialPixels) and pixels.held.tolist() == [True] * 25 + [False] * 35
    assert sum(entry.size for entry in cache.entries()) <= cache.cap
    here = opened(f"{served.folder}/images.parquet")
    assert not isinstance(open_pixels(here, PLAIN, cache, Log()), CachedPixels)  # nobody else takes a part for all
    whole = open_pixels(there, PLAIN, cache_of(tmp_path / "large", N), Log())
    assert isinstance(whole, CachedPixels)


def test_what_was_prepared_in_the_first_pass_is_not_fetched_again(served: Served, tmp_path: Path) -> None:
    larger = evaluation({**CONFIG, "input_size": (3, 32, 32)})
    url, cache = f"{served.url}/images.parquet", Cache(tmp_path / "cache", 35 * 32 * 32 * 3, Log())
    there = without_labels(url, damaged="stop", log=Log(), cache=cache, transforms=Transforms((), (larger,)))
    row_groups.GROUPS = row_groups.RowGroups(row_groups.HELD_BYTES, row_groups.AT_ONCE)
    served.asked.clear()
    pixels = open_pixels(there, larger, Cache(tmp_path / "cache", cache.cap, Log()), Log())
    assert isinstance(pixels, PartialPixels) and 20 < pixels.held.sum() < N and served.asked == []
    expected = open_pixels(opened(f"{served.folder}/images.parquet"), larger, None, Log())
    assert all(np.array_equal(pixels[i], expected[i]) for i in range(N))


def test_a_window_fetches_each_row_group_once(served: Served) -> None:
    there = opened(f"{served.url}/images.parquet")
    row_groups.GROUPS = row_groups.RowGroups(0, 1)  # holds nothing but the newest
    served.asked.clear()
    batches(there, None)
    assert len(served.asked) <= 2 * 3
    served.asked.clear()
    with mock.patch.object(read_ahead, "WINDOW_BYTES", 1), mock.patch.object(read_ahead, "REMOTE_THREADS", 1):
        batches(there, None)
    assert len(served.asked) > 2 * 3


def test_a_source_that_is_gone_ends_an_epoch_and_one_that_pauses_does_not(served: Served) -> None:
    there = opened(f"{served.url}/images.parquet")
    row_groups.GROUPS = row_groups.RowGroups(0, 1)
    expected = batches(there, None)
    row_groups.GROUPS = row_groups.RowGroups(0, 1)
    served.stop_for(0.1)
    with mock.patch.object(retries, "PAUSES", (0.1, 0.2, 0.4)):
        assert all(map(np.array_equal, batches(there, None), expected))
    row_groups.GROUPS = row_groups.RowGroups(0, 1)
    served.stop()
    with pytest.raises(RunError, match="went away") as error:
        batches(there, None)
    assert error.value.exit_code == 1 and "when it is there again" in error.value.fix


@pytest.mark.parametrize("dictionary", [False, True])
def test_images_that_are_not_compressed_are_fetched_one_by_one(dictionary: bool, served: Served) -> None:
    contents = [encoded(picture(i % 50, (12, 10))) if i % 7 else None for i in range(N)]
    images = pa.array([{"bytes": content, "path": f"{i}.png"} for i, content in enumerate(contents)])
    columns = {"image": images, "label": [i % 2 for i in range(N)]}
    form = {"compression": "none", "use_dictionary": dictionary, "row_group_size": 20, "data_page_size": 1000}
    pq.write_table(pa.table(columns), served.folder / "plain.parquet", **form)
    here, there = (
        opened(f"{served.folder}/plain.parquet", damaged="skip"),
        opened(f"{served.url}/plain.parquet", damaged="skip"),
    )
    assert there.fingerprint == here.fingerprint and there.damaged == sum(content is None for content in contents)
    row_groups.GROUPS = row_groups.RowGroups(0, 1)
    served.asked.clear()
    served.sent = 0
    assert all(map(np.array_equal, batches(there, None), batches(here, None)))
    if not dictionary:
        assert served.sent == sum(len(content) for content in contents if content) and len(served.asked) == len(there)
    served.version = '"2"'
    with pytest.raises(RunError, match="has changed"):
        batches(there, None)


def test_another_file_under_the_same_url_is_noticed(served: Served) -> None:
    there = opened(f"{served.url}/images.parquet")
    row_groups.GROUPS = row_groups.RowGroups(0, 1)
    served.version = '"2"'
    with pytest.raises(RunError, match="has changed"):
        batches(there, None)


def test_row_groups_in_memory_are_bounded() -> None:
    groups, read = row_groups.RowGroups(250, 2), list[int]()
    for number in (0, 1, 2, 2, 1, 0):
        groups.get(("url", number, "image"), lambda number=number: (read.append(number), 100))  # type: ignore
    assert read == [0, 1, 2, 0]


def kept_and_read(served: Served, cache: Cache, monkeypatch: pytest.MonkeyPatch, settings: str = "") -> tuple[str, int]:
    """The fingerprint of the table as a new process would find it, and how many row groups of images were fetched."""
    monkeypatch.setattr(row_groups, "GROUPS", row_groups.RowGroups(row_groups.HELD_BYTES, 2))
    monkeypatch.setattr(remote, "STORAGE", remote.RemoteStorage())
    served.asked.clear()
    images = open_images(parse(f"{served.url}/images.parquet{settings}"), Log(), cache=cache)
    metadata = pq.read_metadata(served.folder / "images.parquet")
    chunks = [metadata.row_group(group).column(0) for group in range(3)]
    starts = [min(filter(None, (chunk.dictionary_page_offset, chunk.data_page_offset))) for chunk in chunks]
    return images.fingerprint, sum(asked.startswith(f"bytes={start}-") for start in starts for _, asked in served.asked)


@pytest.mark.parametrize(("version", "fetched"), [('"1"', False), ('W/"1"', True), ("", True)])
def test_a_later_run_relies_on_strong_versions_alone(
    version: str, fetched: bool, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.version, cache = version, Cache(tmp_path / "cache", 10**8, Log())
    first, groups = kept_and_read(served, cache, monkeypatch)
    assert groups == 3
    again, groups = kept_and_read(served, cache, monkeypatch)
    assert again == first and groups == (3 if fetched else 0)
    other, groups = kept_and_read(served, cache, monkeypatch, "?split=train[1:]")  # other images of the same file
    assert other != first and groups == 3
    served.version = version.replace("1", "2")
    contents = [{"bytes": encoded(picture(900 + i, (12, 10))), "path": None} for i in range(N)]
    table = pa.table({"image": contents, "label": ["ant", "bee"] * (N // 2)})
    pq.write_table(table, tmp_path / "images.parquet", row_group_size=N // 3)
    changed, groups = kept_and_read(served, cache, monkeypatch)
    assert changed != first and groups == 3
