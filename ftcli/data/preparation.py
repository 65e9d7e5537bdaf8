"""Preparation: the images of all sets of a command are read in one pass, and their prepared pixels kept from it.

Which images a set has in the end is known after the pass only: damaged ones may be left out, and validation and test
are cut from train so that copies of an image, known by its pixels, stay together. So the pixels of the images that a
set is expected to have go into a file of the cache without a name, which becomes the set's entry if it has just these.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ftcli.cache.cache import Cache, key
from ftcli.data.columns.paths import missing, path_of
from ftcli.data.decoding.decode import Content
from ftcli.data.decoding.inspection import Reading, Result, Use, read_images
from ftcli.data.decoding.known import Known
from ftcli.data.images import ImageSet
from ftcli.data.pixel_cache import (
    CachedPixels,
    PartialPixels,
    PixelDraft,
    Room,
    key_of_code,
    open_draft,
    open_pixels,
    partial_room,
)
from ftcli.data.rows import place
from ftcli.data.transforms import Transform
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.safe_text import quoted


@dataclass(frozen=True)
class Wanted:
    """Some examples of a set, and a transform with which they will be used."""

    rows: np.ndarray  # int64 [M], rows of the set's column
    transform: Transform


@dataclass(frozen=True)
class Transforms:
    """With which transforms the images of a command will be used."""

    train: tuple[Transform, ...] = ()  # those of the training set
    others: tuple[Transform, ...] = ()  # those of every other set

    def of(self, name: str) -> tuple[Transform, ...]:
        """Of the set with this role or name."""
        return self.train if name == "train" else self.others


NO_TRANSFORMS = Transforms()


class Drafts:
    """The pixels that are prepared while sets are read, as far as they are new and there is room for them."""

    def __init__(self, cache: Cache | None) -> None:
        self.cache = cache
        self._room = Room(cache.free_bytes() if cache else 0)
        self._partial_room = Room(partial_room(cache) if cache else 0)
        self._drafts: list[tuple[ImageSet, str, PixelDraft]] = []

    def __enter__(self) -> "Drafts":
        return self

    def __exit__(self, *_: object) -> None:
        for _images, _transform, draft in self._drafts:
            draft.remove()

    def uses(self, images: ImageSet, wanted: Sequence[Wanted], known: Known | None) -> list[Use]:
        """What is to be made of a set's images, but for what an earlier run has kept or found no room for."""
        uses = []
        for want in wanted:
            transform = want.transform
            name = bytes.fromhex(key(key_of_code(), transform.key, str(images.shift), want.rows.tobytes()))
            size, remote = transform.prepared_bytes, images.column.remote
            room = self._partial_room if remote else self._room
            if self.cache is None or (known and name in known.uses):
                continue
            if not remote and (size or 0) * len(want.rows) > room.left:
                continue
            if draft := open_draft(want.rows, room, self.cache, partial=remote):
                self._drafts.append((images, transform.key, draft))
                uses.append(Use(name, want.rows, _maker(images, transform), draft.take, size))
        return uses

    def keep(self, images: ImageSet, transform: Transform, log: Log) -> None:
        """Put the pixels of a set into the cache, if most of them have been prepared; of images behind a URL, all that
        have been.
        """
        drafts = [
            draft
            for of, of_transform, draft in self._drafts
            if of_transform == transform.key
            and of.shift == images.shift
            and of.column is images.column
            and of.seen_as(images)
        ]
        ready = {row for draft in drafts for row in draft.rows}.intersection(images.rows.tolist())
        if 2 * len(ready) > len(images) or (ready and images.column.remote):
            pixels = open_pixels(images, transform, self.cache, log, drafts)
            kept = pixels.kept if isinstance(pixels, PartialPixels) else pixels
            if isinstance(kept, CachedPixels):
                kept.file.close()


def _maker(images: ImageSet, transform: Transform) -> Callable[[Image.Image, bytes], np.ndarray]:
    """From a decoded image and its digest to prepared pixels."""
    return lambda image, of_bytes: transform.prepare(images.corrupted(image, of_bytes))


def check_present(images: ImageSet) -> None:
    """Raises RequestError where a table names files that are not there: known before the first of them is read."""
    if not (absent := missing(images.column, images.rows)).any():
        return
    first, count = int(np.argmax(absent)), int(absent.sum())
    path = path_of(images.column, int(images.rows[first]))
    at = place(images.unit, images.ids[first], None if images.lines is None else int(images.lines[first]))
    more = f", and {count - 1:,} more of {len(images):,} do" if count > 1 else ""
    what = f"names a file that is not there, {quoted(path)}" if path else "names no file: its path is empty"
    windows = "write paths with /, not \\; " * ("\\" in path)
    raise RequestError(
        f"{at} of {images.spec} {what}{more}",
        f"{windows}mend the path, name the folder of the images with root=DIR, or leave them out with --damaged skip",
    )


def read_sets(
    sets: Mapping[str, ImageSet], drafts: Drafts, *, damaged: str, log: Log,
    wanted: Mapping[str, Sequence[Wanted]] | None = None,
) -> dict[str, ImageSet]:  # fmt: skip
    """The sets with every image read, as `ImageSet.inspected` says; what is `wanted` goes to `drafts`.

    Sets of the same data, turned alike, are read together: an image that is in several of them is read once.
    """
    for images in sets.values() if damaged == "stop" else ():
        check_present(images)
    found: dict[str, tuple[Reading, list[Result]]] = {}
    inspected = {}
    for name, images in sets.items():
        if name not in found:
            together = {other: images for other, images in sets.items() if images.seen_as(sets[name])}
            held: dict[int, Content] = {}
            readings = {other: images.reading(drafts.cache, held) for other, images in together.items()}
            for other, reading in readings.items():
                reading.uses = drafts.uses(together[other], (wanted or {}).get(other, ()), reading.known)
            results = read_images(list(readings.values()), log)
            found |= zip(readings, zip(readings.values(), results, strict=True), strict=True)
        reading, of_set = found.pop(name)
        inspected[name] = images.inspected(reading, of_set, damaged=damaged, log=log)
    return inspected
