"""One command to a folder: a lock that the system takes back when its process ends, however it ends."""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ftcli.errors import RequestError
from ftcli.files import resource_limit
from ftcli.log import Log

LOCK = ".lock"
LONGEST = 32  # bytes of a process's number
NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL)  # of file systems on which nothing can be locked
_held: set[int] = set()  # file descriptors of the locks that this process holds


def _let_go() -> None:
    """In a process that was forked: a lock lasts as long as one process has it open, and it is the parent's."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_let_go)


@contextmanager
def locked(folder: Path, log: Log) -> Iterator[None]:
    """Inside, nobody else can lock the folder; a file system without locks is said in a warning.

    Raises RequestError where somebody has locked it.
    """
    lock = open_lock(folder, os.O_CREAT)
    _held.add(lock)
    try:
        if not lock_now(lock):
            log.warn(
                "no-lock",
                f"the file system of {str(folder)!r} cannot lock a file: start no second command with this --out while "
                "this one runs",
            )
        # Its last holder may have removed it just now, and the next have made a new one.
        if not os.path.samestat(os.fstat(lock), (folder / LOCK).stat()):
            raise FileNotFoundError
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
    except (BlockingIOError, FileNotFoundError):
        raise in_use(folder, lock) from None
    else:
        yield
    finally:
        _held.discard(lock)
        os.close(lock)


def lock_now(lock: int) -> bool:
    """Lock the open file; False where its file system has no locks. Raises BlockingIOError where somebody holds it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return False
    return True


def check_unlocked(folder: Path) -> None:
    """Raises RequestError where somebody holds the folder."""
    if not os.path.lexists(folder / LOCK):
        return
    lock = open_lock(folder)
    try:
        lock_now(lock)
    except BlockingIOError:
        raise in_use(folder, lock) from None
    finally:
        os.close(lock)


def open_lock(folder: Path, flags: int = 0) -> int:
    """The lock's file, a regular one: through a link somebody else's would be written."""
    path = folder / LOCK
    try:
        lock = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | flags, 0o666)
    except OSError as error:
        if os.path.lexists(path) and not (path.is_file() and not path.is_symlink()):
            raise no_lock(path) from error
        raise resource_limit(path, error.errno or 0, 0) from error
    if not stat.S_ISREG(os.fstat(lock).st_mode):
        os.close(lock)
        raise no_lock(path)
    return lock


def no_lock(path: Path) -> RequestError:
    return RequestError(f"{str(path)!r} is no lock of ftcli: no regular file.", "remove it, or name another folder")


def in_use(folder: Path, lock: int) -> RequestError:
    holder = os.pread(lock, LONGEST, 0).decode("ascii", "replace").strip() or "another one"
    return RequestError(f"--out {str(folder)!r} is in use by process {holder}.", "wait for it, or name another folder")
