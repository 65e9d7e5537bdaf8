"""Files behind URLs, read by ranges, patiently."""

import io
from collections.abc import Callable
from functools import partial
from typing import BinaryIO, TypeVar, cast

from ftcli.data.storage.http import HttpFiles
from ftcli.data.storage.object_store import ObjectStore
from ftcli.data.storage.retries import patiently
from ftcli.data.storage.storage import Storage
from ftcli.data.storage.url import HTTP, PROTOCOLS, check_url, protocol_of
from ftcli.errors import RequestError
from ftcli.safe_text import redacted

BUFFER = 2**16  # bytes that a stream reads at once, at least: the readers of tables ask for much themselves

# What the versions begin with that are another one whenever the bytes are; times and weak ETags may stay the same.
STRONG = ('ETag "', "etag ", "generation ", "md5Hash ", "content_md5 ", "blob_id ")

T = TypeVar("T")


class RemoteStorage:
    """Files behind URLs. Nothing is kept of them but the size and version of those that are read by ranges.

    Every method raises `SourceGone` where a source does not answer for long, other errors of OSError at once, and
    RequestError for a URL that is not read (see `check_url`).
    """

    def __init__(self) -> None:
        self._http, self._stores = HttpFiles(), ObjectStore()
        self._known: dict[str, tuple[int, str]] = {}  # size and version by URL

    def is_file(self, path: str) -> bool:
        try:
            self._look(path)
        except (FileNotFoundError, IsADirectoryError):
            return False
        return True

    def size(self, path: str) -> int:
        return self._size_and_version(path)[0]

    def version(self, path: str) -> str | None:
        size, version = self._size_and_version(path)
        return f"{size} {version}" if version.startswith(STRONG) else None

    def read(self, path: str, start: int = 0, stop: int | None = None) -> bytes:
        size, version = self._size_and_version(path)
        end = size if stop is None else stop
        if end > size:
            raise OSError(0, f"it ends before byte {end:,}", redacted(path))
        if end <= start:
            return b""
        if protocol_of(path) not in HTTP:
            return self._try(path, self._stores.part, path, start, end)
        part = self._try(path, self._http.part, path, start, end)
        if (part.size, part.version) != (size, version):
            raise OSError(0, "it has changed since it was opened", redacted(path))
        return part.content

    def read_whole(self, path: str, most: int) -> bytes:
        check_url(path)
        if protocol_of(path) in HTTP:
            return self._try(path, self._http.whole, path, most)
        size = self._look(path)[0]
        if size > most:
            raise OSError(0, f"it has {size:,} bytes, and at most {most:,} are read", redacted(path))
        return self._try(path, self._stores.part, path, 0, size) if size else b""

    def open(self, path: str) -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(_File(self, path), BUFFER))

    def glob(self, pattern: str) -> list[str]:
        check_url(pattern)
        if not PROTOCOLS[protocol_of(pattern)].lists:
            raise RequestError(
                f'"{redacted(pattern)}" is to be searched, and a web server does not say which files it has',
                "name the files themselves, or a table with a column of their paths",
            )
        return self._try(pattern, self._stores.glob, pattern)

    def _size_and_version(self, path: str) -> tuple[int, str]:
        """As they were when the file was first looked at."""
        if path not in self._known:
            self._known[path] = self._look(path)
        return self._known[path]

    def _look(self, path: str) -> tuple[int, str]:
        """Size and version as they are now."""
        check_url(path)
        if protocol_of(path) not in HTTP:
            return self._try(path, self._stores.size, path)
        part = self._try(path, self._http.part, path, 0, 1)
        return part.size, part.version

    @staticmethod
    def _try(path: str, function: Callable[..., T], *words: object) -> T:
        return patiently(path, partial(function, *words))


class _File(io.RawIOBase):
    """A file behind a URL, from which ranges are read."""

    def __init__(self, storage: RemoteStorage, path: str) -> None:
        self._storage, self._path, self._size, self._position = storage, path, storage.size(path), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError(22, "a position before the beginning of a file", redacted(self._path))
        self._position = start + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        stop = min(self._position + len(buffer), self._size)
        content = self._storage.read(self._path, self._position, stop)
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)


STORAGE: Storage = RemoteStorage()
