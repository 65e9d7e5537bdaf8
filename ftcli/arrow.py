"""From NumPy and Python to Arrow and back, without pandas.

`pyarrow.array`, `pyarrow.scalar` and `to_numpy` import pandas wherever it is installed, which takes longer than pyarrow
itself. These give the same arrays from the same values.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

MAX_TEXT_BYTES = 2**31 - 1  # of all texts of one array: its offsets are int32


def number_array(values: np.ndarray) -> pa.Array:
    """Integers or floats [N] as an Arrow array of the same type; the memory is shared where it is contiguous."""
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def text_array(texts: Sequence[str]) -> pa.Array | pa.ChunkedArray:
    """Texts [N] as an Arrow array. Raises UnicodeEncodeError for what is no text, as the name of a file may be."""
    encoded = [text.encode() for text in texts]
    offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    if offsets[-1] > MAX_TEXT_BYTES:
        return pa.array(texts, pa.string())
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


def repeated(text: str, count: int) -> pa.Array | pa.ChunkedArray:
    """One text, `count` times."""
    return text_array([text] * count)


def as_numpy(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Integers, floats or truth values [N], none of them missing, as a NumPy array that is not to be written to.

    Raises ValueError where a value is missing, and for another type.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if column.null_count:
        raise ValueError(f"{column.null_count:,} values are missing")
    if pa.types.is_boolean(column.type):
        return as_numpy(column.cast(pa.uint8())).view(bool)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise ValueError(f"{column.type} is no number")
    return np.from_dlpack(column)
