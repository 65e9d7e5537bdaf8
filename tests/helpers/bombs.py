"""Pictures made by hand that are not what a decoder hopes for: bombs, lies in headers, and things of other kinds."""

import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from tests.helpers.pictures import encoded, picture


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(w: int, h: int, *, depth: int = 8, colour: int = 0, more: bytes = b"", rows: int | None = None) -> bytes:
    """A PNG of zeros, of which so many rows are there (all where not said); colour as the format numbers it."""
    row = 1 + -(-w * depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour] // 8)
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(bytes(row)) for _ in range(h if rows is None else rows)) + packer.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + more + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def packed(size: int) -> bytes:
    """So many zeros, as a chunk of a PNG has them."""
    return zlib.compress(bytes(size), 1)


def gif(w: int, h: int, frames: int = 1) -> bytes:
    """A GIF of so many frames of one pixel each on a canvas."""
    frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", w, h, 0x80, 0, 0) + bytes(3) + b"\xff" * 3 + frame * frames + b";"


def tiff(w: int, h: int, *, strip: int = 8, compression: int = 1, rows: int | None = None) -> bytes:
    """A greyscale TIFF with one strip, which says that it has so many bytes."""
    tags = [
        (256, w),
        (257, h),
        (258, 8),
        (259, compression),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, rows or h),
        (279, strip),
    ]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<I", 16) + bytes(8) + struct.pack("<H", len(tags)) + entries + bytes(4)


def bmp(w: int, h: int, *, bits: int = 24, compression: int = 0, content: bytes = b"") -> bytes:
    """A BMP of which only `content` is there."""
    head = struct.pack("<IiiHHIIiiII", 40, w, h, 1, bits, compression, len(content), 0, 0, 256 if bits == 8 else 0, 0)
    colours = bytes(1024 if bits == 8 else 0)
    start = 14 + len(head) + len(colours)
    return b"BM" + struct.pack("<IHHI", start + len(content), 0, 0, start) + head + colours + content


def webp(w: int, h: int) -> bytes:
    """A WebP that says in its header alone to be of that size."""
    canvas = (w - 1).to_bytes(3, "little") + (h - 1).to_bytes(3, "little")
    extended = b"VP8X" + struct.pack("<I", 10) + bytes(4) + canvas
    body = b"WEBP" + extended + encoded(picture(0), "WEBP")[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def with_exif(exif: bytes) -> bytes:
    """A JPEG with a block of EXIF data."""
    plain = encoded(picture(0), "JPEG")
    content = b"Exif\0\0" + exif
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + plain[2:]


BOMBS: list[Callable[[], bytes]] = [
    lambda: png(50_000, 50_000, rows=3),
    lambda: png(12_000, 8_000),
    lambda: png(2**31 - 1, 1, rows=0),
    lambda: png(1, 60_000),
    lambda: png(4, 4, more=chunk(b"zTXt", b"k\0\0" + packed(10**8))),
    lambda: png(4, 4, more=chunk(b"iTXt", b"k\0\1\0\0\0" + packed(10**8))),
    lambda: png(4, 4, more=chunk(b"iCCP", b"k\0\0" + packed(10**8))),
    lambda: png(4, 4, more=chunk(b"tEXt", b"k\0" + b"x" * 900_000) * 80),
    lambda: gif(65_535, 65_535),
    lambda: gif(9000, 9000, frames=3),
    lambda: gif(8, 8, frames=10_000),
    lambda: tiff(60_000, 60_000),
    lambda: tiff(9000, 9000, strip=2**32 - 1),
    lambda: tiff(9000, 9000, compression=5),
    lambda: tiff(9000, 9000, compression=8, rows=2**31),
    lambda: bmp(2**31 - 1, 2**31 - 1),
    lambda: bmp(9000, -9000),
    lambda: bmp(9000, 9000, bits=8, compression=1, content=b"\x01\x00\x00\x00" * 9000),
    lambda: bmp(9000, 9000, bits=8, compression=1, content=b"\x00\x02\xff\xff" * 9000),
    lambda: webp(2**24, 2**24),
    lambda: webp(9000, 9000),
    lambda: b"P6 60000 60000 255\n",
    lambda: b"P3 9000 9000 255\n" + b"1 " * 1000,
    lambda: b"P5 9000 9000 65535\n" + bytes(1000),
]
ODD: list[Callable[[], bytes]] = [
    lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\nshowpage\n%%EOF\n",
    lambda: b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\n%%EOF",
    lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    lambda: b"",
    lambda: b"\0" * 1000,
    lambda: bytes(picture(0).tobytes()),
    lambda: encoded(picture(0), "ICO"),
    lambda: encoded(picture(0), "TGA"),
    lambda: with_exif(b"II*\0" + struct.pack("<I", 2**32 - 1)),
    lambda: with_exif(b"II*\0\x08\0\0\0" + struct.pack("<H", 65_535) + struct.pack("<HHII", 274, 3, 2**31, 8) * 100),
    lambda: with_exif(b"MM\0*" + bytes(60_000)),
    lambda: png(0, 0),
    lambda: png(1, 1),
    lambda: png(8, 8, depth=16),
    lambda: png(8, 8, depth=16, colour=6),
    lambda: png(8, 8, colour=3),
    lambda: png(8, 8, colour=3, more=chunk(b"PLTE", bytes(3)) + chunk(b"tRNS", bytes(256))),
    lambda: encoded(Image.new("CMYK", (8, 8)), "JPEG"),
    lambda: encoded(Image.new("CMYK", (8, 8)), "TIFF"),
    lambda: encoded(Image.fromarray(np.full((8, 8), np.nan, np.float32)), "TIFF"),
    lambda: gif(0, 0),
    lambda: bmp(0, 0),
    lambda: b"P6 0 0 255\n",
]
