"""Files appear whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_whole(path: Path, fill: Callable[[Path], Any]) -> None:
    """Let `fill` write under a temporary name, flush that to the disk, rename: a reader never sees half a file."""
    write_together({path: fill})


def write_together(files: dict[Path, Callable[[Path], Any]]) -> None:
    """The same for files that belong together: none gets its name before all are written."""
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.part") for path in files}
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
