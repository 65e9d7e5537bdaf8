"""The header of a .npy file: what array the file holds and where it begins. No pickle is ever read."""

import io
import math
from typing import NamedTuple

import numpy as np

from ftcli.data.storage.storage import storage_of, unreadable
from ftcli.errors import RequestError
from ftcli.limits import MAX_NPY_HEADER_BYTES
from ftcli.safe_text import counted, quoted, reason, shortened

MAGIC = b"\x93NUMPY"
READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class Header(NamedTuple):
    """An array in a file, its last index varying fastest."""

    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int  # bytes before the first number


def read_header(path: str) -> Header:
    """The header of a .npy file at a path or URL, if the file has just the bytes that it says.

    Raises:
        RequestError: it cannot be read, is no .npy file, holds objects, columns before rows (Fortran order), or more
            or fewer bytes than its shape and type take.
    """
    try:
        storage = storage_of(path)
        size = storage.size(path)
        beginning = storage.read(path, 0, min(size, MAX_NPY_HEADER_BYTES))
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    stream = io.BytesIO(beginning)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in READERS:
            raise ValueError(f"it has version {version[0]}.{version[1]} of the format, and 1.0 and 2.0 are read")
        shape, fortran, dtype = READERS[version](stream, max_header_size=MAX_NPY_HEADER_BYTES)
    except Exception as error:  # damaged headers end in errors of several types, some of Python's own parser
        raise RequestError(f"{quoted(path)} is no .npy file: {reason(error)}", "write it by numpy.save") from error
    if dtype.hasobject:
        raise RequestError(
            f"{quoted(path)} holds Python objects as a pickle, which can run code and is not read",
            "write it as numbers, by numpy.save(FILE, array.astype('uint8'), allow_pickle=False)",
        )
    if any(isinstance(side, bool) or side < 0 for side in shape):
        raise RequestError(f"{quoted(path)} says that its shape is {_text(shape)}", "write it by numpy.save")
    if fortran and len(shape) > 1:
        raise RequestError(
            f"{quoted(path)} is in Fortran order, with the bytes of one image far apart",
            "write it by numpy.save(FILE, numpy.ascontiguousarray(array))",
        )
    header = Header(dtype, tuple(shape), stream.tell())
    needed = header.offset + math.prod(shape) * dtype.itemsize
    if size != needed:
        what = "is cut short" if size < needed else "goes on behind its array"
        raise RequestError(
            f"{quoted(path)} {what}: it has {counted(size, 'byte', 'bytes')}, and an array of {_text(shape)} "
            f"{shortened(str(dtype), 40)} makes {needed:,}",
            "get it anew" if size < needed else "write each array into a file of its own, by numpy.save",
        )
    return header


def _text(shape: tuple[int, ...]) -> str:
    return shortened(f"[{', '.join(f'{side:,}' for side in shape)}]", 100)
