"""The cache: results that need not be computed twice, in a folder of the user, under keys made from all inputs.

An entry is one file or folder `KIND/KEY`, written under a temporary name, flushed and renamed: readers see it complete
or not at all, whichever processes write at the same time. Only entries are ever deleted, and only from a KIND folder
with the mark that ftcli wrote when it made that folder.
"""

import hashlib
import os
import re
import secrets
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

Kind = Literal["pixels", "features", "checked", "shards"]
KINDS: tuple[Kind, ...] = get_args(Kind)
DEFAULT_CAP = "20GB"
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
MARK = "CACHEDIR.TAG"  # by the convention that backup programs know
MARK_CONTENT = "Signature: 8a477f597d28d172789f06886806bc55\n# ftcli may delete every entry of this folder.\n"
KEY = re.compile(r"[0-9a-f]{64}")
PARTIAL = re.compile(r"\.[0-9a-f]{64}\.(?P<machine>[0-9a-f]{8})\.(?P<process>\d+)\.\d+\.part")
ABANDONED_AFTER = 24 * 3600  # seconds, for an unfinished entry of another machine


class TooLarge(Exception):
    """Raised by the writer of an entry that does not fit under the cap."""


def key(*inputs: str | bytes) -> str:
    """sha256 of the inputs, each preceded by its length: ("ab", "c") and ("a", "bc") have different keys."""
    digest = hashlib.sha256()
    for value in inputs:
        content = value.encode() if isinstance(value, str) else value
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


@dataclass(frozen=True)
class Entry:
    """An entry; `size` in bytes, `used`: when it was last used, in seconds since 1970."""

    kind: str
    key: str
    path: Path
    size: int
    used: float


class Cache:
    """Entries of a folder, together at most `cap` bytes; the least recently used are evicted first.

    Entries that this object has found or added are in use: it does not evict them, though another process may.
    """

    def __init__(self, folder: Path, cap: int, log: Log) -> None:
        self.folder, self.cap, self.log = folder, cap, log
        self._in_use: dict[tuple[str, str], int] = {}  # size in bytes
        self._usable = True

    def find(self, kind: str, key: str) -> Path | None:
        """The entry, marked as used now; None where there is none."""
        path = self.folder / kind / key
        try:
            if not made_by_ftcli(path.parent) or path.is_symlink() or not path.exists():
                return None
            self._in_use[kind, key] = size_of(path)
        except OSError:  # not allowed to look
            return None
        with suppress(OSError):  # another user's entry may be read but not marked
            os.utime(path)
        return path

    def add(self, kind: str, key: str, write: Callable[[Path], Any], size: int | None = None) -> Path | None:
        """Let `write` make an entry, a file or a folder, under a temporary name, and rename it.

        size: bytes, where known before; then others are evicted first, and `write` is not called for what does not fit.

        Returns:
            The entry, or None where it is not kept: larger than `free_bytes`, or the folder cannot be written, which
            is a warning. The command goes on without it.
        """
        path = self.folder / kind / key
        partial = self._partial(kind, key)
        if not self._usable or (size is not None and size > self.free_bytes()):
            return None
        try:
            self._make_kind_folder(kind)
            self._evict(size or 0)
            write(partial)
            written = size_of(partial)
            if written > self.free_bytes():
                return None
            flush_all(partial)
            self._evict(written)
            _rename(partial, path)
            self._in_use[kind, key] = written
            return path
        except TooLarge:
            return None
        except OSError as error:
            self.unusable(error)
            return None
        finally:
            with suppress(OSError):
                remove(partial)

    def draft(self, kind: str) -> Path | None:
        """A temporary name for a file that may become an entry once its key is known: the `write` of `add` renames it.
        Where that does not happen it has to be removed. None where the folder cannot be written.
        """
        if not self._usable:
            return None
        try:
            self._make_kind_folder(kind)
        except OSError as error:
            self.unusable(error)
            return None
        return self._partial(kind, secrets.token_hex(32))

    def unusable(self, error: OSError) -> None:
        """Warn that the folder cannot be written, and write no more."""
        self._usable = False  # the folder is not named: reports, which hold the warnings, have no user name in them
        self.log.warn(
            "cache-unusable",
            f"the cache folder cannot be written ({error.strerror or error}): nothing is kept for the next run; "
            "FTCLI_CACHE names another folder",
        )

    def _partial(self, kind: str, key: str) -> Path:
        """The temporary name under which this thread writes an entry."""
        return self.folder / kind / f".{key}.{_writer()}.part"

    def free_bytes(self) -> int:
        """The most bytes of a new entry: the cap without the entries in use."""
        return self.cap - sum(self._in_use.values())

    def discard(self, kind: str, key: str) -> None:
        """Remove an entry whose content is not what its key says."""
        self._in_use.pop((kind, key), None)
        path = self.folder / kind / key
        with suppress(OSError):
            if made_by_ftcli(path.parent) and not path.is_symlink():
                _remove_entry(path)

    def entries(self, kind: str | None = None) -> list[Entry]:
        """The entries of a kind, or all, the least recently used first. Raises OSError where they cannot be listed."""
        entries = [entry for name in KINDS if kind in (name, None) for entry in self._entries(name)]
        return sorted(entries, key=lambda entry: (entry.used, entry.kind, entry.key))

    def clear(self, kind: str | None = None) -> list[Entry]:
        """Remove the entries of a kind, or all, and return them. Raises OSError where they cannot be removed."""
        removed = self.entries(kind)
        for entry in removed:
            _remove_entry(entry.path)
            self._in_use.pop((entry.kind, entry.key), None)
        self.remove_partial()
        return removed

    def remove_partial(self) -> None:
        """Remove unfinished entries of killed processes."""
        for kind in KINDS:
            with suppress(OSError):
                if made_by_ftcli(self.folder / kind):
                    for path in (self.folder / kind).iterdir():
                        if (name := PARTIAL.fullmatch(path.name)) and _abandoned(path, name):
                            remove(path)

    def _entries(self, kind: str) -> Iterator[Entry]:
        folder = self.folder / kind
        for path in folder.iterdir() if made_by_ftcli(folder) else ():
            if KEY.fullmatch(path.name) and not path.is_symlink():
                with suppress(FileNotFoundError):  # another process removes entries too
                    yield Entry(kind, path.name, path, size_of(path), path.stat().st_mtime)

    def _evict(self, size: int) -> None:
        """Remove the least recently used entries until `size` more bytes fit under the cap."""
        entries = self.entries()
        total = sum(entry.size for entry in entries)
        for entry in entries:
            if total + size <= self.cap:
                return
            if (entry.kind, entry.key) not in self._in_use:
                _remove_entry(entry.path)
                total -= entry.size

    def _make_kind_folder(self, kind: str) -> None:
        """Make the folder of a kind, with its mark, in one step. Raises OSError where another folder has its name."""
        folder = self.folder / kind
        if made_by_ftcli(folder):
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = self.folder / f".{kind}.{_writer()}.part"
        fresh.mkdir()
        try:
            (fresh / MARK).write_text(MARK_CONTENT, encoding="utf-8")
            fresh.rename(folder)  # fails where there is a folder that is not empty
        except OSError:
            if not made_by_ftcli(folder):  # otherwise another process was faster
                raise
        finally:
            remove(fresh)


def open_cache(log: Log) -> Cache | None:
    """The user's cache: FTCLI_CACHE or `ftcli` in the cache folder of the system, capped by FTCLI_CACHE_SIZE (20GB).

    None, with a warning, where the user has no home folder. Raises RequestError for a cap that is no size.
    """
    cap = bytes_of(os.environ.get("FTCLI_CACHE_SIZE") or DEFAULT_CAP)
    try:
        cache = Cache(cache_folder(), cap, log)
    except RuntimeError:
        log.warn("cache-unusable", "there is no home folder to keep a cache in; FTCLI_CACHE names a folder")
        return None
    cache.remove_partial()
    return cache


def cache_folder() -> Path:
    """Path of the cache, which need not exist. Raises RuntimeError where the user has no home folder."""
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


def made_by_ftcli(folder: Path) -> bool:
    """Whether ftcli made this folder of entries."""
    mark = folder / MARK
    return mark.is_file() and mark.stat().st_size == len(MARK_CONTENT) and mark.read_bytes() == MARK_CONTENT.encode()


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


def _rename(partial: Path, path: Path) -> None:
    """Give a finished entry its name. Where another process has made that entry, and it is a folder, that one stays."""
    try:
        partial.replace(path)
    except OSError:
        if not path.is_dir():
            raise
    flush(path.parent)


def _remove_entry(path: Path) -> None:
    """Remove an entry. It is renamed first, so that no process finds half of a folder."""
    partial = path.with_name(f".{path.name}.{_writer()}.part")
    with suppress(FileNotFoundError):
        path.rename(partial)
        remove(partial)


def _writer() -> str:
    """Machine, process and thread, as in a temporary name."""
    return f"{_machine_digest()}.{os.getpid()}.{threading.get_ident()}"


def _machine_digest() -> str:
    return key(socket.gethostname())[:8]


def _abandoned(path: Path, name: re.Match[str]) -> bool:
    """Whether no process writes this unfinished entry any more; for another machine's processes only its age tells."""
    if name["machine"] != _machine_digest():
        return time.time() - path.stat().st_mtime > ABANDONED_AFTER
    try:
        os.kill(int(name["process"]), 0)  # signal 0 only tests
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's process
        return False
    return False
