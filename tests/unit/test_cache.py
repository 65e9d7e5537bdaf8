"""Cache: entries appear whole or not at all, leave in order under a cap, and nothing else is ever touched."""

import errno
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ftcli.cache.cache import KINDS, MARK, Cache, TooLarge, bytes_of, cache_folder, key, open_cache
from ftcli.errors import RequestError, RunError
from ftcli.log import Log
from tests.helpers.program import inside

ROOT = Path(__file__).parents[2]
A, B, C, D = (key(letter) for letter in "abcd")


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def cache(tmp_path: Path, log: Log) -> Cache:
    return Cache(tmp_path / "cache", 100, log)


def fresh(cache: Cache) -> Cache:
    """The same folder as the next command sees it: nothing in use."""
    return Cache(cache.folder, cache.cap, cache.log)


def filled(size: int) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(b"x" * size)


def folder_of(size: int) -> Callable[[Path], None]:
    """An entry that is a folder with two files, one of them deeper."""

    def fill(path: Path) -> None:
        (path / "deep").mkdir(parents=True)
        (path / "one").write_bytes(b"x" * (size // 2))
        (path / "deep" / "two").write_bytes(b"x" * (size - size // 2))

    return fill


def used(cache: Cache, *keys: str) -> None:
    """Make these the entries' order of last use, long ago."""
    for i, one in enumerate(keys):
        os.utime(cache.folder / "pixels" / one, (1000 + i, 1000 + i))


def keys(cache: Cache) -> list[str]:
    return [entry.key for entry in cache.entries()]


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder, with the content of files."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_key_tells_every_division_of_the_same_text() -> None:
    different = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ("a", "b", "c"), ("c", "ab")]
    assert len({key(*parts) for parts in different}) == len(different)
    assert key("ä", b"b") == key("ä".encode(), "b")
    assert key("ab", "") == hashlib.sha256(bytes([0] * 7 + [2]) + b"ab" + bytes(8)).hexdigest()


@pytest.mark.parametrize("fill", [filled(10), folder_of(10)])
def test_an_entry_is_found_by_its_kind_and_key_only(cache: Cache, fill: Callable[[Path], object]) -> None:
    assert cache.find("pixels", A) is None
    path = cache.add("pixels", A, fill)
    assert path is not None and path == cache.folder / "pixels" / A
    again = fresh(cache)
    assert again.find("pixels", A) == path
    assert again.find("pixels", B) is None and again.find("features", A) is None
    (entry,) = again.entries()
    assert (entry.kind, entry.key, entry.path, entry.size) == ("pixels", A, path, 10)
    assert sorted(os.listdir(cache.folder / "pixels")) == sorted([MARK, A])


def test_the_least_recently_used_leaves_first_and_the_cap_holds(cache: Cache) -> None:
    for one in (A, B, C):
        assert fresh(cache).add("pixels", one, filled(30))
    used(cache, B, A, C)
    second = fresh(cache)
    assert second.add("pixels", D, filled(30)) and keys(second) == [A, C, D]
    used(second, A, C, D)
    assert fresh(second).find("pixels", A)  # which makes it the latest
    third = fresh(second)
    assert third.add("features", B, folder_of(50)) and set(keys(third)) == {A, B}
    assert sum(entry.size for entry in third.entries()) == 80
    assert third.log.warnings == []


def test_entries_of_exactly_the_cap_fit(cache: Cache) -> None:
    assert cache.add("pixels", A, filled(60)) and cache.add("pixels", B, filled(40))
    assert cache.free_bytes() == 0 and len(cache.entries()) == 2
    assert cache.add("pixels", C, filled(1)) is None


def test_what_is_in_use_stays(cache: Cache) -> None:
    for one in (A, B):
        fresh(cache).add("pixels", one, filled(40))
    used(cache, A, B)
    mine = fresh(cache)
    assert mine.find("pixels", A) and mine.free_bytes() == 60
    used(cache, A, B)  # however long ago it was found
    assert mine.add("pixels", C, filled(50)) and set(keys(mine)) == {A, C}
    assert mine.add("pixels", D, filled(20)) is None and set(keys(mine)) == {A, C}


def test_what_is_too_large_is_not_kept_and_drives_nothing_out(cache: Cache) -> None:
    fresh(cache).add("pixels", A, filled(90))

    def gives_up(path: Path) -> None:
        path.write_bytes(b"x" * 100)
        raise TooLarge

    def never(path: Path) -> None:
        raise AssertionError("there is no room for what this would write")

    assert cache.add("pixels", B, filled(101)) is None
    assert cache.add("pixels", B, folder_of(101)) is None
    assert cache.add("pixels", B, gives_up) is None
    assert cache.add("pixels", B, never, size=101) is None
    assert keys(cache) == [A] and sorted(os.listdir(cache.folder / "pixels")) == sorted([MARK, A])
    assert cache.log.warnings == []


@pytest.mark.parametrize("error", [RunError("damaged"), KeyboardInterrupt()])
def test_an_error_while_filling_leaves_nothing_and_is_passed_on(cache: Cache, error: BaseException) -> None:
    def fail(path: Path) -> None:
        folder_of(10)(path)
        raise error

    with pytest.raises(type(error)):
        cache.add("pixels", A, fail)
    assert os.listdir(cache.folder / "pixels") == [MARK]
    assert cache.add("pixels", A, filled(1))


def test_a_full_disk_is_said_once_and_work_goes_on(cache: Cache, log: Log) -> None:
    calls = []

    def full(path: Path) -> None:
        calls.append(path)
        path.write_bytes(b"x")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert [cache.add("pixels", one, full) for one in (A, B)] == [None, None]
    assert len(calls) == 1 and os.listdir(cache.folder / "pixels") == [MARK]
    assert [warning["code"] for warning in log.warnings] == ["cache-unusable"]
    assert "No space left" in log.warnings[0]["text"] and str(cache.folder) not in log.warnings[0]["text"]


def test_a_folder_that_cannot_be_made_is_said_once(tmp_path: Path, log: Log) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file" / "cache", 100, log)
    assert cache.find("pixels", A) is None and cache.entries() == []
    assert [cache.add("pixels", one, filled(1)) for one in (A, B)] == [None, None]
    assert len(log.warnings) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_may_not_be_written_can_still_be_read(cache: Cache, log: Log) -> None:
    cache.add("pixels", A, filled(1))
    os.chmod(cache.folder / "pixels", 0o500)
    try:
        again = fresh(cache)
        assert again.find("pixels", A) and again.add("pixels", B, filled(1)) is None
        assert len(log.warnings) == 1
    finally:
        os.chmod(cache.folder / "pixels", 0o700)


def test_two_processes_that_write_one_entry_leave_one_whole_one(tmp_path: Path) -> None:
    """Both are inside `fill` at the same time, for a file and for a folder; a third one reads while they write."""
    code = """
import sys, time
from pathlib import Path
from ftcli.cache.cache import Cache
from ftcli.log import Log
log, here = Log(), Path(sys.argv[1])
cache = Cache(here / "cache", 10**9, log)
def file(path):
    with path.open("wb") as stream:
        stream.write(b"x" * 1000); stream.flush()
        (here / sys.argv[2]).touch()
        while len(list(here.glob("process*"))) < 2: time.sleep(0.01)
        assert cache.find("pixels", "a" * 64) is None or sys.argv[2]
        stream.write(b"x" * 1000)
def folder(path):
    path.mkdir(); (path / "one").write_bytes(b"x" * 1000)
for key, fill in (("a" * 64, file), ("b" * 64, folder)):
    assert cache.add("pixels", key, fill), log.warnings
assert log.warnings == []
"""
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), f"process{i}"], cwd=ROOT, stderr=subprocess.PIPE)
        for i in range(2)
    ]
    try:
        assert [one.wait(timeout=30) for one in both] == [0, 0], [one.stderr.read() for one in both if one.stderr]
    finally:
        for one in both:
            one.kill()
            one.communicate()
    folder = tmp_path / "cache" / "pixels"
    assert sorted(os.listdir(folder)) == sorted([MARK, "a" * 64, "b" * 64])
    assert (folder / ("a" * 64)).read_bytes() == b"x" * 2000
    assert tree(folder / ("b" * 64)) == {"one": b"x" * 1000}
    assert os.listdir(tmp_path / "cache") == ["pixels"]


def test_a_killed_process_leaves_no_entry_and_the_next_command_sweeps(tmp_path: Path, log: Log) -> None:
    code = """
import sys, time
from pathlib import Path
from ftcli.cache.cache import Cache
from ftcli.log import Log
def fill(path):
    path.mkdir(); (path / "half").write_bytes(b"x" * 10)
    print("filling", flush=True)
    time.sleep(60)
Cache(Path(sys.argv[1]), 100, Log()).add("pixels", "a" * 64, fill)
"""
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"filling\n"
        cache = Cache(tmp_path, 100, log)
        cache.remove_partial()  # it is still at it
        (part,) = [path for path in (tmp_path / "pixels").iterdir() if path.name != MARK]
        assert (part / "half").exists() and cache.entries() == []
    finally:
        process.kill()
        process.communicate()
    assert cache.find("pixels", "a" * 64) is None and cache.entries() == []
    cache.remove_partial()
    assert os.listdir(tmp_path / "pixels") == [MARK]


def test_another_machine_s_unfinished_entry_is_left_for_a_day(cache: Cache) -> None:
    cache.add("pixels", A, filled(1))
    part = cache.folder / "pixels" / f".{B}.01234567.1.1.part"
    part.write_bytes(b"half")
    cache.remove_partial()
    assert part.exists()
    os.utime(part, (time.time() - 90_000,) * 2)
    cache.remove_partial()
    assert not part.exists() and keys(cache) == [A]


def test_discard_and_a_new_entry_in_its_place(cache: Cache) -> None:
    cache.add("pixels", A, filled(100))
    cache.discard("pixels", A)
    assert cache.entries() == [] and cache.find("pixels", A) is None and cache.free_bytes() == 100
    assert cache.add("pixels", A, folder_of(100))


def test_only_entries_are_ever_deleted(tmp_path: Path, log: Log) -> None:
    """FTCLI_CACHE may point anywhere: at a home folder with folders of the same names, or at a cache with strangers."""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    home = tmp_path / "home"
    (home / "features").mkdir(parents=True)
    for name in ("notes.txt", f"features/{A}", "features/.hidden"):
        (home / name).write_text("mine")
    before = tree(home)
    cache = Cache(home, 100, log)
    assert cache.find("features", A) is None and cache.entries() == []
    assert cache.add("pixels", A, filled(10))
    pixels = home / "pixels"
    for name in ("notes.txt", A[:-1], A.upper(), f".{A}.part", f"{A}.txt"):
        (pixels / name).write_text("mine")
    (pixels / B).symlink_to(precious)
    (pixels / C).symlink_to(tmp_path)
    (pixels / "folder").mkdir()
    (pixels / "folder" / A).write_text("mine")
    strangers = {name: content for name, content in tree(pixels).items() if name != A}
    assert B in strangers and C in strangers
    assert fresh(cache).add("pixels", D, filled(95))  # drives A out and nothing else
    assert cache.find("pixels", B) is None
    assert {entry.key for entry in cache.clear()} == {D} and cache.entries() == []
    cache.discard("pixels", B)
    cache.discard("features", A)
    assert tree(pixels) == strangers
    assert precious.read_text() == "precious"
    assert {name: content for name, content in tree(home).items() if not name.startswith("pixels")} == before
    assert cache.add("features", B, filled(1)) is None  # that place is taken
    assert [warning["code"] for warning in log.warnings] == ["cache-unusable"] and tree(home / "features") == {
        name.removeprefix("features/"): content for name, content in before.items() if name.startswith("features/")
    }


def test_clear_of_one_kind(cache: Cache) -> None:
    for kind in KINDS:
        cache.add(kind, A, filled(5))
    assert [(entry.kind, entry.size) for entry in cache.clear("features")] == [("features", 5)]
    assert {entry.kind for entry in cache.entries()} == {*KINDS} - {"features"}
    assert len(cache.clear()) == len(KINDS) - 1 and cache.entries() == []
    assert cache.free_bytes() == 100


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("FTCLI_CACHE", raising=False)
    for shared, expected in (
        ("", ".cache/ftcli"), ("relative", ".cache/ftcli"), (str(tmp_path / "x"), "x/ftcli"),
    ):  # fmt: skip
        monkeypatch.setenv("XDG_CACHE_HOME", shared)
        assert cache_folder() == tmp_path / expected
    for named, expected in (("~/own", "own"), (str(tmp_path / "abs"), "abs"), ("", "x/ftcli")):
        monkeypatch.setenv("FTCLI_CACHE", named)
        assert cache_folder() == tmp_path / expected
    assert not list(tmp_path.iterdir())


def test_size_in_words(monkeypatch: pytest.MonkeyPatch, log: Log, tmp_path: Path) -> None:
    sizes = {"20GB": 20 * 10**9, "1.5 tb": 1.5 * 10**12, "1000": 1000, "7 B": 7, "0": 0, " 3MB ": 3e6, "2kb": 2000}
    assert {text: bytes_of(text) for text in sizes} == sizes
    for text in ("much", "-1GB", "GB", "1e9", "20 GiB", "1.GB", "nan"):
        with pytest.raises(RequestError, match="FTCLI_CACHE_SIZE"):
            bytes_of(text)
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path))
    monkeypatch.setenv("FTCLI_CACHE_SIZE", "5KB")
    cache = open_cache(log)
    assert cache is not None and (cache.folder, cache.cap) == (tmp_path, 5000)
    monkeypatch.setenv("FTCLI_CACHE_SIZE", "")
    cache = open_cache(log)
    assert cache is not None and cache.cap == 20 * 10**9


def test_the_command_shows_and_clears(tmp_path: Path) -> None:
    place = {"FTCLI_CACHE": str(tmp_path / "cache"), "FTCLI_CACHE_SIZE": "2MB"}
    assert inside("cache", "--json", **place).report["bytes"] == 0 and not (tmp_path / "cache").exists()
    cache = Cache(tmp_path / "cache", 2 * 10**6, Log())
    cache.add("pixels", A, filled(1_500_000))
    cache.add("pixels", B, filled(100_000))
    cache.add("features", A, folder_of(10))
    os.utime(cache.folder / "pixels" / A, (86_400, 86_400))
    os.utime(cache.folder / "pixels" / B, (90_000, 90_000))
    (cache.folder / "pixels" / "notes.txt").write_text("mine")
    found = inside("cache", "--json", **place).report
    assert (found["folder"], found["cap"], found["bytes"]) == (str(tmp_path / "cache"), 2 * 10**6, 1_600_010)
    pixels = {"entries": 2, "bytes": 1_600_000, "last_used": "1970-01-02T01:00:00+00:00"}
    assert found["kinds"]["pixels"] == pixels and found["kinds"]["features"]["entries"] == 1
    assert found["kinds"]["checked"] == {"entries": 0, "bytes": 0, "last_used": None}
    shown = inside("cache", **place).stdout
    assert all(word in shown for word in (str(tmp_path / "cache"), "1.6 of 2 MB", "1970-01-02 01:00"))
    assert list(inside("cache", "show", "--kind", "features", "--json", **place).report["kinds"]) == ["features"]
    gone = inside("cache", "clear", "--kind", "pixels", "--json", **place).report
    assert gone["kinds"] == {"pixels": pixels} and gone["bytes"] == 1_600_000
    assert sorted(os.listdir(cache.folder / "pixels")) == [MARK, "notes.txt"] and len(cache.entries()) == 1
    assert "removed" in inside("cache", "clear", **place).stdout and cache.entries() == []
    for words in (["celar"], ["clear", "--kind", "pixel"]):
        refused = inside("cache", *words, **place)
        assert refused.returncode == 2 and repr(words[-1]) in refused.stderr
