"""Entries of the cache as open files, with a checksum over every byte.

An entry ends in a footer: FORM, the number of bytes before it, and the XXH3 checksum of its key and of those bytes,
which is compared whenever the entry is opened. An open entry stays readable when another process removes it.
"""

import mmap
import os
import stat
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

import xxhash

from ftcli.cache.cache import Cache

FORM = b"ftcli entry 2\n"  # an input of every key: an entry of another form then has another key
FOOTER = len(FORM) + 8 + 16  # bytes
WINDOW = 1 << 26  # bytes that are mapped at a time: mapped bytes count as memory of the process


class StaleEntry(Exception):
    """A file is not the entry that its key says."""


def find(cache: Cache, kind: str, name: str) -> FileIO | None:
    """The entry, or None where there is none. A damaged one is removed, with a warning."""
    path = cache.find(kind, name)
    if path is None:
        return None
    try:
        return open_entry(path, name)
    except StaleEntry as fault:
        cache.log.warn("cache-damaged", f"an entry of the cache ({kind}) is not what was put there: {fault}; made anew")
    except OSError:  # removed by another process just now, or its disk cannot read it
        pass
    cache.discard(kind, name)
    return None


def add(cache: Cache, kind: str, name: str, write: Callable[[Path], Any], size: int | None = None) -> FileIO | None:
    """Let `write` make the entry, and open it before other processes can see it. None where it is not kept.

    size: bytes of what will be written, where known.
    """
    files: list[FileIO] = []

    def fill(path: Path) -> None:
        write(path)
        write_footer(path, name)
        files.append(open_entry(path, name))

    if cache.add(kind, name, fill, None if size is None else size + FOOTER) is None:
        for file in files:
            file.close()
        return None
    return files[0]


def length(file: FileIO) -> int:
    """Bytes of an entry's content."""
    return os.fstat(file.fileno()).st_size - FOOTER


def write_footer(path: Path, name: str) -> None:
    """Append the footer to a file."""
    with path.open("r+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        file.write(FORM + size.to_bytes(8, "little") + checksum(file.fileno(), name, size))


def open_entry(path: Path, name: str) -> FileIO:
    """An entry, checked. Raises StaleEntry where it is incomplete or another one, OSError where it cannot be read."""
    if not stat.S_ISREG(os.lstat(path).st_mode):  # a pipe would never end, a device may do something when it is opened
        raise StaleEntry("no regular file")
    file = FileIO(path, "rb", opener=lambda where, _: os.open(where, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK))
    try:
        size = length(file)
        footer = os.pread(file.fileno(), FOOTER, max(0, size))
        if footer[:-16] != FORM + max(0, size).to_bytes(8, "little"):
            raise StaleEntry("another length")
        if footer[-16:] != checksum(file.fileno(), name, size):
            raise StaleEntry("another checksum")
    except BaseException:
        file.close()
        raise
    return file


def checksum(handle: int, name: str, size: int) -> bytes:
    """XXH3, 128 bits, of a key and of the first `size` bytes of an open file."""
    digest = xxhash.xxh3_128(name.encode())
    for start in range(0, size, WINDOW):
        with mmap.mmap(handle, min(WINDOW, size - start), access=mmap.ACCESS_COPY, offset=start) as mapped:
            digest.update(mapped)
    return digest.digest()
