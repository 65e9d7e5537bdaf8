"""What earlier runs found out about a set of images, in the cache: the digests of all, and what was made of them.

Nothing of it is believed of an image until the digest of its bytes, computed anew, is the one that is noted here.
"""

import inspect
from collections.abc import Sequence
from typing import NamedTuple

from ftcli.cache import entries
from ftcli.cache.cache import Cache, key
from ftcli.cache.entries import FORM, length
from ftcli.data.decoding import decode as pixels

KIND = "checked"
RECOGNISED_BY = 16  # images at the beginning of a set by which its entry is found
DIGEST_BYTES = 32
PIXEL_DIGEST_BYTES = 16


class Known(NamedTuple):
    """Of a set of N images that could all be decoded."""

    digests: Sequence[bytes] = ()  # [N], sha256 of the encoded bytes
    pixel_digests: Sequence[bytes] = ()  # [N]
    uses: frozenset[bytes] = frozenset()  # digests of the names of what was made of its images and kept


def name_of(first: Sequence[bytes], n: int, pillow: str, *, upright: bool = False) -> str:
    """The key of a set of n images, by the digests of the first, decoded by this version of Pillow and our own code;
    upright: turned as their EXIF orientation says.
    """
    return key(FORM, "known", pillow, inspect.getsource(pixels), str(n), *["upright"] * upright, *first)


def find(cache: Cache, name: str, n: int) -> Known | None:
    """The entry of a set of n images; None where there is none."""
    file = entries.find(cache, KIND, name)
    if file is None:
        return None
    with file:
        content = file.read(length(file))
    ends = n * DIGEST_BYTES, n * (DIGEST_BYTES + PIXEL_DIGEST_BYTES)
    digests, of_pixels, uses = content[: ends[0]], content[ends[0] : ends[1]], content[ends[1] :]
    return Known(
        _parts(digests, DIGEST_BYTES), _parts(of_pixels, PIXEL_DIGEST_BYTES), frozenset(_parts(uses, DIGEST_BYTES))
    )


def add(cache: Cache, name: str, known: Known) -> None:
    """Put the entry of a set into the cache, in the place of an earlier one."""
    content = b"".join([*known.digests, *known.pixel_digests, *sorted(known.uses)])
    if file := entries.add(cache, KIND, name, lambda path: path.write_bytes(content), len(content)):
        file.close()


def _parts(content: bytes, size: int) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]
