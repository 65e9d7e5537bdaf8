"""ImageSet: one set, columns in memory and pixels on demand; every picture is decoded once before it is used."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from PIL import Image

from ftcli.cache import Cache
from ftcli.data.pictures.decode import DamagedPicture, Pictures, decode_within, digest
from ftcli.data.pictures.inspection import inspect
from ftcli.data.shifts.shift import Shift, Shuffle
from ftcli.errors import RequestError, RunError
from ftcli.log import Log

Result = TypeVar("Result")


@dataclass(frozen=True)
class ImageSet:
    """N examples of one data SPEC, with split, where, class map, limit and per-class already applied."""

    spec: str
    pictures: Pictures
    rows: np.ndarray  # int64 [N], rows of `pictures`
    labels: np.ndarray | None  # int64 [N], index into `classes`; None for a set without labels
    classes: tuple[str, ...]  # [K], in the set's own order
    named: bool  # False: plain integers without names, and `classes` is "0", "1", …
    positions: bool  # True: a map by position made `labels` positions in the task's classes
    groups: np.ndarray | None  # str [N]
    ids: list[str]  # [N], relative path for folders, row number for tables
    unit: str = "row"  # what a message calls an example, "row" or "file"
    digests: list[bytes] = field(default_factory=list)  # [N], sha256 of the encoded bytes; none until `inspected`
    pixel_digests: list[bytes] = field(default_factory=list)  # [N], of the decoded picture, in whatever format it lies
    dropped: int = 0  # rows left out because their class has no counterpart
    damaged: int = 0  # rows left out because their picture cannot be decoded
    flip: bool = False  # the labels are still to be flipped, in the order of the classes that count
    relabelled: bool = False  # they have been
    shift: Shift | None = None  # a corruption of every picture
    shuffle: Shuffle | None = None  # of a model's input; the pictures here are not shuffled

    def __len__(self) -> int:
        return len(self.rows)

    def image(self, i: int) -> Image.Image:
        """Picture of example i, 8-bit RGB, corrupted where the set has a shift.

        Raises:
            RunError: a picture that was whole when the set was opened is not any more, or is another one.
        """
        with ExitStack() as held:
            return self._decoded(i, held)

    def prepared(self, i: int, prepare: Callable[[Image.Image], Result]) -> Result:
        """`prepare` of picture i, by threads that never have too many large pictures in memory at once."""
        with ExitStack() as held:
            return prepare(self._decoded(i, held))

    def _decoded(self, i: int, held: ExitStack) -> Image.Image:
        """The picture; where it is large, its share of the memory is taken until `held` is closed."""
        stay = "leave the data in place while a command runs"
        try:
            content = self.pictures.content(int(self.rows[i]))
            if digest(content) != self.digests[i]:
                raise RunError(f'the picture "{self.ids[i]}" of {self.spec} has changed since the start', stay)
            whole = decode_within(content, held)
        except DamagedPicture as damage:
            raise RunError(
                f'the picture "{self.ids[i]}" of {self.spec} could be read at the start and now cannot: {damage}', stay
            ) from damage
        if self.shift is None:
            return whole
        from ftcli.data.shifts.corruptions import corrupt  # loads much of scipy

        return corrupt(whole, self.shift.name, self.shift.severity, self.digests[i])

    def flipped(self) -> "ImageSet":
        """The set with class y as class K - 1 - y of `classes`, where that is asked for and not done yet."""
        if not self.flip or self.labels is None:
            return self
        return replace(self, labels=len(self.classes) - 1 - self.labels, flip=False, relabelled=True)

    def select(self, indices: Sequence[int] | np.ndarray) -> "ImageSet":
        """The examples at `indices`, in that order."""
        indices = np.asarray(indices, dtype=np.int64)
        return replace(
            self,
            rows=self.rows[indices],
            labels=None if self.labels is None else self.labels[indices],
            groups=None if self.groups is None else self.groups[indices],
            ids=[self.ids[i] for i in indices],
            digests=[self.digests[i] for i in indices] if self.digests else [],
            pixel_digests=[self.pixel_digests[i] for i in indices] if self.pixel_digests else [],
        )

    def inspected(self, *, damaged: str, log: Log, cache: Cache | None = None) -> "ImageSet":
        """The set with every picture read, decoded once and known by its digest; damaged ones left out and counted.

        Args:
            damaged: what to do about a damaged picture, "stop" or "skip".
            cache: knows pictures that could be decoded before, which are then not decoded here.

        Raises:
            RequestError: pictures are damaged and `damaged` is "stop", or all are.
        """
        whole, seen = inspect(
            self.pictures, self.rows, self.ids, spec=self.spec, unit=self.unit, damaged=damaged, log=log, cache=cache
        )
        if not seen:
            raise RequestError(f"{self.spec} has no images that can be decoded", "check its settings")
        left = self if whole.all() else self.select(np.flatnonzero(whole))
        digests, looks = [one.digest for one in seen], [one.pixels for one in seen]
        return replace(left, digests=digests, pixel_digests=looks, damaged=int(np.count_nonzero(~whole)))

    @cached_property
    def identities(self) -> tuple[bytes | str, ...]:
        """All that the pictures depend on, for a key: the digest of each in order, and the shift where there is one."""
        whole = b"".join(self.digests)
        if self.shift is None:
            return (whole,)
        from ftcli.data.shifts.corruptions import made_by  # loads much of scipy

        return (whole, f"shift {self.shift} {made_by()}")

    @cached_property
    def fingerprint(self) -> str:
        """sha256 in hex over (digest, label name) of the examples in order: the same for permuted class indices.

        A shift and a shuffle by their settings come first.
        """
        names = [name.encode() + b"\0" for name in self.classes]
        whole = hashlib.sha256()
        for name, change in (("shift", self.shift), ("shuffle", self.shuffle)):
            whole.update(f"{name}={change}\0".encode() if change else b"")
        for i, picture in enumerate(self.digests):
            whole.update(picture)
            whole.update(b"\0" if self.labels is None else names[self.labels[i]])
        return whole.hexdigest()
