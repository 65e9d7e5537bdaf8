"""Inspection: every image of a set is read and decoded once before any work, and the cache remembers the result."""

import inspect as code
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np
import PIL
from PIL import Image

from ftcli.cache import entries as cache_entries
from ftcli.cache.cache import Cache, key
from ftcli.cache.entries import FORM, length
from ftcli.data.decoding import decode as pixels
from ftcli.data.decoding.column import ImageColumn
from ftcli.data.decoding.decode import DamagedImage, decode, digest, pixel_digest
from ftcli.data.decoding.orientation import is_turned
from ftcli.data.threads import THREADS, map_in_order
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.safe_text import counted, quoted

BLOCK = 64  # images a thread checks at a time
MOST_NAMED = 10  # damaged images in a message
PIXEL_DIGEST_BYTES = 16


class Inspected(NamedTuple):
    """An image that was read."""

    digest: bytes  # sha256 of its encoded bytes
    turned: bool  # its EXIF orientation is other than upright
    pixel_digest: bytes = b""  # empty until it is decoded


def inspect(
    column: ImageColumn,
    rows: np.ndarray,
    ids: list[str],
    *,
    spec: str,
    unit: str,
    damaged: str,
    log: Log,
    cache: Cache | None = None,
) -> tuple[np.ndarray, list[Inspected]]:
    """Read and decode every image once, on all cores, so that a damaged one is found before any training.

    The bytes are read every time. Where the cache knows that these very images could all be decoded, they are not
    decoded again.

    Args:
        rows: int64 [N], rows of `column` to look at; ids: [N].
        damaged: "stop" or "skip".

    Returns:
        bool [N], which images are whole, and the results of the whole ones in order.

    Raises:
        RequestError: there are damaged images and `damaged` is "stop"; it names them, if they are not too many.
    """
    results: list[Inspected | DamagedImage] = []
    if cache is not None:
        results += _cached(list(log.track(_each(_read, column, rows), f"reading {spec}", len(rows))), cache)
    if decoded := not results:
        results += log.track(_each(_read_and_decode, column, rows), f"decoding {spec}", len(rows))
    whole = [result for result in results if isinstance(result, Inspected)]
    if len(whole) < len(rows):
        _report_damaged(results, ids, spec, unit, damaged, log)
    elif decoded and cache is not None:
        _add_to_cache(whole, cache)
    if turned := sum(image.turned for image in whole):
        log.warn(
            "exif-orientation",
            f"{turned:,} of {counted(len(rows), 'image', 'images')} of {spec} have an EXIF orientation other than "
            "upright, which is not applied: they are used as stored. To use them upright, save them so, by "
            "PIL.ImageOps.exif_transpose",
        )
    return np.array([isinstance(result, Inspected) for result in results], dtype=bool), whole


def _report_damaged(
    results: Sequence[Inspected | DamagedImage], ids: list[str], spec: str, unit: str, damaged: str, log: Log
) -> None:
    """Warn of the damaged images that are left out, or raise RequestError for them."""
    faults = [
        f"{unit} {quoted(id)}: {result}"
        for id, result in zip(ids, results, strict=True)
        if isinstance(result, DamagedImage)
    ]
    some = "; ".join(faults[:MOST_NAMED]) + (f"; and {len(faults) - MOST_NAMED:,} more" * (len(faults) > MOST_NAMED))
    if damaged == "stop":
        others = f", and {len(faults) - 1:,} more of {len(results):,}" if len(faults) > 1 else ""
        raise RequestError(
            f"a damaged image in {spec}{others}: {some}",
            "repair or remove what is damaged, or leave out and count damaged images with --damaged skip",
        )
    log.warn("damaged-skipped", f"{len(faults)} of {len(results)} images of {spec} are damaged, left out: {some}")


def _each(
    look: Callable[[ImageColumn, int], Inspected], column: ImageColumn, rows: np.ndarray
) -> Iterator[Inspected | DamagedImage]:
    """What `look` gives for the image of every row, in order; for a damaged one, the error."""

    def of_block(block: np.ndarray) -> list[Inspected | DamagedImage]:
        results: list[Inspected | DamagedImage] = []
        for row in block.tolist():
            try:
                results.append(look(column, row))
            except DamagedImage as damage:
                results.append(damage)
        return results

    Image.init()  # all formats registered before threads ask for them
    blocks = (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))
    for results in map_in_order(of_block, blocks, threads=THREADS, ahead=2 * THREADS):
        yield from results


def _read(column: ImageColumn, row: int) -> Inspected:
    content = column.content(row)
    return Inspected(digest(content), is_turned(content))


def _read_and_decode(column: ImageColumn, row: int) -> Inspected:
    content = column.content(row)
    with ExitStack() as memory:
        of_pixels = pixel_digest(decode(content, memory))
    return Inspected(digest(content), is_turned(content), of_pixels)


def _cached(read: list[Inspected | DamagedImage], cache: Cache) -> list[Inspected]:
    """The images with the digests of their pixels, where the cache has those of all; otherwise none."""
    whole = [result for result in read if isinstance(result, Inspected)]
    file = cache_entries.find(cache, "checked", _key(whole)) if len(whole) == len(read) else None
    if file is None:
        return []
    with file:
        digests, size = file.read(length(file)), PIXEL_DIGEST_BYTES
    return [image._replace(pixel_digest=digests[size * i : size * (i + 1)]) for i, image in enumerate(whole)]


def _add_to_cache(images: list[Inspected], cache: Cache) -> None:
    digests = b"".join(image.pixel_digest for image in images)
    if file := cache_entries.add(cache, "checked", _key(images), lambda path: path.write_bytes(digests)):
        file.close()


def _key(images: list[Inspected]) -> str:
    """The key of the pixel digests of these images, decoded by this Pillow and by our own code."""
    return key(FORM, "pixels", PIL.__version__, code.getsource(pixels), b"".join(image.digest for image in images))
