"""One image: from an encoded file or an array, in any mode, to 8-bit RGB, and its digest."""

import hashlib
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import xxhash
from PIL import ExifTags, Image, UnidentifiedImageError

from ftcli.data.decoding.semaphore import WeightedSemaphore
from ftcli.limits import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS, MAX_SIDE_RATIO, MAX_SLOW_PIXELS
from ftcli.safe_text import reason

Content: TypeAlias = pa.Buffer | bytes | np.ndarray  # an encoded file, or pixels [H, W], [H, W, C] or [C, H, W]

# Pillow knows many more, and some of them run other programs (EPS: Ghostscript).
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP")
SMALL = 2**20  # pixels up to which an image is turned to RGB as a whole
IN_DECODING = WeightedSemaphore(2**27)  # pixels of larger images in all threads together, at some 8 bytes each

# How an image is turned upright, by its EXIF orientation; 1 is upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip

# Warnings of Pillow about an image are of no use to whoever trains on it.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())


class DamagedImage(Exception):
    """An image that cannot be read or decoded; the text says why."""


def digest(content: Content) -> bytes:
    """sha256 of the encoded bytes (of shape, type and pixels for an array): same image, same digest."""
    if isinstance(content, np.ndarray):
        header = f"{content.dtype} {content.shape} ".encode()
        return hashlib.sha256(header + np.ascontiguousarray(content).tobytes()).digest()
    return hashlib.sha256(content).digest()


def pixel_digest(image: Image.Image) -> bytes:
    """XXH3, 128 bits, of the size and the pixels of an 8-bit RGB image: the same in every lossless format."""
    whole = xxhash.xxh3_128(f"{image.size} ".encode())
    for _, band in _bands(image):
        whole.update(band.tobytes())
    return whole.digest()


def decode(content: Content, memory: ExitStack | None = None, *, upright: bool = False) -> Image.Image:
    """The image in 8-bit RGB.

    Args:
        upright: turn it as its EXIF orientation says; otherwise it stays as it is stored.
        memory: a large image keeps its share of `IN_DECODING` until this is closed; None gives it back at once.

    Raises:
        DamagedImage: it is no image, is cut short, or is too large to be one.
    """
    if memory is None:
        with ExitStack() as memory:
            return decode(content, memory, upright=upright)
    try:
        if isinstance(content, np.ndarray):
            pixels = _from_array(content)
            _check_size(pixels.size)
            return to_rgb(pixels)
        if len(content) > MAX_IMAGE_BYTES:
            raise DamagedImage(f"it has {len(content):,} bytes, and at most {MAX_IMAGE_BYTES:,} are read")
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_size(image.size)
            count = image.width * image.height
            if count > MAX_SLOW_PIXELS and (slow := {tile[0] for tile in image.tile} & Image.DECODERS.keys()):
                raise DamagedImage(
                    f"it has {count:,} pixels coded as {min(slow)}, which takes long; at most {MAX_SLOW_PIXELS:,} are "
                    "read"
                )
            if count > SMALL:
                memory.enter_context(IN_DECODING.acquired(count))
            image.load()
            return to_rgb(_turned_upright(image) if upright else image)
    except DamagedImage:
        raise
    except UnidentifiedImageError as error:
        raise DamagedImage(f"it is not an image of a known format ({', '.join(FORMATS)})") from error
    except Image.DecompressionBombError as error:
        raise _too_large() from error
    except Exception as error:  # decoders meet damaged bytes with OSError, SyntaxError, struct.error, EOFError, ...
        raise DamagedImage(f"it cannot be decoded: {reason(error)}") from error


def _check_size(sides: tuple[int, int]) -> None:
    """Raises DamagedImage for more pixels, or a longer strip of them, than an image has with good reason."""
    short, long = sorted(sides)
    if not short:
        raise DamagedImage("it has no pixels")
    if short * long > MAX_IMAGE_PIXELS:
        raise _too_large()
    if long > MAX_SIDE_RATIO * short:
        raise DamagedImage(
            f"it has one side {long / short:,.0f} times as long as the other; "
            f"at most {MAX_SIDE_RATIO} times are allowed"
        )


def _too_large() -> DamagedImage:
    return DamagedImage(f"it exceeds limits: more than {MAX_IMAGE_PIXELS:,} pixels are what decompression bombs have")


def _turned_upright(image: Image.Image) -> Image.Image:
    """A loaded image as its EXIF orientation means it to be seen; one whose EXIF cannot be read stays as it is."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # the EXIF is none of the image: its pixels are whole
        return image
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB.

    16 bits are scaled by the range of the type (65535 becomes 255): a range of its own for every image would make
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
    """Top and lines of an image in bands of about SMALL pixels: what is done to one takes little memory."""
    high = max(1, SMALL // image.width)
    if high >= image.height:
        yield 0, image
        return
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
