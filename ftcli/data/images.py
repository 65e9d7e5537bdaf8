"""One set of images: columns in memory and pixels on demand; every image is decoded once before it is used."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from PIL import Image

from ftcli.cache.cache import Cache
from ftcli.data.decoding.column import Images
from ftcli.data.decoding.decode import Content, DamagedImage, decode, digest
from ftcli.data.decoding.inspection import Reading, Result, conclude
from ftcli.data.shifts.shift import Shift, Shuffle
from ftcli.errors import RequestError, RunError
from ftcli.log import Log

Prepared = TypeVar("Prepared")


@dataclass(frozen=True)
class ImageSet:
    """N examples of one data SPEC, with split, where, class map, limit and per-class already applied.

    In a task, `labels` and `classes` are those of the task.
    """

    spec: str
    column: Images
    rows: np.ndarray  # int64 [N], rows of `column`
    labels: np.ndarray  # int64 [N], index into `classes`; -1 in a set without labels
    classes: tuple[str, ...]  # [K], in the set's own order; none in a set without labels
    named: bool  # False: plain integers without names, and `classes` is "0", "1", …
    positions: bool  # True: a map by position made `labels` positions in the task's classes
    groups: np.ndarray | None  # str [N]
    ids: list[str]  # [N], relative path for folders, row number for tables
    unit: str = "row"  # what a message calls an example, "row" or "file"
    lines: np.ndarray | None = None  # int64 [N], where in a file of text each is described
    digests: list[bytes] = field(default_factory=list)  # [N], sha256 of the encoded bytes; none until `inspected`
    pixel_digests: list[bytes] = field(default_factory=list)  # [N], of the decoded image, whatever its format
    dropped: int = 0  # rows left out because their class has no counterpart
    damaged: int = 0  # rows left out because their image cannot be decoded
    flip: bool = False  # the labels are still to be flipped, in the order of the task's classes
    relabelled: bool = False  # they have been
    shift: Shift | None = None  # a corruption of every image
    shuffle: Shuffle | None = None  # of a model's input; the images here are not shuffled
    restrict: tuple[int, ...] | None = None  # the classes an OOD set covers, where they are not all; sorted

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labelled(self) -> bool:
        return bool(self.classes)

    def image(self, i: int) -> Image.Image:
        """Image of example i, 8-bit RGB, corrupted where the set has a shift.

        Raises:
            RunError: an image that was whole when the set was opened is not any more, or is another one.
        """
        return self.prepared(i, lambda image: image)

    def prepared(self, i: int, prepare: Callable[[Image.Image], Prepared]) -> Prepared:
        """`prepare` of image i; threads that call this never have too many large images in memory at once."""
        with ExitStack() as memory:
            return prepare(self._decoded(i, memory))

    def _decoded(self, i: int, memory: ExitStack) -> Image.Image:
        """The image; a large one keeps its share of the memory until `memory` is closed."""
        fix = "leave the data in place while a command runs"
        try:
            content = self.column.content(int(self.rows[i]))
            if digest(content) != self.digests[i]:
                raise RunError(f'the image "{self.ids[i]}" of {self.spec} has changed since the start', fix)
            image = decode(content, memory)
        except DamagedImage as damage:
            raise RunError(
                f'the image "{self.ids[i]}" of {self.spec} could be read at the start and now cannot: {damage}', fix
            ) from damage
        return self.corrupted(image, self.digests[i])

    def corrupted(self, image: Image.Image, of_bytes: bytes) -> Image.Image:
        """A decoded image as the set has it. of_bytes: the digest of its encoded bytes, which seeds a corruption."""
        if self.shift is None:
            return image
        from ftcli.data.shifts.corruptions import corrupt  # loads much of scipy

        return corrupt(image, self.shift.name, self.shift.severity, of_bytes)

    def flipped(self) -> "ImageSet":
        """The set with class y as class K - 1 - y of `classes`, where the SPEC says so and it is not done yet."""
        if not self.flip or not self.labelled:
            return self
        return replace(self, labels=len(self.classes) - 1 - self.labels, flip=False, relabelled=True)

    def select(self, indices: Sequence[int] | np.ndarray) -> "ImageSet":
        """The examples at `indices`, in that order."""
        indices = np.asarray(indices, dtype=np.int64)
        return replace(
            self,
            rows=self.rows[indices],
            labels=self.labels[indices],
            groups=None if self.groups is None else self.groups[indices],
            ids=[self.ids[i] for i in indices],
            lines=None if self.lines is None else self.lines[indices],
            digests=[self.digests[i] for i in indices] if self.digests else [],
            pixel_digests=[self.pixel_digests[i] for i in indices] if self.pixel_digests else [],
        )

    def reading(self, cache: Cache | None, held: dict[int, Content]) -> Reading:
        """What is to be read of the set; see there."""
        return Reading(self.column, self.rows, self.ids, self.spec, self.unit, cache, held=held)

    def inspected(self, reading: Reading, results: Sequence[Result], *, damaged: str, log: Log) -> "ImageSet":
        """The set once its images have been read, each known by its digest; damaged ones left out and counted.

        Args:
            damaged: what to do about a damaged image, "stop" or "skip".

        Raises:
            RequestError: images are damaged and `damaged` is "stop", or all are.
        """
        whole, images = conclude(reading, results, damaged, log)
        if not images:
            raise RequestError(f"{self.spec} has no images that can be decoded", "check its settings")
        return replace(
            self if whole.all() else self.select(np.flatnonzero(whole)),
            digests=[image.digest for image in images],
            pixel_digests=[image.pixel_digest for image in images],
            damaged=int(np.count_nonzero(~whole)),
        )

    @cached_property
    def identities(self) -> tuple[bytes | str, ...]:
        """All that the images depend on, for a key: the digest of each in order, and the shift where there is one."""
        digests = b"".join(self.digests)
        if self.shift is None:
            return (digests,)
        from ftcli.data.shifts.corruptions import made_by  # loads much of scipy

        return (digests, f"shift {self.shift} {made_by()}")

    @cached_property
    def fingerprint(self) -> str:
        """sha256 in hex over (digest, label name) of the examples in order: the same for permuted class indices.

        A shift and a shuffle by their settings come first.
        """
        names = [name.encode() + b"\0" for name in self.classes]
        sha256 = hashlib.sha256()
        for name, change in (("shift", self.shift), ("shuffle", self.shuffle)):
            sha256.update(f"{name}={change}\0".encode() if change else b"")
        for image, label in zip(self.digests, self.labels.tolist(), strict=True):
            sha256.update(image)
            sha256.update(names[label] if names else b"\0")
        return sha256.hexdigest()
