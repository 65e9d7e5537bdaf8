"""Store: the prepared pixels of one set, decoded once, kept in the cache and mapped into memory.

The file: (h, w) of every example as int32 [N, 2], and the pixels, uint8 [h, w, 3] one example after the other. Its key
holds the digest of every picture, the set's shift, all that the transform depends on and the very code that decodes:
whatever could make other pixels makes another key.
"""

import inspect
from collections.abc import Callable
from functools import cached_property, partial
from io import FileIO
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image, features
from torch import Tensor

from ftcli import cache_entries
from ftcli.cache import Cache, TooLarge, key
from ftcli.cache_entries import FOOTER, FORM, length
from ftcli.data import transforms
from ftcli.data.images import ImageSet
from ftcli.data.pictures import decode
from ftcli.data.threads import THREADS, in_order
from ftcli.data.transforms import Transform
from ftcli.log import Log

KIND = "pixels"
SHAPE = np.dtype("<i4")


class Store(Protocol):
    """Prepared pixels by example: uint8 [h, w, 3]."""

    def __getitem__(self, i: int) -> np.ndarray: ...


class Decoded:
    """Every picture is decoded and prepared each time it is asked for."""

    def __init__(self, images: ImageSet, transform: Transform) -> None:
        self.images, self.transform = images, transform

    def __getitem__(self, i: int) -> np.ndarray:
        return self.images.prepared(i, self.transform.prepare)


class Stored:
    """N prepared pictures in an open file."""

    def __init__(self, file: FileIO, n: int) -> None:
        self.file, self.n = file, n
        # Copy-on-write, though nothing is written: torch takes no array that may not be.
        data = np.memmap(file, np.uint8, "c", shape=(length(file),)).view(np.ndarray)
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
    def grid(self) -> Tensor:
        """All pixels [N, H, W, 3], not copied; only where all have one shape."""
        h, w = self.shapes[0].tolist()
        return torch.from_numpy(self._data[self._starts[0] :].reshape(self.n, h, w, 3))

    def __reduce__(self) -> tuple[Callable[..., "Stored"], tuple[Any, int]]:
        """Another process gets the open file: under its name there may be none any more."""
        return _sent, (DupFd(self.file.fileno()), self.n)


def name_of(images: ImageSet, transform: Transform) -> str:
    """The key of the prepared pixels: all that one of their bits depends on."""
    return key(FORM, _decoder(), transform.key, *images.identities)


def open_store(images: ImageSet, transform: Transform, cache: Cache | None, log: Log) -> Store:
    """The prepared pixels of a set: from the cache, into which they are put first where they are not there yet.

    Without a cache, or where they do not fit into it, pictures are decoded as they are needed: the same pixels.
    """
    if cache is None:
        return Decoded(images, transform)
    name = name_of(images, transform)
    if (file := cache_entries.find(cache, KIND, name)) is None:
        fill = partial(_fill, images, transform, cache.free_bytes() - FOOTER, log)
        file = cache_entries.add(cache, KIND, name, fill)
    if file is None:
        log.note(f"the pixels of {images.spec} are not kept: its pictures are decoded each time")
        return Decoded(images, transform)
    return Stored(file, len(images))


def _sent(handle: Any, n: int) -> Stored:
    """The store on the file that another process has handed over."""
    return Stored(FileIO(handle.detach()), n)


def _fill(images: ImageSet, transform: Transform, free_bytes: int, log: Log, path: Path) -> None:
    """Write the store of a set. Raises TooLarge as soon as it is longer than `room` bytes."""
    Image.init()  # all formats registered before threads ask for them
    decoded = Decoded(images, transform)
    n = len(images)
    shapes = np.zeros((n, 2), SHAPE)
    left = free_bytes - shapes.nbytes
    prepared = in_order(decoded.__getitem__, range(n), threads=THREADS, ahead=2 * THREADS)
    with path.open("wb") as file:
        file.write(shapes.tobytes())
        for i, picture in enumerate(log.track(prepared, f"decoding {images.spec}", n)):
            left -= picture.nbytes
            if left < 0:
                raise TooLarge
            shapes[i] = picture.shape[:2]
            file.write(np.ascontiguousarray(picture).data)
        file.seek(0)
        file.write(shapes.tobytes())


def _decoder() -> str:
    """Our own code between an encoded picture and its pixels, and the version of the JPEG decoder under Pillow."""
    ours = [inspect.getsource(module) for module in (decode, transforms)]
    return key(*ours, str(features.version("jpg")))
