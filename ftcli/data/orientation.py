"""EXIF orientation: what a camera wrote beside a picture on how to hold it. It is not applied, and so it is counted."""

import io

import numpy as np
import pyarrow as pa
from PIL import ExifTags, Image

from ftcli.data.pixels import FORMATS, Content

# One of these stands in every file that says so: EXIF of JPEG, PNG and WebP, as text in PNG, or in XMP.
MARKS = (b"Exif\0", b"eXIf", b"EXIF", b"Raw profile type exif", b"Orientation")
TURNED = range(2, 9)
READ = tuple(format for format in FORMATS if format != "TIFF")  # Pillow turns TIFF upright itself


def is_turned(content: Content) -> bool:
    """Whether an encoded picture has an EXIF orientation other than upright. Nothing is decoded."""
    if isinstance(content, np.ndarray):
        return False
    encoded = content.to_pybytes() if isinstance(content, pa.Buffer) else content
    if not any(mark in encoded for mark in MARKS):
        return False
    try:
        with Image.open(io.BytesIO(encoded), formats=READ) as image:
            # Not PNG's own method, which decodes the picture to look behind it.
            return Image.Image.getexif(image).get(ExifTags.Base.Orientation) in TURNED
    except Exception:  # the orientation of what cannot be read is nobody's concern; decoding says what is wrong
        return False
