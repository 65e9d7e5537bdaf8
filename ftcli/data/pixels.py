"""One picture: from an encoded file or an array, in any mode, to 8-bit RGB, and its digest."""

import hashlib
import io
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image, UnidentifiedImageError

Content: TypeAlias = pa.Buffer | bytes | np.ndarray  # an encoded file, or pixels [H, W], [H, W, C] or [C, H, W]


class DamagedPicture(Exception):
    """A picture that cannot be read or decoded; the text says why."""


class Pictures:
    """The image column of a table, read one row at a time.

    Args:
        column: struct of bytes and path, binary, or (nested lists of) pixels.
        base: where relative paths start.
    """

    def __init__(self, column: pa.ChunkedArray, base: Path | None) -> None:
        self.base = base
        self.pixels = self.encoded = self.paths = None
        if pa.types.is_struct(column.type):
            names = [column.type.field(i).name for i in range(column.type.num_fields)]
            self.encoded = pc.struct_field(column, "bytes") if "bytes" in names else None
            self.paths = pc.struct_field(column, "path") if "path" in names else None
        elif is_binary(column.type):
            self.encoded = column
        else:
            self.pixels = _storage(column)

    def content(self, row: int) -> Content:
        """The picture of one row as stored.

        Raises:
            DamagedPicture: there is none, or its file cannot be read.
        """
        if self.pixels is not None:
            return _array(self.pixels[row])
        if self.encoded is not None and (cell := self.encoded[row]).is_valid:
            return cell.as_buffer()
        if self.paths is not None and (path := self.paths[row].as_py()):
            try:
                return ((self.base or Path()) / path).read_bytes()
            except OSError as error:
                raise DamagedPicture(f"its file cannot be read: {error.strerror}") from error
        raise DamagedPicture("there is no picture")


def is_binary(type: pa.DataType) -> bool:
    return pa.types.is_binary(type) or pa.types.is_large_binary(type) or pa.types.is_fixed_size_binary(type)


def is_list(type: pa.DataType) -> bool:
    return pa.types.is_list(type) or pa.types.is_large_list(type) or pa.types.is_fixed_size_list(type)


def holds_pictures(type: pa.DataType) -> bool:
    """Whether a column of this type can be read as pictures."""
    if isinstance(type, pa.BaseExtensionType):
        type = type.storage_type
    if pa.types.is_struct(type):
        return any(type.field(i).name in ("bytes", "path") for i in range(type.num_fields))
    return is_binary(type) or (is_list(type) and is_list(type.value_type))


def digest(content: Content) -> bytes:
    """sha256 of the encoded bytes (of shape, type and pixels for an array): same picture, same digest."""
    if isinstance(content, np.ndarray):
        header = f"{content.dtype} {content.shape} ".encode()
        return hashlib.sha256(header + np.ascontiguousarray(content).tobytes()).digest()
    return hashlib.sha256(content).digest()


def decode(content: Content) -> Image.Image:
    """The picture in 8-bit RGB; an EXIF orientation is left as it is.

    Raises:
        DamagedPicture: it is no picture, is cut short, or is too large to be one.
    """
    try:
        if isinstance(content, np.ndarray):
            return to_rgb(_from_array(content))
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            return to_rgb(image)
    except UnidentifiedImageError as error:
        raise DamagedPicture("it is not an image of a known format") from error
    except Exception as error:  # decoders meet damaged bytes with OSError, SyntaxError, struct.error, EOFError, ...
        raise DamagedPicture(f"it cannot be decoded: {error}") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB.

    16 bits are scaled by the range of the type (65535 becomes 255): a range of its own for every picture would make
    equal values unequal. Transparency is laid on white: dropping it would show the colours, mostly black, that are
    stored where nothing should be seen, and cut-outs and line drawings are made for white paper.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        values = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        return _from_floats(np.asarray(image)).convert("RGB")
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        paper.alpha_composite(image.convert("RGBA"))
        return paper.convert("RGB")
    return image.convert("RGB")


def _from_floats(values: np.ndarray) -> Image.Image:
    """Floats up to 1 are taken as fractions of white, larger ones as 0 … 255."""
    values = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    scale = 255.0 if values.size == 0 or values.max() <= 1.0 else 1.0
    return Image.fromarray(np.clip(np.rint(values * scale), 0, 255).astype(np.uint8))


def _from_array(pixels: np.ndarray) -> Image.Image:
    """Integer pixels [H, W], [H, W, C] or [C, H, W] with C in 1, 3, 4."""
    if pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4) and pixels.shape[0] in (1, 3, 4):
        pixels = np.moveaxis(pixels, 0, 2)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.dtype == np.uint16:
        pixels = (pixels.astype(np.uint32) + 128) // 257
    elif pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    if not np.issubdtype(pixels.dtype, np.integer) or pixels.size == 0 or pixels.min() < 0 or pixels.max() > 255:
        raise ValueError(f"an array {pixels.dtype} {pixels.shape} does not hold whole numbers from 0 to 255")
    return Image.fromarray(np.ascontiguousarray(pixels, dtype=np.uint8))


def _storage(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The lists under an extension type such as Array3D."""
    if not isinstance(column.type, pa.BaseExtensionType):
        return column
    return pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)


def _array(cell: pa.Scalar) -> np.ndarray:
    """Nested lists of one row as an array."""
    if not cell.is_valid:
        raise DamagedPicture("there is no picture")
    values, shape = cell.values, [len(cell.values)]
    while is_list(values.type):
        lengths = pc.unique(pc.list_value_length(values)).to_pylist()
        if len(lengths) != 1 or not lengths[0]:
            raise DamagedPicture("the rows of its pixels are empty or of different lengths")
        shape.append(lengths[0])
        values = values.flatten()
    return values.to_numpy(zero_copy_only=False).reshape(shape)
