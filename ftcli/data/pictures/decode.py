"""One picture: from an encoded file or an array, in any mode, to 8-bit RGB, and its digest."""

import hashlib
import io
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from PIL import Image, UnidentifiedImageError

from ftcli.data.pictures.gate import Gate
from ftcli.files import read_regular
from ftcli.limits import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS, MAX_SIDE_RATIO, MAX_SLOW_PIXELS
from ftcli.text import quoted, reason

Content: TypeAlias = pa.Buffer | bytes | np.ndarray  # an encoded file, or pixels [H, W], [H, W, C] or [C, H, W]

# Pillow knows many more, and some of them run other programs (EPS: Ghostscript).
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP")
SMALL = 2**20  # pixels up to which a picture is turned to RGB as a whole
AT_ONCE = Gate(2**27)  # pixels of larger pictures that all threads together have in hand, at some 8 bytes each

# What Pillow has to say about a picture besides its errors is of no use to whoever trains on it.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())


class DamagedPicture(Exception):
    """A picture that cannot be read or decoded; the text says why."""


class Pictures:
    """The image column of a table, read one row at a time.

    Args:
        column: struct of bytes and path, binary, text (paths), or (nested lists of) pixels.
        folders: relative paths start at the first, and a path that leads out of all of them is not followed; None
            where the paths are not from a table, but of files that were found by looking.
    """

    def __init__(self, column: pa.ChunkedArray, folders: Sequence[Path] | None) -> None:
        self.folders = None if folders is None else [os.path.abspath(folder) for folder in folders]
        self.pixels = self.encoded = self.paths = None
        if pa.types.is_struct(column.type):
            fields = picture_fields(column.type)
            self.encoded = pc.struct_field(column, "bytes") if "bytes" in fields else None
            self.paths = pc.struct_field(column, "path") if "path" in fields else None
        elif is_binary(column.type):
            self.encoded = column
        elif is_text(column.type):
            self.paths = column
        else:
            self.pixels = _storage(column)

    def content(self, row: int) -> Content:
        """The picture of one row as stored.

        Raises:
            DamagedPicture: there is none, its file cannot be read, or it lies where a table has no say.
        """
        if self.pixels is not None:
            return _array(self.pixels[row])
        if self.encoded is not None and (cell := self.encoded[row]).is_valid:
            return cell.as_buffer()
        if self.paths is not None and (path := self.paths[row].as_py()):
            try:
                return read_regular(self._place(os.fsdecode(path)), MAX_IMAGE_BYTES)
            except OSError as error:
                raise DamagedPicture(f"its file cannot be read: {error.strerror}") from error
        raise DamagedPicture("there is no picture")

    def leads_to_file(self, path: str) -> bool:
        """Whether a path is one of a file that may be read."""
        try:
            return os.path.isfile(self._place(path))
        except DamagedPicture:
            return False

    def _place(self, path: str) -> str:
        """Where the file of a path is to be read."""
        if self.folders is None:
            return path
        for folder in self.folders:
            place = os.path.normpath(os.path.join(folder, path))
            if Path(place).is_relative_to(folder):
                return place
        raise DamagedPicture(f"its path {quoted(path)} leads out of the folder of the data")


def is_binary(type: pa.DataType) -> bool:
    return pa.types.is_binary(type) or pa.types.is_large_binary(type) or pa.types.is_fixed_size_binary(type)


def is_list(type: pa.DataType) -> bool:
    return pa.types.is_list(type) or pa.types.is_large_list(type) or pa.types.is_fixed_size_list(type)


def picture_fields(type: pa.DataType) -> list[str]:
    """The fields of a struct that can give a picture: "bytes" of binary, "path" of text (or of a name's own bytes)."""
    kinds = {type.field(i).name: type.field(i).type for i in range(type.num_fields)}
    if len(kinds) < type.num_fields:  # two fields of one name
        return []
    names = [name for name in kinds if name == "path" and (is_text(kinds[name]) or is_binary(kinds[name]))]
    return names + [name for name in kinds if name == "bytes" and is_binary(kinds[name])]


def is_text(type: pa.DataType) -> bool:
    return pa.types.is_string(type) or pa.types.is_large_string(type)


def holds_pictures(type: pa.DataType) -> bool:
    """Whether a column of this type can be read as pictures; text can, where it holds paths."""
    if isinstance(type, pa.BaseExtensionType):
        type = type.storage_type
    if pa.types.is_struct(type):
        return bool(picture_fields(type))
    if is_binary(type) or is_text(type):
        return True
    deep = 0
    while is_list(type):
        type, deep = type.value_type, deep + 1
    return deep in (2, 3) and (
        pa.types.is_integer(type) or pa.types.is_floating(type) or pa.types.is_boolean(type) or pa.types.is_null(type)
    )


def digest(content: Content) -> bytes:
    """sha256 of the encoded bytes (of shape, type and pixels for an array): same picture, same digest."""
    if isinstance(content, np.ndarray):
        header = f"{content.dtype} {content.shape} ".encode()
        return hashlib.sha256(header + np.ascontiguousarray(content).tobytes()).digest()
    return hashlib.sha256(content).digest()


def pixel_digest(image: Image.Image) -> bytes:
    """XXH3, 128 bits, of the size and the pixels of an 8-bit RGB picture: the same in every lossless format."""
    whole = xxhash.xxh3_128(f"{image.size} ".encode())
    for _, band in _bands(image):
        whole.update(band.tobytes())
    return whole.digest()


def decode(content: Content) -> Image.Image:
    """The picture in 8-bit RGB; an EXIF orientation is left as it is.

    Raises:
        DamagedPicture: it is no picture, is cut short, or is too large to be one.
    """
    with ExitStack() as held:
        return decode_within(content, held)


def decode_within(content: Content, held: ExitStack) -> Image.Image:
    """The same; a large picture takes its share of what is decoded at once until `held` is closed."""
    try:
        if isinstance(content, np.ndarray):
            picture = _from_array(content)
            _check_size(picture.size)
            return to_rgb(picture)
        if len(content) > MAX_IMAGE_BYTES:
            raise DamagedPicture(f"it has {len(content):,} bytes, and at most {MAX_IMAGE_BYTES:,} are read")
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_size(image.size)
            pixels = image.width * image.height
            if pixels > MAX_SLOW_PIXELS and (slow := {tile[0] for tile in image.tile} & Image.DECODERS.keys()):
                raise DamagedPicture(
                    f"it has {pixels:,} pixels coded as {min(slow)}, which takes long; "
                    f"at most {MAX_SLOW_PIXELS:,} are read"
                )
            if pixels > SMALL:
                held.enter_context(AT_ONCE.hold(pixels))
            image.load()
            return to_rgb(image)
    except DamagedPicture:
        raise
    except UnidentifiedImageError as error:
        raise DamagedPicture(f"it is not an image of a known format ({', '.join(FORMATS)})") from error
    except Image.DecompressionBombError as error:
        raise _too_large() from error
    except Exception as error:  # decoders meet damaged bytes with OSError, SyntaxError, struct.error, EOFError, ...
        raise DamagedPicture(f"it cannot be decoded: {reason(error)}") from error


def _check_size(sides: tuple[int, int]) -> None:
    """Raises DamagedPicture for more pixels, or a longer strip of them, than a picture has with good reason."""
    short, long = sorted(sides)
    if not short:
        raise DamagedPicture("it has no pixels")
    if short * long > MAX_IMAGE_PIXELS:
        raise _too_large()
    if long > MAX_SIDE_RATIO * short:
        raise DamagedPicture(
            f"it has one side {long / short:,.0f} times as long as the other; "
            f"at most {MAX_SIDE_RATIO} times are allowed"
        )


def _too_large() -> DamagedPicture:
    return DamagedPicture(f"it exceeds limits: more than {MAX_IMAGE_PIXELS:,} pixels are what decompression bombs have")


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB.

    16 bits are scaled by the range of the type (65535 becomes 255): a range of its own for every picture would make
    equal values unequal. Transparency is laid on white: dropping it would show the colours, mostly black, that are
    stored where nothing should be seen, and cut-outs and line drawings are made for white paper.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    white = _white(image) if image.mode == "F" else 1.0
    if image.width * image.height <= SMALL:
        return _band_to_rgb(image, white)
    whole = Image.new("RGB", image.size)
    for top, band in _bands(image):
        whole.paste(_band_to_rgb(band, white), (0, top))
    return whole


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Top and lines of a picture in bands of about SMALL pixels: what is done to one takes little memory."""
    high = max(1, SMALL // image.width)
    for top in range(0, image.height, high):
        yield top, image.crop((0, top, image.width, min(top + high, image.height)))


def _band_to_rgb(image: Image.Image, white: float) -> Image.Image:
    """white: the value of a float that becomes 255."""
    if image.mode.startswith("I"):
        values = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        levels = np.rint(_finite(image) * (255.0 / white))
        return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        paper.alpha_composite(image.convert("RGBA"))
        return paper.convert("RGB")
    return image.convert("RGB")


def _white(image: Image.Image) -> float:
    """Floats up to 1 are taken as fractions of white, larger ones as 0 … 255."""
    return 1.0 if max(_finite(band).max() for _, band in _bands(image)) <= 1.0 else 255.0


def _finite(image: Image.Image) -> np.ndarray:
    """Floats as float64 [H, W], with 0 in place of what is no number."""
    return np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0.0, neginf=0.0)


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
