"""What earlier runs found out about images behind URLs, in the cache: then they need not be fetched to be recognised.

It is believed where a server names a strong version of every file (an ETag that is not weak), and that is the one of
then. An image that is fetched later is compared with its digest all the same.
"""

import inspect
from collections.abc import Sequence

import numpy as np

from ftcli.cache import entries
from ftcli.cache.cache import Cache, key
from ftcli.cache.entries import FORM, length
from ftcli.data.decoding import decode as pixels
from ftcli.data.decoding.known import DIGEST_BYTES, KIND, PIXEL_DIGEST_BYTES

Seen = tuple[bytes, bool, bytes]  # of an image: digest of its bytes, EXIF orientation not upright, digest of its pixels
RECORD = np.dtype([("digest", f"V{DIGEST_BYTES}"), ("turned", "?"), ("pixels", f"V{PIXEL_DIGEST_BYTES}")])


def name_of(version: str, rows: np.ndarray, pillow: str, *, upright: bool) -> str:
    """The key of images: rows, int64 [N], of what has this version, by this version of Pillow and our own code.

    upright: whether they are turned as their EXIF orientation says, on which the digests of the pixels depend.
    """
    return key(FORM, "served", pillow, inspect.getsource(pixels), version, str(upright), rows.tobytes())


def find(cache: Cache, name: str) -> list[Seen] | None:
    """What was seen of a set; None where nothing is noted."""
    if (file := entries.find(cache, KIND, name)) is None:
        return None
    with file:
        records = np.frombuffer(file.read(length(file)), RECORD)
    digests, of_pixels = ([bytes(value) for value in records[field]] for field in ("digest", "pixels"))
    return list(zip(digests, records["turned"].tolist(), of_pixels, strict=True))


def add(cache: Cache, name: str, seen: Sequence[Seen]) -> None:
    """Note what was seen of a set."""
    content = np.array(list(seen), RECORD).tobytes()
    if file := entries.add(cache, KIND, name, lambda path: path.write_bytes(content), len(content)):
        file.close()
