"""Atomic writing, and reading of regular files of a limited size only."""

import errno
import json
import os
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ftcli.errors import RequestError, ResourceLimit
from ftcli.limits import MAX_JSON_BYTES

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MB = 1e6  # bytes
PART = ".part"  # end of the names of temporary folders
OWN = "preset:"  # begins the name of a file of a preset, which comes with the package


def write_atomically(path: Path, write: Callable[[Path], Any], size: int = 0) -> None:
    """Let `write` fill a temporary file, flush that to the disk and rename it: a reader never sees half a file.

    size: bytes that it will take, about, for the message. Raises ResourceLimit where the disk refuses.
    """
    write_all_atomically({path: write}, size)


def write_all_atomically(files: dict[Path, Callable[[Path], Any]], size: int = 0) -> None:
    """Write files that belong together as `write_atomically` does: none is renamed before all are written."""
    # Each in a folder of its own, where libraries may put temporary files too.
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}{PART}") / path.name for path in files}
    try:
        try:
            for path, write in files.items():
                temporary[path].parent.mkdir()
                write(temporary[path])
                temporary[path].chmod(0o666 & ~umask())  # some writers leave files that only their owner may read
                flush(temporary[path])
            for path, written in temporary.items():
                written.replace(path)
                flush(path.parent)
        finally:  # before the free space is measured for a message
            for written in temporary.values():
                shutil.rmtree(written.parent, ignore_errors=True)
    except Exception as error:  # of the libraries that write, each has a type of its own for an error of the system
        if (number := system_error(error)) is None:
            raise
        raise resource_limit(next(iter(files)), number, size) from error


def system_error(error: Exception) -> int | None:
    """The errno behind an exception; None where there is none."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    match = re.search(r"\(os error (\d+)\)", str(error))  # of libraries written in Rust
    return int(match[1]) if match else None


def resource_limit(path: Path, number: int, size: int) -> ResourceLimit:
    """The error of a command that cannot write `path`. number: the errno; size: bytes needed, 0 where unknown."""
    needed = f"; {size / MB:,.1f} MB are needed, {shutil.disk_usage(nearest_existing(path)).free / MB:,.1f} MB are free"
    problem = f"{str(path)!r} cannot be written: {os.strerror(number)}{needed * (size > 0)}."
    return ResourceLimit(
        problem, "make room" if number in NO_ROOM else "give --out a folder of yours, on a disk that works"
    )


def remove_partial_files(folder: Path) -> None:
    """Remove the temporary files of a killed process from a folder. No other process may be writing there."""
    for part in folder.glob(f".*.[0-9]*{PART}"):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part, ignore_errors=True)


def make_folder(folder: Path) -> None:
    """Make a folder, with those above it, where it is missing. Raises ResourceLimit where the disk refuses."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise resource_limit(folder, error.errno or errno.EIO, 0) from error


def nearest_existing(path: Path) -> Path:
    """The path where it exists, else the nearest folder above it that does."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())


def flush(path: Path) -> None:
    """Force a file's bytes, or a folder's entries, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def umask() -> int:
    """The process's umask, which the system tells only when it is set."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read_regular(path: str | Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes.

    A pipe, a socket or a device is not opened, since reading it could last for ever. Raises OSError for a file that is
    not there, may not be read, is not regular, or is longer.
    """
    try:
        status = os.stat(path)
    except ValueError as error:  # a zero byte, or a character that no name can have
        raise OSError(errno.EINVAL, "no file can have this name") from error
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    if status.st_size > most:
        raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes, and at most {most:,} are read")
    with open(path, "rb", buffering=0) as file:
        return file.read(status.st_size)


def read_beginning(path: str | Path, most: int) -> bytes:
    """The first bytes of a regular file, `most` at most; none where there is no such file or it cannot be read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return b""
        with open(path, "rb", buffering=0) as file:
            return file.read(most)
    except (OSError, ValueError):
        return b""


def read_json(path: Path, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """A JSON file. pairs: as `parse_json`.

    Raises OSError as `read_regular` does, and ValueError for what is no JSON.
    """
    return parse_json(read_regular(path, MAX_JSON_BYTES), pairs)


def parse_json(content: bytes, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Parsed JSON. pairs: makes an object from its keys and values; None: a dict, where the last of equal keys counts.

    Raises ValueError for what is no JSON, has more than MAX_JSON_BYTES, or is nested too deeply.
    """
    if len(content) > MAX_JSON_BYTES:
        raise ValueError(f"it has {len(content):,} bytes, and at most {MAX_JSON_BYTES:,} are read")
    try:
        return json.loads(content, object_pairs_hook=pairs)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def own_file(name: str, what: str) -> Path:
    """The file or folder `PATH` of "preset:PATH", which comes with a preset; another name is a path as it is.

    what: what a message calls it. Raises RequestError for one that does not come with any.
    """
    if not name.startswith(OWN):
        return Path(name)
    root = Path(__file__).parent.resolve() / "presets"
    path = (root / name.removeprefix(OWN)).resolve()
    if not path.is_relative_to(root) or not path.exists():
        raise RequestError(f"no {what} {name} comes with ftcli", "see: ftcli presets")
    return path
