"""Files behind URLs: ranges, servers that misbehave, sources that go away, what is refused and what is not shown."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from unittest import mock

import fsspec
import pytest

from ftcli.data.storage import retries
from ftcli.data.storage.remote import RemoteStorage
from ftcli.data.storage.retries import SourceGone, waits_announced_to
from ftcli.data.storage.storage import storage_of
from ftcli.data.storage.url import check_url
from ftcli.data.threads import map_in_order
from ftcli.errors import RequestError
from ftcli.safe_text import redacted, redacted_spec, without_secrets
from tests.helpers.served import Served, serving

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "a b#.bin").write_bytes(CONTENT)
    (tmp_path / "empty").touch()
    with serving(tmp_path) as server, mock.patch.object(retries, "PAUSES", (0.05,) * 3):
        yield server


@pytest.fixture
def memory() -> Iterator[str]:
    system = fsspec.filesystem("memory")
    system.pipe_file("/set/a b.bin", CONTENT)
    yield "memory://set/a b.bin"
    system.rm("/set", recursive=True)


def file_of(served: Served) -> str:
    return f"{served.url}/a b%23.bin"


@pytest.mark.parametrize("kind", ["http", "memory"])
def test_ranges(kind: str, served: Served, memory: str) -> None:
    path = file_of(served) if kind == "http" else memory
    storage = storage_of(path)
    assert isinstance(storage, RemoteStorage)
    assert storage.is_file(path) and not storage.is_file(path + "x") and storage.size(path) == len(CONTENT)
    assert storage.read(path) == CONTENT and storage.read(path, 10_000) == CONTENT[10_000:]
    assert storage.read(path, 3, 700) == CONTENT[3:700] and storage.read(path, 5, 5) == b""
    assert storage.read_whole(path, 20_000) == CONTENT
    with storage.open(path) as file:
        file.seek(-100, 2)
        assert file.read() == CONTENT[-100:] and file.seek(7) == 7 and file.read(3) == CONTENT[7:10]
    with pytest.raises(OSError, match="ends before byte 20,000"):
        storage.read(path, 1, 20_000)
    with pytest.raises(OSError, match="at most 100 are read"):
        storage.read_whole(path, 100)
    with pytest.raises(FileNotFoundError):
        storage.read(path + "x")


def test_only_what_is_asked_for_is_sent(served: Served) -> None:
    RemoteStorage().read(file_of(served), 100, 150)
    assert [asked for _, asked in served.asked] == ["bytes=0-0", "bytes=100-149"] and served.sent == 51


def test_an_empty_file(served: Served) -> None:
    storage = RemoteStorage()
    assert storage.size(f"{served.url}/empty") == 0 and storage.read(f"{served.url}/empty") == b""


def test_a_server_without_ranges_is_refused_and_nothing_is_taken(served: Served) -> None:
    served.ranges = False
    with pytest.raises(OSError, match="does not send ranges"):
        RemoteStorage().read(file_of(served), 100, 150)


def test_what_is_missing_or_forbidden_is_asked_for_once(served: Served) -> None:
    with pytest.raises(FileNotFoundError):
        RemoteStorage().read(f"{served.url}/none")
    served.forbidden = True
    with pytest.raises(PermissionError, match="403"):
        RemoteStorage().read(file_of(served))
    assert len(served.asked) == 2


@pytest.mark.parametrize("fault", ["cut", "busy"])
def test_answers_that_are_cut_short_or_busy_are_asked_for_again(fault: str, served: Served) -> None:
    storage = RemoteStorage()
    storage.size(file_of(served))
    setattr(served, fault, 2)
    assert storage.read(file_of(served), 3, 700) == CONTENT[3:700]
    assert len(served.asked) == 4


def test_a_source_that_stops_for_a_while_is_waited_for(served: Served) -> None:
    storage, notes = RemoteStorage(), list[str]()
    storage.size(file_of(served))
    served.stop_for(0.3)
    with mock.patch.object(retries, "PAUSES", (0.1, 0.2, 0.4)), waits_announced_to(notes.append):
        assert storage.read(file_of(served), 3, 700) == CONTENT[3:700]
    assert len(notes) == 1 and notes[0].startswith(f"{served.url} does not answer (")


def test_of_many_threads_that_wait_one_says_so(served: Served) -> None:
    storage, notes = RemoteStorage(), list[str]()
    storage.size(file_of(served))
    for _ in range(2):
        served.stop_for(0.3)
        with mock.patch.object(retries, "PAUSES", (0.1, 0.2, 0.4, 0.8)), waits_announced_to(notes.append):
            read = partial(storage.read, file_of(served), 3)
            parts = list(map_in_order(read, range(50, 58), threads=8, ahead=8))
        assert parts == [CONTENT[3:stop] for stop in range(50, 58)]
    assert len(notes) == 2


def test_a_source_that_is_gone_is_an_error_after_so_many_tries(served: Served) -> None:
    storage = RemoteStorage()
    storage.size(file_of(served))
    served.stop()
    began = time.monotonic()
    with pytest.raises(SourceGone, match="it went away: 4 tries within 0 s"):
        storage.read(file_of(served), 3, 700)
    assert 0.1 < time.monotonic() - began < 5


def test_the_pauses_outlast_five_seconds() -> None:
    assert sum(retries.PAUSES) > 10


def test_a_server_that_says_nothing_is_not_waited_for_without_end() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        mock.patch("ftcli.data.storage.http.TIMEOUT", 0.1),
        mock.patch.object(retries, "PAUSES", (0.1,)),
        pytest.raises(SourceGone, match="timed out"),
    ):
        RemoteStorage().size(f"http://127.0.0.1:{silent.getsockname()[1]}/a")


def test_a_file_that_changes_is_noticed(served: Served) -> None:
    storage = RemoteStorage()
    storage.read(file_of(served), 0, 10)
    served.version = '"2"'
    with pytest.raises(OSError, match="has changed"):
        storage.read(file_of(served), 0, 10)


def test_only_strong_versions_are_relied_on(served: Served) -> None:
    versions = []
    for version in ('"1"', '"2"', 'W/"1"', ""):
        served.version = version
        versions.append(RemoteStorage().version(file_of(served)))
    assert None not in versions[:2] and versions[0] != versions[1] and versions[2:] == [None, None]


# Prints, as hexadecimal, 5050 bytes of a file: the first and the last 50 read here, the others by forked processes.
FORKING = """
import multiprocessing, sys
import fsspec
from ftcli.data.storage.storage import storage_of

def read(start):
    return storage_of(sys.argv[1]).read(sys.argv[1], start, start + 50)

fsspec.filesystem("memory").pipe_file("/set/a b.bin", bytes(range(256)) * 40)
first = read(0)
with multiprocessing.get_context("fork").Pool(2) as pool:
    parts = pool.map(read, range(50, 5000, 50))
print(b"".join([first, *parts, read(5000)]).hex())
"""


def test_forked_processes_read_on(served: Served) -> None:
    """From a process of its own: forked from this one, they may wait for a lock of another test's thread for ever."""
    for path in (file_of(served), "memory://set/a b.bin"):
        ended = subprocess.run([sys.executable, "-c", FORKING, path], capture_output=True, text=True, timeout=120)
        assert ended.returncode == 0, ended.stderr
        assert bytes.fromhex(ended.stdout) == CONTENT[:5050]


def test_listing(memory: str) -> None:
    storage = RemoteStorage()
    assert storage.glob("memory://set/*.bin") == [memory] and storage.glob("memory://set/*.png") == []
    with pytest.raises(RequestError, match="does not say which files it has"):
        storage.glob("https://host/*.tar")


@pytest.mark.parametrize(
    ("url", "words", "fix"),
    [
        ("file:///etc/passwd", "by a URL", "type the path: /etc/passwd"),
        ("local://a", "by a URL", "type the path: a"),
        ("zip://a.png::https://host/a.zip", "a URL inside another", "give the URL of a table"),
        ("simplecache::https://host/a.zip", "a URL inside another", "give the URL of a table"),
        ("http://host/http://other/a", "a URL inside another", "give the URL of a table"),
        ("httpz://host/a", "httpz:// is not read", 'did you mean "http"?'),
        ("quux://host/a", "quux:// is not read", "use one of https://"),
        ("https:///a", "names no host", "write https://HOST/PATH"),
        ("https://me:secret@host/a", "user name or password", "leave it out"),
    ],
)
def test_urls_that_are_refused(url: str, words: str, fix: str) -> None:
    with pytest.raises(RequestError, match=words) as refused:
        check_url(url)
    assert refused.value.fix.startswith(fix) and "secret" not in refused.value.problem


def test_a_package_that_is_missing_is_named() -> None:
    with mock.patch.dict("sys.modules", {"s3fs": None}), pytest.raises(RequestError, match="s3fs") as refused:
        RemoteStorage().size("s3://bucket/a.parquet")
    assert refused.value.fix == "pip install s3fs"


def test_secrets_are_not_shown() -> None:
    assert redacted("https://me:secret@host/a b.parquet?sig=secret&x=1") == "https://host/a b.parquet?…"
    assert redacted("s3://bucket/a@b") == "s3://bucket/a@b" and redacted("a?b") == "a?b"
    assert redacted_spec("far=https://host/a%3Fsig=secret?split=test") == "far=https://host/a%3F…?split=test"
    shown = without_secrets('for "https://me:secret@host/a?sig=secret" and s3://bucket/a, is it?')
    assert shown == 'for "https://host/a?…" and s3://bucket/a, is it?'
