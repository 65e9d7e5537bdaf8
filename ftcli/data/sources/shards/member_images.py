"""The images of shards, each read from its place in an archive when it is needed."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from ftcli.arrow import as_numpy, number_array
from ftcli.cache.cache import key
from ftcli.data.decoding.column import Images, source_gone
from ftcli.data.decoding.decode import Content, DamagedImage
from ftcli.data.sources.shards.archive import BLOCK
from ftcli.data.storage.retries import SourceGone
from ftcli.data.storage.storage import is_url, storage_of, versions_of
from ftcli.data.storage.url import without_query
from ftcli.errors import RequestError
from ftcli.limits import MAX_IMAGE_BYTES
from ftcli.safe_text import reason

# What a column of such images holds: the number of the shard; the first byte of the image in it, and how many it has; a
# checksum of its header, which stands before it.
PLACE = pa.struct({"shard": pa.int32(), "start": pa.int64(), "size": pa.int64(), "header": pa.uint64()})


class MemberImages:
    """Members of shards at paths or URLs, which a column of `PLACE` finds."""

    def __init__(self, column: pa.ChunkedArray, shards: Sequence[str]) -> None:
        if column.type != PLACE:
            raise RequestError('shards have their images in the column "image" alone', "leave image= out")
        self._column, self._shards = column, list(shards)
        self.remote = any(map(is_url, self._shards))
        self._places = [as_numpy(pc.struct_field(column, field.name)) for field in PLACE]

    def content(self, row: int) -> Content:
        """The encoded image of one row.

        Raises:
            DamagedImage: it is too large, cannot be read, or another header stands before it than when the shard was
                indexed.
        """
        shard, start, size, header = (int(values[row]) for values in self._places)
        if size > MAX_IMAGE_BYTES:
            raise DamagedImage(f"it has {size:,} bytes, and at most {MAX_IMAGE_BYTES:,} are read")
        path = self._shards[shard]
        try:
            content = storage_of(path).read(path, start - BLOCK, start + size)
        except SourceGone as error:
            raise source_gone(error) from error
        except OSError as error:
            raise DamagedImage(f"its shard cannot be read: {error.strerror or reason(error)}") from error
        if header_checksum(content[:BLOCK]) != header:
            raise DamagedImage("its shard has changed")
        return content[BLOCK:]

    def version(self) -> str | None:
        """All shards, as their servers say that they are; None on this machine, and where one says nothing."""
        versions = versions_of(self._shards) if self.remote else None
        if versions is None:
            return None
        return key(*map(without_query, self._shards), *versions, *(values.tobytes() for values in self._places))

    def same_as(self, other: Images) -> bool:
        """Whether each row of the other is the same member of the same shard."""
        return isinstance(other, MemberImages) and self._shards == other._shards and self._column.equals(other._column)


def header_checksum(header: bytes) -> int:
    return xxhash.xxh3_64_intdigest(header)


def image_places(shard: np.ndarray, start: np.ndarray, size: np.ndarray, header: np.ndarray) -> pa.Array:
    """The column of images, from int32 [N], int64 [N], int64 [N] and uint64 [N]."""
    return pa.StructArray.from_arrays(list(map(number_array, (shard, start, size, header))), fields=list(PLACE))
