"""The images that a table names by their paths, read from wherever the table's files are stored."""

import posixpath
from urllib.parse import quote

import pyarrow as pa

from ftcli.data.decoding.column import ImageColumn, Images
from ftcli.data.decoding.decode import DamagedImage
from ftcli.data.storage.storage import join, storage_of
from ftcli.limits import MAX_IMAGE_BYTES
from ftcli.safe_text import quoted


class StoredImages(ImageColumn):
    """An image column whose paths lead to files below the URL `root`, and nowhere else."""

    def __init__(self, column: pa.ChunkedArray, root: str) -> None:
        super().__init__(column, ())
        self.root, self._storage = root, storage_of(root)

    def same_as(self, other: Images) -> bool:
        return isinstance(other, StoredImages) and self.root == other.root and super().same_as(other)

    def leads_to_file(self, path: str) -> bool:
        try:
            return self._storage.is_file(self.file(path))
        except DamagedImage:
            return False

    def file(self, path: str) -> str:
        inside = posixpath.normpath(path)
        if path.startswith("/") or inside.split("/")[0] == ".." or "\0" in path:
            raise DamagedImage(f"its path {quoted(path)} leads out of the folder of the data")
        # A path is the name of a file: what has a meaning in a web address has none in it.
        return join(self.root, quote(inside) if self.root.startswith(("http:", "https:")) else inside)

    def read(self, file: str) -> bytes:
        if (size := self._storage.size(file)) > MAX_IMAGE_BYTES:
            raise OSError(0, f"it has {size:,} bytes, and at most {MAX_IMAGE_BYTES:,} are read")
        return self._storage.read(file)
