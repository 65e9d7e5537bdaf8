"""Inspection: every picture of a set is read and decoded once before any work, and the cache remembers the result."""

import inspect as code
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np
import PIL
from PIL import Image

from ftcli import cache_entries
from ftcli.cache import Cache, key
from ftcli.cache_entries import FORM, length
from ftcli.data.pictures import decode as pixels
from ftcli.data.pictures.decode import DamagedPicture, Pictures, decode_within, digest, pixel_digest
from ftcli.data.pictures.orientation import is_turned
from ftcli.data.threads import THREADS, in_order
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.text import counted, quoted

BLOCK = 64  # pictures a thread checks at a time
MOST_NAMED = 10  # damaged pictures in a message


class Seen(NamedTuple):
    """A picture that was read: sha256 of its encoded bytes, whether its EXIF orientation is other than upright, and the
    digest of its pixels, empty until it is known.
    """

    digest: bytes
    turned: bool
    pixels: bytes = b""


def inspect(
    pictures: Pictures,
    rows: np.ndarray,
    ids: list[str],
    *,
    spec: str,
    unit: str,
    damaged: str,
    log: Log,
    cache: Cache | None = None,
) -> tuple[np.ndarray, list[Seen]]:
    """Read and decode every picture once, on all cores, so that a damaged one is found before any training.

    The bytes are read every time. Where the cache knows that these very pictures could all be decoded, they are not
    decoded again.

    Args:
        rows: int64 [N], rows of `pictures` to look at; ids: [N].
        damaged: "stop" or "skip".

    Returns:
        bool [N], which pictures are whole, and what was seen of the whole ones in order.

    Raises:
        RequestError: there are damaged pictures and `damaged` is "stop"; it names them, if they are not too many.
    """
    seen: list[Seen | DamagedPicture] = []
    if cache is not None:
        seen += _known(list(log.track(_each(_read_only, pictures, rows), f"reading {spec}", len(rows))), cache)
    if fresh := not seen:
        seen += log.track(_each(_look_at, pictures, rows), f"decoding {spec}", len(rows))
    found = [one for one in seen if isinstance(one, Seen)]
    if len(found) < len(rows):
        _say_damaged(seen, ids, spec, unit, damaged, log)
    elif fresh and cache is not None:
        _remember(found, cache)
    if turned := sum(one.turned for one in found):
        log.warn(
            "exif-orientation",
            f"{turned:,} of {counted(len(rows), 'image', 'images')} of {spec} have an EXIF orientation other than "
            "upright, which is not applied: they are used as stored. To use them upright, save them so, by "
            "PIL.ImageOps.exif_transpose",
        )
    return np.array([isinstance(one, Seen) for one in seen], dtype=bool), found


def _say_damaged(
    seen: Sequence[Seen | DamagedPicture], ids: list[str], spec: str, unit: str, damaged: str, log: Log
) -> None:
    """Warn of the damaged pictures that are left out, or raise RequestError for them."""
    faults = [
        f"{unit} {quoted(id)}: {one}" for id, one in zip(ids, seen, strict=True) if isinstance(one, DamagedPicture)
    ]
    some = "; ".join(faults[:MOST_NAMED]) + (f"; and {len(faults) - MOST_NAMED:,} more" * (len(faults) > MOST_NAMED))
    if damaged == "stop":
        others = f", and {len(faults) - 1:,} more of {len(seen):,}" if len(faults) > 1 else ""
        raise RequestError(
            f"a damaged image in {spec}{others}: {some}",
            "repair or remove what is damaged, or leave out and count damaged images with --damaged skip",
        )
    log.warn("damaged-skipped", f"{len(faults)} of {len(seen)} images of {spec} are damaged, left out: {some}")


def _each(
    look: Callable[[Pictures, int], Seen | DamagedPicture], pictures: Pictures, rows: np.ndarray
) -> Iterator[Seen | DamagedPicture]:
    """What is seen of the picture of every row, in order."""
    Image.init()  # all formats registered before threads ask for them
    blocks = (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))
    found = in_order(
        lambda block: [look(pictures, int(row)) for row in block], blocks, threads=THREADS, ahead=2 * THREADS
    )
    for block in found:
        yield from block


def _read_only(pictures: Pictures, row: int) -> Seen | DamagedPicture:
    try:
        content = pictures.content(row)
        return Seen(digest(content), is_turned(content))
    except DamagedPicture as damage:
        return damage


def _look_at(pictures: Pictures, row: int) -> Seen | DamagedPicture:
    try:
        content = pictures.content(row)
        with ExitStack() as held:
            look = pixel_digest(decode_within(content, held))
        return Seen(digest(content), is_turned(content), look)
    except DamagedPicture as damage:
        return damage


def _known(read: list[Seen | DamagedPicture], cache: Cache) -> list[Seen]:
    """The same with the digests of their pixels, where the cache says that these very pictures could be decoded."""
    seen = [one for one in read if isinstance(one, Seen)]
    file = cache_entries.find(cache, "checked", _checked(seen)) if len(seen) == len(read) else None
    if file is None:
        return []
    with file:
        looks = file.read(length(file))
    return [one._replace(pixels=looks[16 * i : 16 * (i + 1)]) for i, one in enumerate(seen)]


def _remember(seen: list[Seen], cache: Cache) -> None:
    """Let the cache know the pixels of pictures that could all be decoded."""
    looks = b"".join(one.pixels for one in seen)
    if file := cache_entries.add(cache, "checked", _checked(seen), lambda path: path.write_bytes(looks)):
        file.close()


def _checked(seen: list[Seen]) -> str:
    """Under which key the cache knows the pixels of pictures: by this Pillow and by our own code."""
    return key(FORM, "pixels", PIL.__version__, code.getsource(pixels), b"".join(one.digest for one in seen))
