"""Files appear whole or not at all, and what is read is what it looks like: a regular file, and not too long."""

import errno
import json
import os
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ftcli.errors import ResourceLimit
from ftcli.limits import MAX_JSON_BYTES

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MB = 1e6  # bytes
PART = ".part"  # how the names of folders end in which files are not whole


def write_whole(path: Path, fill: Callable[[Path], Any], size: int = 0) -> None:
    """Let `fill` write under a temporary name, flush that to the disk, rename: a reader never sees half a file.

    size: bytes that it will take, about, for whoever makes room. Raises ResourceLimit where the disk refuses.
    """
    write_together({path: fill}, size)


def write_together(files: dict[Path, Callable[[Path], Any]], size: int = 0) -> None:
    """The same for files that belong together: none gets its name before all are written."""
    try:
        _write_together(files)
    except Exception as error:  # of the libraries that write, each has a kind of its own for what the system says
        if (number := system_error(error)) is None:
            raise
        raise resource_limit(next(iter(files)), number, size) from error


def system_error(error: Exception) -> int | None:
    """The number of the system's error behind an exception; None where there is none."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    found = re.search(r"\(os error (\d+)\)", str(error))  # as libraries written in Rust put it
    return int(found[1]) if found else None


def resource_limit(path: Path, number: int, size: int) -> ResourceLimit:
    """What ends a command that cannot write there."""
    needed = f"; {size / MB:,.1f} MB are needed, {shutil.disk_usage(nearest(path)).free / MB:,.1f} MB are free"
    what = f"{str(path)!r} cannot be written: {os.strerror(number)}{needed * (size > 0)}."
    if number in NO_ROOM:
        return ResourceLimit(what, "make room")
    return ResourceLimit(what, "give --out a folder of yours, on a disk that works")


def _write_together(files: dict[Path, Callable[[Path], Any]]) -> None:
    # Each in a folder of its own, where libraries may put temporary files too.
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}{PART}") / path.name for path in files}
    try:
        for path, fill in files.items():
            temporary[path].parent.mkdir()
            fill(temporary[path])
            temporary[path].chmod(0o666 & ~umask())  # some writers leave files that only their owner may read
            flush(temporary[path])
        for path, part in temporary.items():
            part.replace(path)
            flush(path.parent)
    finally:
        for part in temporary.values():
            shutil.rmtree(part.parent, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what a process that was killed has left half-written; nobody else may be writing there."""
    for part in folder.glob(f".*.[0-9]*{PART}"):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part, ignore_errors=True)


def make(folder: Path) -> None:
    """Make a folder, with those above it, where it is missing. Raises ResourceLimit where the disk refuses."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise resource_limit(folder, error.errno or errno.EIO, 0) from error


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


def read_regular(path: str | Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes.

    A pipe, a socket or a device is not even opened, since reading it could last for ever; and no more is read than the
    file says that it has.

    Raises:
        OSError: it is not there, may not be read, is no regular file, or is longer.
    """
    try:
        found = os.stat(path)
    except ValueError as error:  # a zero byte, or a sign that no name can have
        raise OSError(errno.EINVAL, "no file can have this name") from error
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    if found.st_size > most:
        raise OSError(errno.EFBIG, f"it has {found.st_size:,} bytes, and at most {most:,} are read")
    with open(path, "rb", buffering=0) as file:
        return file.read(found.st_size)


def read_beginning(path: str | Path, most: int) -> bytes:
    """The first bytes of a regular file, `most` at most; none where there is no such file or it cannot be read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return b""
        with open(path, "rb", buffering=0) as file:
            return file.read(most)
    except (OSError, ValueError):
        return b""


def read_json(path: Path) -> Any:
    """A JSON file. Raises OSError as `read_regular` does, and ValueError for what is no JSON."""
    return parse_json(read_regular(path, MAX_JSON_BYTES))


def parse_json(content: bytes) -> Any:
    """Raises ValueError for everything that is no JSON, is too much of it, or is nested too deeply to be followed."""
    if len(content) > MAX_JSON_BYTES:
        raise ValueError(f"it has {len(content):,} bytes, and at most {MAX_JSON_BYTES:,} are read")
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
