"""Pixel cache: the prepared pixels of one set, decoded once, kept in the cache and mapped into memory.

The file: (h, w) of every example as int32 [N, 2], and the pixels, uint8 [h, w, 3] one example after the other. Of a set
behind a URL as many examples are kept as there is room for; the others have (0, 0). Its key
holds the digest of every image, the set's shift, all that the transform depends on and the very code that decodes:
whatever could make other pixels makes another key.
"""

import inspect
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
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
from ftcli.data.threads import REMOTE_THREADS, THREADS, map_in_order
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
    def held(self) -> np.ndarray:
        """bool [N], which examples are in the file."""
        return np.asarray(self.shapes.all(axis=1))

    @cached_property
    def tensor(self) -> Tensor:
        """All pixels, uint8 [N, H, W, 3], not copied; only where all have one shape."""
        h, w = self.shapes[0].tolist()
        return torch.from_numpy(self._data[self._starts[0] :].reshape(self.n, h, w, 3))

    def __reduce__(self) -> tuple[Callable[..., "CachedPixels"], tuple[Any, int]]:
        """Another process gets the open file: under its name there may be none any more."""
        return _from_file, (DupFd(self.file.fileno()), self.n)


class PartialPixels:
    """Prepared pixels of a set behind a URL: some in an open file of the cache, the others fetched when they are used.

    kept: None where none are.
    """

    def __init__(self, kept: CachedPixels | None, decoded: DecodedPixels) -> None:
        self.kept, self.decoded = kept, decoded

    @cached_property
    def held(self) -> np.ndarray:
        """bool [N], which examples are in the file."""
        return np.zeros(len(self.decoded.images), dtype=bool) if self.kept is None else self.kept.held

    def __getitem__(self, i: int) -> np.ndarray:
        return self.kept[i] if self.kept is not None and self.held[i] else self.decoded[i]


class PixelDraft:
    """Prepared pixels by row of a column, written while the images are read, in a file as above without a name.

    partial: whether the first are of use without those that have no room.
    """

    def __init__(self, path: Path, file: BinaryIO, n: int, room: "Room", cache: Cache, partial: bool) -> None:
        self.path, self.rows, self.cache, self.partial = path, list[int](), cache, partial
        self._full = False
        self._shapes, self._room, self._file = np.zeros((n, 2), SHAPE), room, file
        self.write(memoryview(self._shapes.tobytes()))

    def take(self, row: int, pixels: np.ndarray) -> None:
        """Append the pixels of the image of a row."""
        self._full = self._full or (self.partial and pixels.nbytes > self._room.left)
        if self._full:
            return
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


def open_draft(rows: np.ndarray, room: "Room", cache: Cache, *, partial: bool = False) -> PixelDraft | None:
    """A draft for the pixels of these rows; None where the cache cannot be written."""
    if (path := cache.draft(KIND)) is None:
        return None
    try:
        return PixelDraft(path, path.open("wb", buffering=WRITTEN_AT_ONCE), len(rows), room, cache, partial)
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

    Without a cache, or where they do not fit into it, images are decoded as they are needed: the same pixels. Of images
    behind a URL as many are put there as fit.

    Args:
        drafts: pixels of rows of the same column by the same transform. A draft of just these rows becomes the entry.
    """
    if images.column.remote:
        return _open_remote(images, transform, cache, log, drafts)
    if cache is None:
        return DecodedPixels(images, transform)
    name = pixels_key(images, transform)
    if (file := cache_entries.find(cache, KIND, name)) is None:
        file = cache_entries.add(cache, KIND, name, _filler(images, transform, cache, log, drafts))
    if file is None:
        log.note(f"the pixels of {images.spec} are not kept: its images are decoded each time")
        return DecodedPixels(images, transform)
    return CachedPixels(file, len(images))


def _open_remote(
    images: ImageSet, transform: Transform, cache: Cache | None, log: Log, drafts: Sequence[PixelDraft]
) -> CachedPixels | PartialPixels:
    """As `open_pixels`. An entry that lacks examples has a key of its own: a set on this machine takes none such."""
    decoded, file = DecodedPixels(images, transform), None
    if cache is not None:
        name = pixels_key(images, transform)
        partial_name = key(name, "partial")
        file = cache_entries.find(cache, KIND, name) or cache_entries.find(cache, KIND, partial_name)
        if file is None:
            write = _filler(images, transform, cache, log, drafts)
            file = cache_entries.add(cache, KIND, partial_name, write)
    kept = None if file is None else CachedPixels(file, len(images))
    if kept is not None and kept.held.all():
        return kept
    count = 0 if kept is None else int(kept.held.sum())
    if cache is not None:
        log.note(
            f"the pixels of {count:,} of {len(images):,} images of {images.spec} are kept; others are fetched each time"
        )
    return PartialPixels(kept, decoded)


def partial_room(cache: Cache) -> int:
    """Bytes for the pixels of sets that need not be whole: a tenth of the cap is left for everything else."""
    return cache.free_bytes() - cache.cap // 10


def _filler(
    images: ImageSet, transform: Transform, cache: Cache, log: Log, drafts: Sequence[PixelDraft]
) -> Callable[[Path], object]:
    """What writes the prepared pixels of a set to a path."""
    remote = images.column.remote
    ready: dict[int, tuple[CachedPixels, int]] = {}
    rows = images.rows.tolist()
    for draft in drafts:
        if (pixels := draft.pixels) is None:
            continue
        if draft.rows == rows[: len(draft.rows) if remote else None] and len(rows) == pixels.n:
            return draft.path.replace
        ready |= {row: (pixels, i) for i, row in enumerate(draft.rows)}
    decoded = DecodedPixels(images, transform)

    def pixels_of(i: int) -> np.ndarray:
        pixels, position = ready.get(rows[i], (decoded, i))
        return pixels[position]

    if not remote:
        return partial(_fill, images, range(len(rows)), pixels_of, cache.free_bytes() - FOOTER, log)
    examples = [i for i, row in enumerate(rows) if row in ready] if ready else range(len(rows))
    return partial(_fill, images, examples, pixels_of, partial_room(cache) - FOOTER, log)


def _from_file(handle: Any, n: int) -> CachedPixels:
    """The pixels in a file that another process has opened."""
    return CachedPixels(FileIO(handle.detach()), n)


def _fill(
    images: ImageSet, examples: Sequence[int], pixels_of: Callable[[int], np.ndarray], room: int, log: Log, path: Path
) -> None:
    """Write the prepared pixels of some examples of a set.

    Raises TooLarge as soon as they are more than `room` bytes; of images behind a URL those that fit are written.
    """
    Image.init()  # all formats registered before threads ask for them
    remote = images.column.remote
    threads = REMOTE_THREADS if remote else THREADS
    shapes = np.zeros((len(images), 2), SHAPE)
    left = room - shapes.nbytes
    if left < 0:
        raise TooLarge
    prepared = map_in_order(pixels_of, examples, threads=threads, ahead=2 * threads)
    with path.open("wb") as file, closing(prepared):
        file.write(shapes.tobytes())
        tracked = log.track(prepared, f"decoding {images.spec}", len(examples))
        for i, pixels in zip(examples, tracked, strict=False):
            left -= pixels.nbytes
            if left < 0 and remote:
                break
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
