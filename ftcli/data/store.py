"""Store: the prepared pixels of one set, decoded once, kept in the cache and mapped into memory.

The file: `MAGIC`, its own key, N as 8 bytes, (h, w) of every example as int32 [N, 2], and the pixels, uint8 [h, w, 3]
one example after the other. Its key holds the digest of every picture, the set's shift, all that the transform depends
on and the very code that decodes: whatever could make other pixels makes another key.
"""

import inspect
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image, features
from torch import Tensor

from ftcli.cache import Cache, TooLarge, key
from ftcli.data import pixels, transforms
from ftcli.data.images import THREADS, ImageSet, in_order
from ftcli.data.transforms import Transform
from ftcli.log import Log

MAGIC = b"ftcli pixels 1\n"
KIND = "pixels"
SHAPE = np.dtype("<i4")


class NotBelieved(Exception):
    """A file is not the store that its name promises."""


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
    """N prepared pictures in a file. Raises NotBelieved where it is not whole, or another one."""

    def __init__(self, path: Path, name: str, n: int) -> None:
        self.path, self.name, self.n = path, name, n
        head = _head(name, n)
        try:
            # Copy-on-write, though nothing is written: torch takes no array that may not be.
            data = np.memmap(path, dtype=np.uint8, mode="c").view(np.ndarray)
        except (OSError, ValueError) as error:  # a folder, gone, or empty
            raise NotBelieved(str(error)) from error
        start = len(head) + 2 * n * SHAPE.itemsize
        if len(data) < start or data[: len(head)].tobytes() != head:
            raise NotBelieved("another beginning")
        self.shapes = data[len(head) : start].view(SHAPE).reshape(n, 2)
        areas = self.shapes.astype(np.int64).prod(axis=1)
        if (self.shapes <= 0).any() or len(data) != start + 3 * int(areas.sum()):
            raise NotBelieved("another length")
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

    def __reduce__(self) -> tuple[type["Stored"], tuple[Path, str, int]]:
        return Stored, (self.path, self.name, self.n)  # another process maps the file again


def name_of(images: ImageSet, transform: Transform) -> str:
    """The key of the prepared pixels: all that one of their bits depends on."""
    return key(_decoder(), transform.key, *images.identities)


def open_store(images: ImageSet, transform: Transform, cache: Cache | None, log: Log) -> Store:
    """The prepared pixels of a set: from the cache, into which they are put first where they are not there yet.

    Without a cache, or where they do not fit into it, pictures are decoded as they are needed: the same pixels.
    """
    if cache is None:
        return Decoded(images, transform)
    name = name_of(images, transform)
    stored = _believed(cache.find(KIND, name), name, len(images))
    if stored is None:
        cache.discard(KIND, name)
        fill = partial(_fill, images, transform, name, cache.room(), log)
        stored = _believed(cache.add(KIND, name, fill), name, len(images))
    if stored is None:
        log.note(f"the pixels of {images.spec} are not kept: its pictures are decoded each time")
        return Decoded(images, transform)
    return stored


def _believed(path: Path | None, name: str, n: int) -> Stored | None:
    """The store in an entry, or None where there is none, or where it is something else."""
    try:
        return None if path is None else Stored(path, name, n)
    except NotBelieved:
        return None


def _fill(images: ImageSet, transform: Transform, name: str, room: int, log: Log, path: Path) -> None:
    """Write the store of a set. Raises TooLarge as soon as it is longer than `room` bytes."""
    Image.init()  # all formats registered before threads ask for them
    decoded = Decoded(images, transform)
    n = len(images)
    head, shapes = _head(name, n), np.zeros((n, 2), SHAPE)
    left = room - len(head) - shapes.nbytes
    prepared = in_order(decoded.__getitem__, range(n), threads=THREADS, ahead=2 * THREADS)
    with path.open("wb") as file:
        file.write(head + shapes.tobytes())
        for i, picture in enumerate(log.track(prepared, f"decoding {images.spec}", n)):
            left -= picture.nbytes
            if left < 0:
                raise TooLarge
            shapes[i] = picture.shape[:2]
            file.write(np.ascontiguousarray(picture).data)
        file.seek(len(head))
        file.write(shapes.tobytes())


def _head(name: str, n: int) -> bytes:
    return MAGIC + name.encode() + n.to_bytes(8, "little")


def _decoder() -> str:
    """Our own code between an encoded picture and its pixels, and the version of the JPEG decoder under Pillow."""
    ours = [inspect.getsource(module) for module in (pixels, transforms)]
    return key(*ours, str(features.version("jpg")))
