"""Cache: what need not be computed twice, in a folder of the user's, under a name made from all that it depends on.

An entry is one file or folder `KIND/KEY`, written under a temporary name, flushed and renamed: it is there whole or not
at all, whoever else writes it at the same time. Nothing but entries is ever deleted, and only from a KIND folder that
carries the mark that ftcli left when it made that folder.
"""

import hashlib
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ftcli.errors import RequestError
from ftcli.files import flush
from ftcli.log import Log

Kind = Literal["pixels", "features", "checked"]
KINDS: tuple[Kind, ...] = get_args(Kind)
DEFAULT_CAP = "20GB"
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
MARK = "CACHEDIR.TAG"  # by the convention that backup programs know
MARKED = "Signature: 8a477f597d28d172789f06886806bc55\n# ftcli may delete every entry of this folder.\n"
KEY = re.compile(r"[0-9a-f]{64}")
PART = re.compile(r"\.[0-9a-f]{64}\.(?P<machine>[0-9a-f]{8})\.(?P<process>\d+)\.\d+\.part")
FORGOTTEN = 24 * 3600  # seconds after which an unfinished entry of another machine counts as left behind


class TooLarge(Exception):
    """Raised while an entry is written: it does not fit."""


def key(*parts: str | bytes) -> str:
    """sha256 in hex over the parts. Each is preceded by its length: ("ab", "c") and ("a", "bc") are different keys."""
    whole = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        whole.update(len(content).to_bytes(8, "big") + content)
    return whole.hexdigest()


@dataclass(frozen=True)
class Entry:
    """One entry: its size in bytes, and when it was last used in seconds since 1970."""

    kind: str
    key: str
    path: Path
    size: int
    used: float


class Cache:
    """Entries of a folder, together at most `cap` bytes; the least recently used leave first.

    What this object has found or added is in use, and stays until another process needs the room.
    """

    def __init__(self, folder: Path, cap: int, log: Log) -> None:
        self.folder, self.cap, self.log = folder, cap, log
        self._in_use: dict[tuple[str, str], int] = {}  # size in bytes
        self._usable = True

    def find(self, kind: str, key: str) -> Path | None:
        """The entry, which counts as used now, or None where there is none."""
        path = self.folder / kind / key
        try:
            if not is_ours(path.parent) or path.is_symlink() or not path.exists():
                return None
            self._in_use[kind, key] = size_of(path)
        except OSError:  # not allowed to look
            return None
        with suppress(OSError):  # another user's entry may be read but not marked
            os.utime(path)
        return path

    def add(self, kind: str, key: str, fill: Callable[[Path], Any], size: int | None = None) -> Path | None:
        """Let `fill` write an entry, a file or a folder, under a temporary name, and keep it.

        size: bytes, where known before; then room is made first, and `fill` is not called for what cannot be kept.

        Returns:
            The entry, or None where it is not kept: larger than `room`, or the folder cannot be written, which is
            said once in a warning. Work goes on without it.
        """
        path = self.folder / kind / key
        part = path.with_name(f".{key}.{_myself()}.part")
        if not self._usable or (size is not None and size > self.room()):
            return None
        try:
            self._own(kind)
            self._make_room(size or 0)
            fill(part)
            found = size_of(part)
            if found > self.room():
                return None
            flush_all(part)
            self._make_room(found)
            _put(part, path)
            self._in_use[kind, key] = found
            return path
        except TooLarge:
            return None
        except OSError as error:
            self._usable = False  # the folder is not named: a warning stands in the report, which holds no user's name
            self.log.warn(
                "cache-unusable",
                f"the cache folder cannot be written ({error.strerror or error}): nothing is kept for the next run; "
                "FTCLI_CACHE names another folder",
            )
            return None
        finally:
            with suppress(OSError):
                remove(part)

    def room(self) -> int:
        """Bytes that a new entry can have at most: the cap without what is in use."""
        return self.cap - sum(self._in_use.values())

    def discard(self, kind: str, key: str) -> None:
        """Remove an entry that turned out not to hold what its name says."""
        self._in_use.pop((kind, key), None)
        path = self.folder / kind / key
        with suppress(OSError):
            if is_ours(path.parent) and not path.is_symlink():
                _vanish(path)

    def entries(self, kind: str | None = None) -> list[Entry]:
        """Every entry of one kind or of all, the least recently used first. Raises OSError where it may not look."""
        found = [entry for one in KINDS if kind in (one, None) for entry in self._entries(one)]
        return sorted(found, key=lambda entry: (entry.used, entry.kind, entry.key))

    def clear(self, kind: str | None = None) -> list[Entry]:
        """Remove every entry of one kind or of all, and say which they were. Raises OSError where it may not."""
        gone = self.entries(kind)
        for entry in gone:
            _vanish(entry.path)
            self._in_use.pop((entry.kind, entry.key), None)
        self.sweep()
        return gone

    def sweep(self) -> None:
        """Remove what processes that were killed while they wrote have left behind."""
        for kind in KINDS:
            with suppress(OSError):
                if is_ours(self.folder / kind):
                    for path in (self.folder / kind).iterdir():
                        if (part := PART.fullmatch(path.name)) and _left_behind(path, part):
                            remove(path)

    def _entries(self, kind: str) -> Iterator[Entry]:
        folder = self.folder / kind
        for path in folder.iterdir() if is_ours(folder) else ():
            if KEY.fullmatch(path.name) and not path.is_symlink():
                with suppress(FileNotFoundError):  # another process removes entries too
                    yield Entry(kind, path.name, path, size_of(path), path.stat().st_mtime)

    def _make_room(self, size: int) -> None:
        """Remove the least recently used entries until `size` more bytes fit under the cap."""
        entries = self.entries()
        total = sum(entry.size for entry in entries)
        for entry in entries:
            if total + size <= self.cap:
                return
            if (entry.kind, entry.key) not in self._in_use:
                _vanish(entry.path)
                total -= entry.size

    def _own(self, kind: str) -> None:
        """Make the folder of a kind, with its mark, in one step. Raises OSError where that place is taken."""
        folder = self.folder / kind
        if is_ours(folder):
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = self.folder / f".{kind}.{_myself()}.part"
        fresh.mkdir()
        try:
            (fresh / MARK).write_text(MARKED, encoding="utf-8")
            fresh.rename(folder)  # fails where a folder that is not empty stands there
        except OSError:
            if not is_ours(folder):  # otherwise another process was faster
                raise
        finally:
            remove(fresh)


def open_cache(log: Log) -> Cache | None:
    """The user's cache: FTCLI_CACHE or `ftcli` in the cache folder of the system, capped by FTCLI_CACHE_SIZE (20GB).

    None where there is no such folder because the user has no home. Raises RequestError for a size that is none.
    """
    cap = bytes_of(os.environ.get("FTCLI_CACHE_SIZE") or DEFAULT_CAP)
    try:
        cache = Cache(cache_folder(), cap, log)
    except RuntimeError:
        log.warn("cache-unusable", "there is no home folder to keep a cache in; FTCLI_CACHE names a folder")
        return None
    cache.sweep()
    return cache


def cache_folder() -> Path:
    """Where the cache lies; it need not exist. Raises RuntimeError where the user has no home folder."""
    if named := os.environ.get("FTCLI_CACHE"):
        return Path(named).expanduser()
    shared = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return (shared if shared.is_absolute() else Path("~/.cache").expanduser()) / "ftcli"


def bytes_of(text: str) -> int:
    """ "20GB", "1.5 TB" or "1000" in bytes. Raises RequestError where it is no size."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?B)?\s*", text.upper())
    if match is None:
        raise RequestError(
            f"FTCLI_CACHE_SIZE={text!r} is not a size", "write it as 20GB, with one of B, KB, MB, GB, TB"
        )
    return int(float(match[1]) * UNITS[match[2] or ""])


def is_ours(folder: Path) -> bool:
    """Whether ftcli made this folder of entries."""
    mark = folder / MARK
    return mark.is_file() and mark.stat().st_size == len(MARKED) and mark.read_bytes() == MARKED.encode()


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if not path.is_dir():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def flush_all(path: Path) -> None:
    """Force a file, or a folder with all that is in it, to the disk."""
    for inside in path.rglob("*") if path.is_dir() else ():
        flush(inside)
    flush(path)


def remove(path: Path) -> None:
    """Remove a file or a folder; nothing happens where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _put(part: Path, path: Path) -> None:
    """Give a finished entry its name. A folder cannot take the place of another one, which then holds the same."""
    try:
        part.replace(path)
    except OSError:
        if not path.is_dir():
            raise
    flush(path.parent)


def _vanish(path: Path) -> None:
    """Remove an entry. A folder loses its name first, so that nobody finds half of it."""
    gone = path.with_name(f".{path.name}.{_myself()}.part")
    with suppress(FileNotFoundError):
        path.rename(gone)
        remove(gone)


def _myself() -> str:
    """Machine, process and thread, as they stand in a temporary name."""
    return f"{_machine()}.{os.getpid()}.{threading.get_ident()}"


def _machine() -> str:
    return key(socket.gethostname())[:8]


def _left_behind(path: Path, part: re.Match[str]) -> bool:
    """Whether nobody writes this unfinished entry any more; of another machine's processes only its age tells."""
    if part["machine"] != _machine():
        return time.time() - path.stat().st_mtime > FORGOTTEN
    try:
        os.kill(int(part["process"]), 0)  # signal 0 only asks
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's process
        return False
    return False
