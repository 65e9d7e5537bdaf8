"""The image column of a table, read one row at a time: encoded bytes, paths of files, or pixels."""

import os
import posixpath
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ftcli.arrow import as_numpy
from ftcli.data.decoding.decode import Content, DamagedImage
from ftcli.data.storage.retries import SourceGone
from ftcli.data.storage.storage import is_url, join, storage_of
from ftcli.errors import SourceUnavailable
from ftcli.limits import MAX_IMAGE_BYTES
from ftcli.safe_text import quoted


class Images(Protocol):
    """Images that are read one row at a time, by threads and, where they lie on this machine, by forked processes."""

    remote: bool  # behind a URL, where each takes time to come, and may be away

    def content(self, row: int) -> Content:
        """The image of one row as stored. Raises DamagedImage where there is none or it cannot be read."""

    def version(self) -> str | None:
        """A text that is another one once an image has changed, by what servers say; None where nothing tells."""

    def same_as(self, other: "Images") -> bool:
        """Whether each row of the other is the same image in the same memory or file."""


class ImageColumn:
    """The image column of a table.

    Args:
        column: struct of bytes and path, binary, text (paths), or (nested lists of) pixels.
        folders: paths or URLs; relative paths start at the first, and a path that leads out of all of them is not
            followed; None where the paths are those of files in a folder, not of a table.
    """

    def __init__(self, column: pa.ChunkedArray, folders: Sequence[str | Path] | None) -> None:
        self.folders = None if folders is None else [_absolute(str(folder)) for folder in folders]
        self._memory = [buffer.address for chunk in column.chunks for buffer in chunk.buffers() if buffer is not None]
        self._slices = [(chunk.offset, len(chunk)) for chunk in column.chunks]
        self.pixels = self.encoded = self.paths = None
        if pa.types.is_struct(column.type):
            fields = image_fields(column.type)
            self.encoded = pc.struct_field(column, "bytes") if "bytes" in fields else None
            self.paths = pc.struct_field(column, "path") if "path" in fields else None
            if self.encoded is not None and self.encoded.null_count == len(column):
                self.encoded = None
        elif is_binary(column.type):
            self.encoded = column
        elif is_text(column.type):
            self.paths = column
        elif isinstance(column.type, pa.BaseExtensionType):  # such as Array3D
            self.pixels = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
        else:
            self.pixels = column
        self.remote = self.paths is not None and any(map(is_url, self._places()))

    def _places(self) -> list[str]:
        """Where its files lie."""
        if self.folders is not None or self.paths is None:
            return self.folders or []
        first = next((path for path in self.paths.slice(0, 1).to_pylist() if path), "")
        return [os.fsdecode(first)]

    def content(self, row: int) -> Content:
        """The image of one row as stored.

        Raises:
            DamagedImage: there is none, its file cannot be read, or it lies where a table has no say.
            SourceUnavailable: it lies behind a URL, and that source has gone away.
        """
        if self.pixels is not None:
            return _array(self.pixels[row])
        if self.encoded is not None and (cell := self.encoded[row]).is_valid:
            return cell.as_buffer()
        if self.paths is not None and (path := self.paths[row].as_py()):
            try:
                file = self.file(os.fsdecode(path))
                return storage_of(file).read_whole(file, MAX_IMAGE_BYTES)
            except SourceGone as error:
                raise source_gone(error) from error
            except OSError as error:
                raise DamagedImage(f"its file cannot be read: {error.strerror}") from error
        raise DamagedImage("there is no image")

    def version(self) -> str | None:
        return None  # to ask for it file by file would take as long as to read them

    def same_as(self, other: Images) -> bool:
        """Whether each row of the other column is the same image in the same memory or file."""
        if not isinstance(other, ImageColumn):
            return False
        return (self._memory, self._slices, self.folders) == (other._memory, other._slices, other.folders)

    def leads_to_file(self, path: str) -> bool:
        """Whether a path is one of a file that may be read."""
        try:
            file = self.file(path)
            return storage_of(file).is_file(file)
        except DamagedImage:
            return False

    def file(self, path: str) -> str:
        """The file of a path in the table. Raises DamagedImage where it lies outside the folders of the data."""
        if self.folders is None:
            return path
        for folder in self.folders:
            if is_url(folder):
                inside = posixpath.normpath(path)
                if not inside.startswith(("/", "../")) and inside not in ("..", "."):
                    return join(folder, inside)
                continue
            file = os.path.normpath(os.path.join(folder, path))
            if file == folder or file.startswith(os.path.join(folder, "")):
                return file
        raise DamagedImage(f"its path {quoted(path)} leads out of the folder of the data")


def source_gone(error: SourceGone) -> SourceUnavailable:
    """The end of a run whose images lie behind a URL that does not answer any more."""
    return SourceUnavailable(
        f'the source "{error.filename}" cannot be read: {error.strerror}', "the same command when it is there again"
    )


def _absolute(folder: str) -> str:
    return folder.rstrip("/") if is_url(folder) else os.path.abspath(folder)


def is_binary(type: pa.DataType) -> bool:
    return pa.types.is_binary(type) or pa.types.is_large_binary(type) or pa.types.is_fixed_size_binary(type)


def is_text(type: pa.DataType) -> bool:
    return pa.types.is_string(type) or pa.types.is_large_string(type)


def is_list(type: pa.DataType) -> bool:
    return pa.types.is_list(type) or pa.types.is_large_list(type) or pa.types.is_fixed_size_list(type)


def image_fields(type: pa.DataType) -> list[str]:
    """The fields of a struct that can give an image: "bytes" of binary, "path" of text (or of a name's own bytes)."""
    kinds = {type.field(i).name: type.field(i).type for i in range(type.num_fields)}
    if len(kinds) < type.num_fields:  # two fields of one name
        return []
    names = [name for name in kinds if name == "path" and (is_text(kinds[name]) or is_binary(kinds[name]))]
    return names + [name for name in kinds if name == "bytes" and is_binary(kinds[name])]


def can_hold_images(type: pa.DataType) -> bool:
    """Whether a column of this type can be read as images; text can, where it holds paths."""
    if isinstance(type, pa.BaseExtensionType):
        type = type.storage_type
    if pa.types.is_struct(type):
        return bool(image_fields(type))
    if is_binary(type) or is_text(type):
        return True
    depth = 0
    while is_list(type):
        type, depth = type.value_type, depth + 1
    return depth in (2, 3) and (
        pa.types.is_integer(type) or pa.types.is_floating(type) or pa.types.is_boolean(type) or pa.types.is_null(type)
    )


def _array(cell: pa.Scalar) -> np.ndarray:
    """Nested lists of one row as an array."""
    if not cell.is_valid:
        raise DamagedImage("there is no image")
    values, shape = cell.values, [len(cell.values)]
    while is_list(values.type):
        lengths = pc.unique(pc.list_value_length(values)).to_pylist()
        if len(lengths) != 1 or not lengths[0]:
            raise DamagedImage("the rows of its pixels are empty or of different lengths")
        shape.append(lengths[0])
        values = values.flatten()
    if values.null_count or pa.types.is_null(values.type):
        return values.to_numpy(zero_copy_only=False).reshape(shape)
    return as_numpy(values).reshape(shape)
