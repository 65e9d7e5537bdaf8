"""The images of parquet files behind URLs: the first time one row group at a time, then, where the column is not
compressed, each from its place.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock

import numpy as np
import pyarrow as pa

from ftcli.arrow import as_numpy
from ftcli.cache.cache import key
from ftcli.data.decoding.column import ImageColumn, Images, source_gone
from ftcli.data.decoding.decode import Content, DamagedImage
from ftcli.data.sources.remote.parquet_file import RemoteParquet
from ftcli.data.storage.retries import SourceGone
from ftcli.data.storage.storage import parent, storage_of
from ftcli.safe_text import redacted

HELD_BYTES = 2**28  # of row groups that were read, in this process
AT_ONCE = 4  # row groups that are on their way at the same time

ADDRESS = pa.struct([(name, pa.int32()) for name in ("file", "group", "row", "column")])
Key = tuple[str, int, str]  # URL, row group, column


class RowGroupImages:
    """Images by their addresses in parquet files. Row groups that were used of late are held in memory.

    Args:
        addresses: as ADDRESS, numbers of the files and of the columns, rows within their row group.
        files, columns: by number.
    """

    remote = True

    def __init__(self, addresses: pa.ChunkedArray, files: Mapping[int, RemoteParquet], columns: Sequence[str]) -> None:
        joined = addresses.combine_chunks()
        parts = joined.flatten() if isinstance(joined, pa.StructArray) else joined.chunk(0).flatten()
        self._file, self._group, self._row, self._column = (as_numpy(part).tolist() for part in parts)
        self._files, self._columns = files, columns

    def content(self, row: int) -> Content:
        """The image of one row as stored.

        Raises:
            DamagedImage: there is none, or its row group cannot be read. SourceUnavailable: the source has gone away.
        """
        file, group = self._files[self._file[row]], self._group[row]
        name = self._columns[self._column[row]]
        key = (file.url, group, name)
        places = None if GROUPS.holds(key) else file.places.get((group, name))
        if places is not None and places.sizes[self._row[row]] >= 0:
            start, size = int(places.starts[self._row[row]]), int(places.sizes[self._row[row]])
            with _faults(f"bytes {start:,} to {start + size:,} of {redacted(file.url)}"):
                return storage_of(file.url).read(file.url, start, start + size)
        content = GROUPS.get(key, lambda: _read(file, group, name)).content(self._row[row])
        return bytes(content) if isinstance(content, pa.Buffer) else content  # a part keeps the whole in memory

    def version(self) -> str | None:
        """All files that are used, as their servers say that they are; None where one says nothing to rely on."""
        used = {number: self._files[number] for number in sorted(set(self._file))}
        versions = [storage_of(file.url).version(file.url) for file in used.values()]
        if None in versions:
            return None
        described = [f"{number} {redacted(file.url)} {file.size}" for number, file in used.items()]
        parts = (self._file, self._group, self._row, self._column)
        return key(*described, *map(str, versions), *self._columns, *(np.array(part).tobytes() for part in parts))

    def same_as(self, other: Images) -> bool:
        """Whether each row of the other is the same image of the same files."""
        return isinstance(other, RowGroupImages) and self._addresses == other._addresses

    @property
    def _addresses(self) -> tuple[object, ...]:
        urls = tuple((number, file.url) for number, file in self._files.items())
        return urls, tuple(self._columns), self._file, self._group, self._row, self._column


class RowGroups:
    """Row groups in memory, up to `most` bytes; the least recently used go first. Threads that want the same wait."""

    def __init__(self, most: int, at_once: int) -> None:
        self._most, self._lock, self._turns = most, Lock(), BoundedSemaphore(at_once)
        self._held: OrderedDict[Key, Future[tuple[ImageColumn, int]]] = OrderedDict()

    def holds(self, key: Key) -> bool:
        return key in self._held

    def get(self, key: Key, read: Callable[[], tuple[ImageColumn, int]]) -> ImageColumn:
        """The images of a row group and column, by `read` where they are not held. Raises what `read` raises."""
        with self._lock:
            future = self._held.get(key)
            if missing := future is None:
                future = self._held[key] = Future()
            self._held.move_to_end(key)
        if missing:
            try:
                with self._turns:
                    future.set_result(read())
            except BaseException as error:
                future.set_exception(error)
                with self._lock:
                    self._held.pop(key, None)
            self._evict(key)
        return future.result()[0]

    def _evict(self, newest: Key) -> None:
        with self._lock:
            sizes = {key: each.result()[1] for key, each in self._held.items() if each.done() and not each.exception()}
            total = sum(sizes.values())
            for key, size in sizes.items():
                if total <= self._most:
                    break
                if key != newest:
                    del self._held[key]
                    total -= size


GROUPS = RowGroups(HELD_BYTES, AT_ONCE)


def _read(file: RemoteParquet, group: int, name: str) -> tuple[ImageColumn, int]:
    """The images of a row group, and their bytes in memory."""
    with _faults(f"row group {group} of {redacted(file.url)}"):
        fetched = file.fetch(group, [name])
        table = file.read(group, [name], fetched)
        table.validate(full=True)
        images = ImageColumn(table.column(name), (parent(file.url),))
        if images.encoded is not None and not file.is_compressed(group, name):
            places = fetched.places(images.encoded)
            file.places |= {} if places is None else {(group, name): places}
        return images, table.nbytes


@contextmanager
def _faults(what: str) -> Iterator[None]:
    """Inside, a part of a file is read. Raises DamagedImage where it cannot be, or SourceUnavailable."""
    try:
        yield
    except SourceGone as error:
        raise source_gone(error) from error
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise DamagedImage(f"{what} cannot be read: {getattr(error, 'strerror', None) or error}") from error
