"""The images of an array in a .npy file, each read when it is needed: the file is never in memory as a whole."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ftcli.arrow import as_numpy, number_array
from ftcli.cache.cache import key
from ftcli.data.decoding.column import Images, source_gone
from ftcli.data.decoding.decode import Content, DamagedImage
from ftcli.data.sources.npy.header import Header
from ftcli.data.storage.retries import SourceGone
from ftcli.data.storage.storage import is_url, storage_of, versions_of
from ftcli.data.storage.url import without_query
from ftcli.errors import RequestError
from ftcli.safe_text import reason

PLACE = pa.struct({"row of the array": pa.int64()})  # what a column of such images holds


class ArrayImages:
    """Images uint8 [N, H, W] or [N, H, W, C] of a file at a path or URL.

    Read by ranges of bytes, not mapped into memory: where a mapped file is cut short while a command runs, the system
    ends the command.
    """

    def __init__(self, column: pa.ChunkedArray, path: str, header: Header) -> None:
        if column.type != PLACE:
            raise RequestError(f'"{path}" has its images in the column "image" alone', "leave image= out")
        self.path, self.header, self.remote = path, header, is_url(path)
        self._rows = as_numpy(pc.struct_field(column, PLACE.field(0).name))
        self._nbytes = int(np.prod(header.shape[1:], dtype=np.int64))

    def content(self, row: int) -> Content:
        """The image of one row: uint8 [H, W], [H, W, C] or [C, H, W]. Raises DamagedImage if it cannot be read."""
        start = self.header.offset + int(self._rows[row]) * self._nbytes
        try:
            pixels = storage_of(self.path).read(self.path, start, start + self._nbytes)
        except SourceGone as error:
            raise source_gone(error) from error
        except OSError as error:
            raise DamagedImage(f"its file cannot be read: {error.strerror or reason(error)}") from error
        return np.frombuffer(pixels, np.uint8).reshape(self.header.shape[1:])

    def version(self) -> str | None:
        versions = versions_of([self.path]) if self.remote else None
        return None if versions is None else key(without_query(self.path), *versions, self._rows.tobytes())

    def same_as(self, other: Images) -> bool:
        """Whether each row of the other is the same image in the same file."""
        return (
            isinstance(other, ArrayImages)
            and (self.path, self.header) == (other.path, other.header)
            and np.array_equal(self._rows, other._rows)
        )


def image_places(n: int) -> pa.Array:
    """The column of the images 0 … n - 1 of an array."""
    return pa.StructArray.from_arrays([number_array(np.arange(n, dtype=np.int64))], fields=list(PLACE))
