"""ImageSet: one set, columns in memory and pixels on demand; every picture is decoded once before it is used."""

import hashlib
import inspect as code
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
import PIL
from PIL import Image

from ftcli import checksums
from ftcli.cache import Cache, key
from ftcli.checksums import FORM, length
from ftcli.data import pixels
from ftcli.data.orientation import is_turned
from ftcli.data.pixels import DamagedPicture, Pictures, decode_within, digest, pixel_digest
from ftcli.data.shift import Shift, Shuffle
from ftcli.errors import RequestError, RunError
from ftcli.log import Log
from ftcli.text import counted, quoted

BLOCK = 64  # pictures a thread checks at a time
THREADS = min(16, os.cpu_count() or 1)

MOST_NAMED = 10  # damaged pictures in a message

Item = TypeVar("Item")
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
        from ftcli.data.corruptions import corrupt  # loads much of scipy

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
        from ftcli.data.corruptions import made_by  # loads much of scipy

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


def in_order(work: Callable[[Item], Result], items: Iterable[Item], *, threads: int, ahead: int) -> Iterator[Result]:
    """`work` of every item, in order, done by threads that are at most `ahead` items further than what was taken.

    Threads help because PIL, hashlib and torch let go of the interpreter. After an error nobody waits for the rest.
    """
    pool = ThreadPoolExecutor(max_workers=threads)
    begun: deque[Future[Result]] = deque()
    try:
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) > ahead:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


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
    file = checksums.find(cache, "checked", _checked(seen)) if len(seen) == len(read) else None
    if file is None:
        return []
    with file:
        looks = file.read(length(file))
    return [one._replace(pixels=looks[16 * i : 16 * (i + 1)]) for i, one in enumerate(seen)]


def _remember(seen: list[Seen], cache: Cache) -> None:
    """Let the cache know the pixels of pictures that could all be decoded."""
    looks = b"".join(one.pixels for one in seen)
    if file := checksums.add(cache, "checked", _checked(seen), lambda path: path.write_bytes(looks)):
        file.close()


def _checked(seen: list[Seen]) -> str:
    """Under which key the cache knows the pixels of pictures: by this Pillow and by our own code."""
    return key(FORM, "pixels", PIL.__version__, code.getsource(pixels), b"".join(one.digest for one in seen))
