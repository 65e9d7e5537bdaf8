"""Files on this machine."""

import glob
import os
import stat
from typing import BinaryIO, cast

from ftcli.data.storage.storage import Storage
from ftcli.files import read_regular

MOST_AT_ONCE = 2**30  # bytes that every system reads in one call


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
        size = self.size(path)
        end = size if stop is None else stop
        handle = os.open(path, os.O_RDONLY)  # no file object, which takes longer than a small range
        try:
            content = os.pread(handle, min(end - start, MOST_AT_ONCE), start)
            while len(content) < end - start and (more := os.pread(handle, MOST_AT_ONCE, start + len(content))):
                content += more[: end - start - len(content)]
        finally:
            os.close(handle)
        if len(content) < end - start:
            raise OSError(0, f"it ends before byte {end:,}", path)
        return content

    def open(self, path: str) -> BinaryIO:
        self.size(path)
        return cast(BinaryIO, open(path, "rb"))

    def read_whole(self, path: str, most: int) -> bytes:
        return read_regular(path, most)

    def glob(self, pattern: str) -> list[str]:
        return sorted(filter(os.path.isfile, glob.iglob(pattern, recursive=True)))


STORAGE: Storage = LocalStorage()
