"""One command to a folder: a lock that the system takes back when its process ends, however it ends."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ftcli.errors import RequestError
from ftcli.files import read_beginning, resource_limit
from ftcli.log import Log
from ftcli.run_folder.names import STATE

LOCK = ".lock"
LOCK_TIMEOUT = 0.5  # seconds: `check_unlocked` of another command has the lock for a moment
LONGEST_PROCESS_ID = 32  # bytes
NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL)  # of file systems on which nothing can be locked


@contextmanager
def locked(folder: Path, log: Log) -> Iterator[None]:
    """Inside, no other process can lock the folder. Processes forked from this one do not inherit the lock. A file
    system without locks is a warning.

    Raises RequestError where another process has locked the folder, ResourceLimit where the lock cannot be written.
    """
    lock = acquired(folder)
    if not lock.is_locked:
        log.warn(
            "no-lock",
            f"the file system of {str(folder)!r} cannot lock a file: start no second command with this --out while "
            "this one runs",
        )
    try:
        yield
    finally:
        lock.release()


def check_unlocked(folder: Path) -> None:
    """Raises RequestError where another process has locked the folder. Where no run is unfinished the lock is removed:
    the other process may end, and remove it, while this one looks, which then makes it anew.
    """
    if os.path.lexists(folder / LOCK):
        lock = acquired(folder)
        if lock.is_locked and not (folder / STATE).exists():
            with suppress(OSError):
                (folder / LOCK).unlink(missing_ok=True)
        lock.release()


def acquired(folder: Path) -> FileLock:
    """The folder's lock with this process's id in it; not acquired where the file system has no locks."""
    path = folder / LOCK
    if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):  # through a link another file would be written
        raise RequestError(f"{str(path)!r} is no lock of ftcli: no regular file.", "remove it, or name another folder")
    lock = FileLock(path, fallback_to_soft=False, on_acquired=write_process_id)
    try:
        lock.acquire(timeout=LOCK_TIMEOUT)
    except Timeout:
        holder = read_beginning(path, LONGEST_PROCESS_ID).decode("ascii", "replace").strip() or "another one"
        raise RequestError(
            f"--out {str(folder)!r} is in use by process {holder}.", "wait for it, or name another folder"
        ) from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise resource_limit(path, error.errno or 0, 0) from error
    return lock


def write_process_id(file: int) -> None:
    os.ftruncate(file, 0)
    os.pwrite(file, str(os.getpid()).encode(), 0)
