"""Files appear whole or not at all."""

import errno
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ftcli.errors import Hindered

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MB = 1e6  # bytes
PART = ".part"  # how the names of files end that are not whole


def write_whole(path: Path, fill: Callable[[Path], Any], size: int = 0) -> None:
    """Let `fill` write under a temporary name, flush that to the disk, rename: a reader never sees half a file.

    size: bytes that it will take, about, for whoever has to make room. Raises Hindered where the disk does not let it.
    """
    write_together({path: fill}, size)


def write_together(files: dict[Path, Callable[[Path], Any]], size: int = 0) -> None:
    """The same for files that belong together: none gets its name before all are written."""
    try:
        _write_together(files)
    except Exception as error:  # of the libraries that write, each has a kind of its own for what the system says
        if (number := system_error(error)) is None:
            raise
        raise hindered(next(iter(files)), number, size) from error


def system_error(error: Exception) -> int | None:
    """The number of the system's error behind an exception; None where there is none."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    found = re.search(r"\(os error (\d+)\)", str(error))  # as libraries written in Rust put it
    return int(found[1]) if found else None


def hindered(path: Path, number: int, size: int) -> Hindered:
    """What ends a command that cannot write there."""
    needed = f"; {size / MB:,.1f} MB are needed, {shutil.disk_usage(nearest(path)).free / MB:,.1f} MB are free"
    what = f"{str(path)!r} cannot be written: {os.strerror(number)}{needed * (size > 0)}."
    if number in NO_ROOM:
        return Hindered(what, "make room, then type the same command again")
    return Hindered(what, "give --out a folder of yours, on a disk that works")


def _write_together(files: dict[Path, Callable[[Path], Any]]) -> None:
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}{PART}") for path in files}
    try:
        for path, fill in files.items():
            fill(temporary[path])
            temporary[path].chmod(0o666 & ~umask())  # some writers leave files that only their owner may read
            flush(temporary[path])
        for path, part in temporary.items():
            part.replace(path)
            flush(path.parent)
    finally:
        for part in temporary.values():
            part.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what a process that was killed has left half-written; nobody else may be writing there."""
    for part in folder.glob(f".*{PART}"):
        part.unlink(missing_ok=True)


def make(folder: Path) -> None:
    """Make a folder, with those above it, where it is not there. Raises Hindered where the disk does not allow it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise hindered(folder, error.errno or errno.EIO, 0) from error


def nearest(path: Path) -> Path:
    """The path itself where it exists, else the nearest one above it that does."""
    return next(one for one in (path, *path.absolute().parents) if one.exists())


def flush(path: Path) -> None:
    """Force a file's bytes, or a folder's entries, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def umask() -> int:
    """The permissions that the user's files go without; the system tells only by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
