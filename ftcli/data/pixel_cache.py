"""Pixel cache: the prepared pixels of one set, decoded once, kept in the cache and mapped into memory.

The file: (h, w) of every example as int32 [N, 2], and the pixels, uint8 [h, w, 3] one example after the other. Its key
holds the digest of every image, the set's shift, all that the transform depends on and the very code that decodes:
whatever could make other pixels makes another key.
"""

import inspect
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from io import FileIO
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import torch
from PIL import Image, features
from torch import Tensor

from ftcli.cache import entries as cache_entries
from ftcli.cache.cache import Cache, TooLarge, key
from ftcli.cache.entries import FOOTER, FORM, length
from ftcli.data import transforms
from ftcli.data.decoding import decode
from ftcli.data.images import ImageSet
from ftcli.data.threads import THREADS, map_in_order
from ftcli.data.transforms import Transform
from ftcli.log import Log

KIND = "pixels"
SHAPE = np.dtype("<i4")
WRITTEN_AT_ONCE = 2**20  # bytes


class Pixels(Protocol):
    """Prepared pixels by example: uint8 [h, w, 3]."""

    def __getitem__(self, i: int) -> np.ndarray: ...


class DecodedPixels:
    """Every image is decoded and prepared each time that it is used."""

    def __init__(self, images: ImageSet, transform: Transform) -> None:
        self.images, self.transform = images, transform

    def __getitem__(self, i: int) -> np.ndarray:
        return self.images.prepared(i, self.transform.prepare)


class CachedPixels:
    """N prepared images in an open file of the cache."""

    def __init__(self, file: FileIO, n: int, size: int | None = None) -> None:
        self.file, self.n = file, n
        # Copy-on-write, though nothing is written: torch takes no array that may not be.
        data = np.memmap(file, np.uint8, "c", shape=(size or length(file),)).view(np.ndarray)
        start = 2 * n * SHAPE.itemsize
        self.shapes = data[:start].view(SHAPE).reshape(n, 2)
        areas = self.shapes.astype(np.int64).prod(axis=1)
        self._starts = (start + 3 * (np.cumsum(areas) - areas)).tolist()
        self._data = data

    def __getitem__(self, i: int) -> np.ndarray:
        h, w = self.shapes[i].tolist()
        start = self._starts[i]
        return self._data[start : start + 3 * h * w].reshape(h, w, 3)

    @cached_property
    def tensor(self) -> Tensor:
        """All pixels, uint8 [N, H, W, 3], not copied; only where all have one shape."""
        h, w = self.shapes[0].tolist()
        return torch.from_numpy(self._data[self._starts[0] :].reshape(self.n, h, w, 3))

    def __reduce__(self) -> tuple[Callable[..., "CachedPixels"], tuple[Any, int]]:
        """Another process gets the open file: under its name there may be none any more."""
        return _from_file, (DupFd(self.file.fileno()), self.n)


class PixelDraft:
    """Prepared pixels by row of a column, written while the images are read, in a file as above without a name."""

    def __init__(self, path: Path, file: BinaryIO, n: int, room: "Room", cache: Cache) -> None:
        self.path, self.rows, self.cache = path, list[int](), cache
        self._shapes, self._room, self._file = np.zeros((n, 2), SHAPE), room, file
        self.write(memoryview(self._shapes.tobytes()))

    def take(self, row: int, pixels: np.ndarray) -> None:
        """Append the pixels of the image of a row."""
        self._shapes[len(self.rows)] = pixels.shape[:2]
        self.rows.append(row)
        self.write(np.ascontiguousarray(pixels).data)

    def write(self, content: memoryview) -> None:
        """Append bytes; after those that have no room, or that the disk refuses, nothing more is written."""
        self._room.left -= content.nbytes
        if self._room.left < 0:
            self._file.close()
        try:
            if not self._file.closed:
                self._file.write(content)
        except OSError as error:
            self.cache.unusable(error)
            with suppress(OSError):
                self._file.close()

    @cached_property
    def pixels(self) -> "CachedPixels | None":
        """What was taken, with which the file is complete; None where it could not be written."""
        if self._file.closed or not self.rows:
            return None
        try:
            self._file.seek(0)
            self._file.write(self._shapes.tobytes())
            self._file.flush()
            with FileIO(self.path) as file:
                return CachedPixels(file, len(self._shapes), self.path.stat().st_size)
        except OSError as error:
            self.cache.unusable(error)
            return None

    def remove(self) -> None:
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def open_draft(rows: np.ndarray, room: "Room", cache: Cache) -> PixelDraft | None:
    """A draft for the pixels of these rows; None where the cache cannot be written."""
    if (path := cache.draft(KIND)) is None:
        return None
    try:
        return PixelDraft(path, path.open("wb", buffering=WRITTEN_AT_ONCE), len(rows), room, cache)
    except OSError as error:
        cache.unusable(error)
        return None


@dataclass
class Room:
    """Bytes that several entries may still take together."""

    left: int


def pixels_key(images: ImageSet, transform: Transform) -> str:
    """The key of the prepared pixels of a set: all that one of their bits depends on."""
    return key(FORM, key_of_code(), transform.key, *images.identities)


def open_pixels(
    images: ImageSet, transform: Transform, cache: Cache | None, log: Log, drafts: Sequence[PixelDraft] = ()
) -> Pixels:
    """The prepared pixels of a set: from the cache, into which they are put first where they are not there yet.

    Without a cache, or where they do not fit into it, images are decoded as they are needed: the same pixels.

    Args:
        drafts: pixels of rows of the same column by the same transform. A draft of just these rows becomes the entry.
    """
    if cache is None:
        return DecodedPixels(images, transform)
    name = pixels_key(images, transform)
    if (file := cache_entries.find(cache, KIND, name)) is None:
        file = cache_entries.add(cache, KIND, name, _filler(images, transform, cache, log, drafts))
    if file is None:
        log.note(f"the pixels of {images.spec} are not kept: its images are decoded each time")
        return DecodedPixels(images, transform)
    return CachedPixels(file, len(images))


def _filler(
    images: ImageSet, transform: Transform, cache: Cache, log: Log, drafts: Sequence[PixelDraft]
) -> Callable[[Path], object]:
    """What writes the prepared pixels of a set to a path."""
    ready: dict[int, tuple[CachedPixels, int]] = {}
    rows = images.rows.tolist()
    for draft in drafts:
        if (pixels := draft.pixels) is None:
            continue
        if draft.rows == rows and len(rows) == pixels.n:
            return draft.path.replace
        ready |= {row: (pixels, i) for i, row in enumerate(draft.rows)}
    decoded = DecodedPixels(images, transform)

    def pixels_of(i: int) -> np.ndarray:
        pixels, position = ready.get(rows[i], (decoded, i))
        return pixels[position]

    return partial(_fill, images, pixels_of, cache.free_bytes() - FOOTER, log)


def _from_file(handle: Any, n: int) -> CachedPixels:
    """The pixels in a file that another process has opened."""
    return CachedPixels(FileIO(handle.detach()), n)


def _fill(images: ImageSet, pixels_of: Callable[[int], np.ndarray], room: int, log: Log, path: Path) -> None:
    """Write the prepared pixels of a set. Raises TooLarge as soon as they are more than `room` bytes."""
    Image.init()  # all formats registered before threads ask for them
    n = len(images)
    shapes = np.zeros((n, 2), SHAPE)
    left = room - shapes.nbytes
    prepared = map_in_order(pixels_of, range(n), threads=THREADS, ahead=2 * THREADS)
    with path.open("wb") as file:
        file.write(shapes.tobytes())
        for i, pixels in enumerate(log.track(prepared, f"decoding {images.spec}", n)):
            left -= pixels.nbytes
            if left < 0:
                raise TooLarge
            shapes[i] = pixels.shape[:2]
            file.write(np.ascontiguousarray(pixels).data)
        file.seek(0)
        file.write(shapes.tobytes())


def key_of_code() -> str:
    """Our own code between an encoded image and its pixels, and the version of the JPEG decoder under Pillow."""
    ours = [inspect.getsource(module) for module in (decode, transforms)]
    return key(*ours, str(features.version("jpg")))
