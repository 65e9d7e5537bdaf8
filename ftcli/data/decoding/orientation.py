"""EXIF orientation: how a camera was held, as it wrote into the file; images that are not upright are counted."""

import io

import numpy as np
from PIL import ExifTags, Image

from ftcli.data.decoding.decode import FORMATS, TURNS, Content
from ftcli.limits import MAX_PNG_HEADER_BYTES

PNG_MARKS = (b"eXIf", b"Raw profile type exif", b"Orientation")  # EXIF, EXIF as text, XMP
APP1, SCAN, END = 0xE1, 0xDA, 0xD9  # segments of a JPEG: EXIF or XMP, pixels, its end
EXIF_OR_XMP = 0x0C  # flags of an extended WebP
READ = tuple(format for format in FORMATS if format != "TIFF")  # Pillow turns TIFF upright itself


def is_turned(content: Content) -> bool:
    """Whether an encoded image has an EXIF orientation other than upright. Nothing is decoded."""
    if isinstance(content, np.ndarray):
        return False
    view = memoryview(content).cast("B")
    if not _has_metadata(view):
        return False
    try:
        with Image.open(io.BytesIO(view), formats=READ) as image:
            # Not PNG's own method, which decodes the image to look behind it.
            return Image.Image.getexif(image).get(ExifTags.Base.Orientation) in TURNS
    except Exception:  # the orientation of what cannot be read is nobody's concern; decoding says what is wrong
        return False


def _has_metadata(view: memoryview) -> bool:
    """Whether there may be EXIF or XMP before the pixels of an encoded image: a check of microseconds."""
    if view[:4] == b"\x89PNG":
        header = bytes(view[:MAX_PNG_HEADER_BYTES]).partition(b"IDAT")[0]
        return any(mark in header for mark in PNG_MARKS)
    if view[:4] == b"RIFF":
        return len(view) > 20 and view[12:16] == b"VP8X" and bool(view[20] & EXIF_OR_XMP)
    position = 2 if view[:2] == b"\xff\xd8" else len(view)
    while position + 4 <= len(view) and view[position] == 0xFF and view[position + 1] not in (APP1, SCAN, END):
        filler = view[position + 1] == 0xFF
        position += 1 if filler else 2 + int.from_bytes(view[position + 2 : position + 4], "big")
    return position + 4 <= len(view) and view[position] == 0xFF and view[position + 1] == APP1
