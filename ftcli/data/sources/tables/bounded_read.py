"""Reading parquet within a limit on memory: how much a small file unpacks to is checked before it is read.

A compressed page or a dictionary turns some kilobytes into as many gigabytes as its author likes. Images do not shrink
so far once they are encoded, nor do the pixels of real ones.
"""

import re
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ftcli.errors import RequestError
from ftcli.limits import ROW_BYTES, UNPACKED_BYTES, UNPACKED_RATIO, VALUE_BYTES

BATCH_BYTES = 2**27  # of a table that is read in batches
# The header of a page (Thrift, compact protocol) begins with its kind and its unpacked size, two 32-bit integers.
PAGE_HEADER = re.compile(rb"\x15([\x80-\xff]{0,4}[\0-\x7f])\x15([\x80-\xff]{0,4}[\0-\x7f])")
DICTIONARY_PAGE = 2


def max_unpacked(file: Path) -> int:
    """Bytes that a file may unpack to."""
    return UNPACKED_BYTES + UNPACKED_RATIO * file.stat().st_size


def check_rows(file: Path, rows: int, unpacked: int) -> None:
    """Raises RequestError where rows of so many bytes together are too much for their file."""
    limit = max_unpacked(file)
    if min(rows, unpacked) < 0 or unpacked + ROW_BYTES * rows > limit:
        raise RequestError(
            f'"{file}" has {file.stat().st_size:,} bytes and says that it unpacks to {rows:,} rows of {unpacked:,} '
            f"bytes; at most {limit:,} bytes are believed, {ROW_BYTES:,} of them for each row",
            "get it from somebody you trust; a table of pixels is written anew with encoded images (PNG, JPEG)",
        )


def read_bounded(file: Path) -> pa.Table:
    """A parquet file, if what it unpacks to is within the limit for a file of its size.

    Raises:
        RequestError: it unpacks to more than it may; and pyarrow's own errors for what is no parquet file.
    """
    with file.open("rb") as raw, pq.ParquetFile(raw) as opened:
        metadata = opened.metadata
        chunks = [
            metadata.row_group(i).column(j) for i in range(metadata.num_row_groups) for j in range(metadata.num_columns)
        ]
        values = [chunk.num_values for chunk in chunks]
        sizes = [chunk.total_uncompressed_size for chunk in chunks]
        if min([0, *values, *sizes]) < 0:
            raise pa.ArrowInvalid("a column has a negative size")
        check_rows(file, metadata.num_rows, sum(sizes) + VALUE_BYTES * sum(values))
        # In a dictionary a cell is stored once, and takes its bytes again in every row when it is read.
        dictionaries = [_dictionary_bytes(raw, chunk) for chunk in chunks]
        repeated = sum(count * size for count, size in zip(values, dictionaries, strict=True))
        if sum(sizes) + repeated <= max_unpacked(file):
            return opened.read()
        batches, size = [], 0
        for batch in opened.iter_batches(batch_size=max(1, BATCH_BYTES // max(dictionaries))):
            batches.append(batch)
            size += batch.nbytes
            check_rows(file, metadata.num_rows, size)
        return pa.Table.from_batches(batches, schema=opened.schema_arrow)


def _dictionary_bytes(raw: BinaryIO, chunk: pq.ColumnChunkMetaData) -> int:
    """Bytes of a column chunk's dictionary when it is unpacked; 0 where it has none, or its cells are numbers.

    pyarrow does not give this size. Reading dictionaries as such instead (`read_dictionary`) takes half as much
    memory again for every honest table.
    """
    if not chunk.has_dictionary_page or chunk.physical_type not in ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"):
        return 0
    raw.seek(chunk.dictionary_page_offset)
    header = PAGE_HEADER.match(raw.read(32))
    kind, size = map(_integer, header.groups()) if header else (-1, -1)
    if kind != DICTIONARY_PAGE or size < 0:
        raise pa.ArrowInvalid("there is no dictionary where one should be")
    return size


def _integer(encoded: bytes) -> int:
    """A zigzag varint: seven bits a byte, the lowest first, and the sign in the lowest of all."""
    number = sum((byte & 0x7F) << 7 * i for i, byte in enumerate(encoded))
    return (number >> 1) ^ -(number & 1)
