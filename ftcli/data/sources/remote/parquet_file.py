"""One parquet file behind a URL: its footer, and columns of one row group at a time, in as few ranges as it takes."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ftcli.data.storage.storage import storage_of
from ftcli.limits import MAX_ROW_GROUP_BYTES

PART_BYTES = 2**27  # of what a dictionary may turn into before it is counted
HEAD = 32  # bytes of a value by which it is looked for
GAP = 2**16  # bytes between two columns that are fetched with them rather than asked for apart


class Places(NamedTuple):
    """Where the values of a row group stand in their file."""

    starts: np.ndarray  # int64 [N], bytes
    sizes: np.ndarray  # int64 [N], bytes; -1 where there is no value


class RemoteParquet:
    """A parquet file behind a URL, of which the footer has been read."""

    def __init__(self, url: str) -> None:
        self.url, self.size = url, storage_of(url).size(url)
        with storage_of(url).open(url) as raw, pq.ParquetFile(raw) as opened:
            self.metadata, self.schema = opened.metadata, opened.schema_arrow
        self.places: dict[tuple[int, str], Places] = {}  # of the values of row groups that were read, by column

    def read(self, group: int, columns: Sequence[str], fetched: "Fetched | None" = None) -> pa.Table:
        """Columns of one row group, whose bytes may be `fetched` already.

        Raises:
            OSError, pa.ArrowException: they cannot be read. ValueError: they unpack to more than `MAX_ROW_GROUP_BYTES`.
        """
        columns = [name for name in self.schema.names if name in columns]
        largest = max(1, self.group_bytes(group, columns))
        rows = max(1, min(2**16, PART_BYTES // largest))  # each of which may be all of a dictionary
        batches, size = [], 0
        opened = pq.ParquetFile(fetched or self.fetch(group, columns), metadata=self.metadata)
        for batch in opened.iter_batches(batch_size=rows, row_groups=[group], columns=columns, use_threads=False):
            batches.append(batch)
            size += batch.nbytes
            if size > MAX_ROW_GROUP_BYTES:
                raise ValueError(f"a row group unpacks to more than {MAX_ROW_GROUP_BYTES:,} bytes")
        schema = pa.schema([self.schema.field(name) for name in columns])
        return pa.Table.from_batches(batches, schema=schema)

    def group_bytes(self, group: int, columns: Sequence[str]) -> int:
        """Bytes, unpacked, of columns in a row group, as the footer says."""
        return sum(chunk.total_uncompressed_size for chunk in self._chunks(group, columns))

    def _chunks(self, group: int, columns: Sequence[str]) -> list[pq.ColumnChunkMetaData]:
        """What a row group has of the columns, one chunk for each of their fields."""
        found = self.metadata.row_group(group)
        chunks = [found.column(i) for i in range(found.num_columns)]
        return [chunk for chunk in chunks if self._column_of(chunk.path_in_schema) in columns]

    def _column_of(self, field: str) -> str:
        """The column of a field; names may hold dots."""
        return max((name for name in self.schema.names if f"{field}.".startswith(f"{name}.")), key=len, default=field)

    def is_compressed(self, group: int, column: str) -> bool:
        return any(chunk.compression != "UNCOMPRESSED" for chunk in self._chunks(group, [column]))

    def fetch(self, group: int, columns: Sequence[str]) -> "Fetched":
        """The bytes of columns of a row group."""
        ranges: list[tuple[int, int]] = []
        for chunk in self._chunks(group, columns):
            start = min(offset for offset in (chunk.dictionary_page_offset, chunk.data_page_offset) if offset)
            stop = start + chunk.total_compressed_size
            if not 0 < start <= stop <= self.size:
                raise ValueError("a column lies outside of the file")
            if ranges and 0 <= start - ranges[-1][1] <= GAP:
                start = ranges.pop()[0]
            ranges.append((start, stop))
        return Fetched(self.url, self.size, ranges)


class Fetched(io.RawIOBase):
    """Ranges of a file in memory, at their positions in it; nothing else of it can be read."""

    def __init__(self, url: str, size: int, ranges: Sequence[tuple[int, int]]) -> None:
        self._parts = [(start, storage_of(url).read(url, start, stop)) for start, stop in ranges]
        self._size, self._position = size, 0

    def places(self, values: pa.ChunkedArray) -> "Places | None":
        """Where in the file these values of a column stand, one after the other; None where one is not found as it is,
        as in a column that is compressed or has a dictionary.
        """
        starts, sizes, part, position = [], [], 0, 0
        for value in values:
            content = memoryview(value.as_buffer()).cast("B") if value.is_valid else memoryview(b"")
            beginning = len(content).to_bytes(4, "little") + bytes(content[:HEAD])
            found = self._parts[part][1].find(beginning, position) if value.is_valid else 0
            while found < 0 and part + 1 < len(self._parts):
                part, position = part + 1, 0
                found = self._parts[part][1].find(beginning)
            first, whole = self._parts[part]
            if value.is_valid and (found < 0 or memoryview(whole)[found + 4 : found + 4 + len(content)] != content):
                return None
            starts.append(first + found + 4)
            sizes.append(len(content) if value.is_valid else -1)
            position = found + 4 + len(content) if value.is_valid else position
        return Places(np.array(starts, np.int64), np.array(sizes, np.int64))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def read(self, size: int = -1) -> bytes:
        for start, content in self._parts:
            if start <= self._position < start + len(content):
                found = content[self._position - start :][: None if size < 0 else size]
                self._position += len(found)
                return found
        return b""
