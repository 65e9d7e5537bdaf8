"""Files on this machine."""

import glob
import os
import stat
from typing import BinaryIO, cast

from ftcli.data.storage.storage import Storage


class LocalStorage:
    """Regular files; a link is followed. What is no regular file, such as a pipe, is refused, not waited for."""

    def is_file(self, path: str) -> bool:
        return os.path.isfile(path)

    def size(self, path: str) -> int:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "it is no regular file", path)
        return status.st_size

    def version(self, path: str) -> str | None:
        status = os.stat(path)  # the system sets the time of the last change of its state, and no program can
        return f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"

    def read(self, path: str, start: int = 0, stop: int | None = None) -> bytes:
        end = self.size(path) if stop is None else stop
        with self.open(path) as file:
            content = os.pread(file.fileno(), end - start, start) if end - start < 2**30 else _long(file, start, end)
        if len(content) < end - start:
            raise OSError(0, f"it ends before byte {end:,}", path)
        return content

    def open(self, path: str) -> BinaryIO:
        self.size(path)
        return cast(BinaryIO, open(path, "rb"))

    def glob(self, pattern: str) -> list[str]:
        return sorted(filter(os.path.isfile, glob.iglob(pattern, recursive=True)))


def _long(file: BinaryIO, start: int, end: int) -> bytes:
    """More bytes than the system reads at once."""
    file.seek(start)
    return file.read(end - start)


STORAGE: Storage = LocalStorage()
