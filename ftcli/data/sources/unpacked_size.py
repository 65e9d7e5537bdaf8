"""How much memory a table may take: what a small file unpacks to has a limit, looked up before it is read.

A compressed page or a dictionary turns some kilobytes into as many gigabytes as its author likes. Pictures do not
shrink so far once they are encoded, nor do the pixels of real ones.
"""

from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ftcli.errors import RequestError
from ftcli.limits import ROW_BYTES, UNPACKED_BYTES, UNPACKED_RATIO, VALUE_BYTES

BATCH = 2**27  # bytes of a table that is read in parts


def room_of(file: Path) -> int:
    """Bytes that a file may unpack to."""
    return UNPACKED_BYTES + UNPACKED_RATIO * file.stat().st_size


def check_rows(file: Path, rows: int, unpacked: int) -> None:
    """Raises RequestError where rows of so many bytes together are too much for their file."""
    size, room = unpacked + ROW_BYTES * rows, room_of(file)
    if min(rows, unpacked) < 0 or size > room:
        raise RequestError(
            f'"{file}" has {file.stat().st_size:,} bytes and says that it unpacks to {rows:,} rows of {unpacked:,} '
            f"bytes; at most {room:,} bytes are believed, {ROW_BYTES:,} of them for each row",
            "get it from somebody you trust; a table of pixels is written anew with encoded pictures (PNG, JPEG)",
        )


def read_bounded(file: Path) -> pa.Table:
    """A parquet file, read with pyarrow, if it fits into its room.

    Raises:
        RequestError: it unpacks to more than it may; and pyarrow's own errors for what is no parquet file.
    """
    with file.open("rb") as raw, pq.ParquetFile(raw) as opened:
        found = opened.metadata
        chunks = [found.row_group(i).column(j) for i in range(found.num_row_groups) for j in range(found.num_columns)]
        values = [chunk.num_values for chunk in chunks]
        sizes = [chunk.total_uncompressed_size for chunk in chunks]
        if min([0, *values, *sizes]) < 0:
            raise pa.ArrowInvalid("a column has a negative size")
        check_rows(file, found.num_rows, sum(sizes) + VALUE_BYTES * sum(values))
        # Repeated through a dictionary, a cell takes its bytes again in every row.
        words = [_dictionary(raw, chunk) for chunk in chunks]
        repeated = sum(count * size for count, size in zip(values, words, strict=True))
        if sum(sizes) + repeated <= room_of(file):
            return opened.read()
        return _read_in_parts(file, opened, max(1, BATCH // max(words)))


def _read_in_parts(file: Path, opened: pq.ParquetFile, rows: int) -> pa.Table:
    """The table by so many rows at a time, weighed as it grows."""
    parts, size = [], 0
    for part in opened.iter_batches(batch_size=rows):
        parts.append(part)
        size += part.nbytes
        check_rows(file, opened.metadata.num_rows, size)
    return pa.Table.from_batches(parts, schema=opened.schema_arrow)


def _dictionary(raw: BinaryIO, chunk: pq.ColumnChunkMetaData) -> int:
    """Bytes of a column chunk's dictionary page when it is unpacked; 0 where it has none, or its cells are numbers.

    The page's header says it: a Thrift structure (compact protocol) whose first fields are the kind of page and this.
    """
    if not chunk.has_dictionary_page or chunk.physical_type not in ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"):
        return 0
    raw.seek(chunk.dictionary_page_offset)
    header = raw.read(32)
    kind, after = _integer(header, 0)
    size, _ = _integer(header, after)
    if kind != 2 or size < 0:  # 2: DICTIONARY_PAGE
        raise pa.ArrowInvalid("there is no dictionary where one should be")
    return size


def _integer(header: bytes, start: int) -> tuple[int, int]:
    """An integer field that follows the one before it, and where the next begins: one byte of type, then a varint."""
    if header[start : start + 1] != b"\x15":  # the next field, a 32-bit integer
        raise pa.ArrowInvalid("the header of a page is damaged")
    number, shift = 0, 0
    for place in range(start + 1, min(start + 6, len(header))):
        number |= (header[place] & 0x7F) << shift
        shift += 7
        if header[place] < 0x80:
            return (number >> 1) ^ -(number & 1), place + 1
    raise pa.ArrowInvalid("the header of a page is damaged")
