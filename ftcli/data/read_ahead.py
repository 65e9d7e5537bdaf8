"""Reading ahead: images behind a URL that the cache does not hold are fetched before their batches are made.

The batches of an epoch are divided into windows. The missing images of a window are fetched together, in the order in
which they are stored, so that a row group is fetched once in a window; meanwhile the batches of the window before are
used. What the windows are has no effect on any batch.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from threading import Event

import numpy as np

from ftcli.data.pixel_cache import PartialPixels
from ftcli.data.threads import REMOTE_THREADS, map_in_order

WINDOW_BYTES = 2**27  # of prepared pixels; two windows are in memory at once
FIRST_GUESS = 2**20  # bytes of an image, until some were seen


class Window:
    """Prepared pixels by example, of those that the cache holds and of those that were fetched for some batches."""

    def __init__(self, pixels: PartialPixels, fetched: Mapping[int, np.ndarray]) -> None:
        self._pixels, self._fetched = pixels, fetched

    def __getitem__(self, i: int) -> np.ndarray:
        return self._fetched[i] if i in self._fetched else self._pixels[i]


def windows_of(pixels: PartialPixels, batches: Sequence[Sequence[int]]) -> Iterator[Window]:
    """For each batch, a list of examples, the window that it is made from.

    Raises RunError where an image cannot be fetched.
    """
    stop, sizes = Event(), list[int]()

    def fetch(some: Sequence[Sequence[int]]) -> tuple[int, Window]:
        rows = pixels.decoded.images.rows
        missing = {i for batch in some for i in batch if not pixels.held[i]}
        in_order = sorted(missing, key=lambda i: rows[i])
        fetched: dict[int, np.ndarray] = {}
        read = map_in_order(pixels.decoded.__getitem__, in_order, threads=REMOTE_THREADS, ahead=2 * REMOTE_THREADS)
        with closing(read):
            for i, image in zip(in_order, read, strict=False):
                fetched[i] = image
                if stop.is_set():
                    break
        sizes.append(sum(image.nbytes for image in fetched.values()) // max(1, len(fetched)))
        return len(some), Window(pixels, fetched)

    windows = map_in_order(fetch, _divided(pixels, batches, sizes), threads=1, ahead=1)
    try:
        for count, window in windows:
            for _ in range(count):
                yield window
    finally:
        stop.set()  # a window on its way is not waited for to its end
        windows.close()


def _divided(
    pixels: PartialPixels, batches: Sequence[Sequence[int]], sizes: Sequence[int]
) -> Iterator[Sequence[Sequence[int]]]:
    """The batches, as many at a time as have missing images of about WINDOW_BYTES, one at least.

    sizes: bytes of an image in the windows that were fetched so far; the list grows.
    """
    start = 0
    while start < len(batches):
        size = max(sizes) if sizes else FIRST_GUESS
        stop, room = start, WINDOW_BYTES // max(1, size)
        while stop < len(batches) and (stop == start or room > 0):
            room -= sum(not pixels.held[i] for i in batches[stop])
            stop += 1
        yield batches[start:stop]
        start = stop
