"""ImageSet: one opened set, columns in memory and pixels on demand; every picture is decoded once on opening."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from PIL import Image

from ftcli.data.pixels import DamagedPicture, Pictures, decode, digest
from ftcli.errors import RequestError, RunError
from ftcli.log import Log

BLOCK = 64  # pictures a thread checks at a time


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
    digests: list[bytes]  # [N], sha256 of each example's encoded bytes
    dropped: int = 0  # rows left out because their class has no counterpart
    damaged: int = 0  # rows left out because their picture cannot be decoded

    def __len__(self) -> int:
        return len(self.rows)

    def image(self, i: int) -> Image.Image:
        """Picture of example i, 8-bit RGB.

        Raises:
            RunError: a picture that was whole when the set was opened is not any more.
        """
        try:
            return decode(self.pictures.content(int(self.rows[i])))
        except DamagedPicture as damage:
            raise RunError(
                f'the picture "{self.ids[i]}" of {self.spec} could be read at the start and now cannot: {damage}',
                "leave the data in place while a command runs",
            ) from damage

    def select(self, indices: Sequence[int] | np.ndarray) -> "ImageSet":
        """The examples at `indices`, in that order."""
        indices = np.asarray(indices, dtype=np.int64)
        return replace(
            self,
            rows=self.rows[indices],
            labels=None if self.labels is None else self.labels[indices],
            groups=None if self.groups is None else self.groups[indices],
            ids=[self.ids[i] for i in indices],
            digests=[self.digests[i] for i in indices],
        )

    @cached_property
    def fingerprint(self) -> str:
        """sha256 in hex over (digest, label name) of the examples in order: the same for permuted class indices."""
        names = [name.encode() + b"\0" for name in self.classes]
        whole = hashlib.sha256()
        for i, picture in enumerate(self.digests):
            whole.update(picture)
            whole.update(b"\0" if self.labels is None else names[self.labels[i]])
        return whole.hexdigest()


def inspect(
    pictures: Pictures, rows: np.ndarray, ids: list[str], *, spec: str, unit: str, damaged: str, log: Log
) -> tuple[np.ndarray, list[bytes]]:
    """Read and decode every picture once, on all cores, so that a damaged one is found before any training.

    Args:
        rows: int64 [N], rows of `pictures` to look at; ids: [N].
        damaged: "stop" or "skip".

    Returns:
        bool [N], which pictures are whole, and the digests of the whole ones in order.

    Raises:
        RequestError: a damaged picture and `damaged` is "stop".
    """
    whole = np.ones(len(rows), dtype=bool)
    digests: list[bytes] = []
    faults: list[str] = []
    looked = log.track(_look(pictures, rows), f"reading {spec}", len(rows))
    for i, found in enumerate(looked):
        if isinstance(found, bytes):
            digests.append(found)
            continue
        whole[i] = False
        faults.append(f'{unit} "{ids[i]}": {found}')
        if damaged == "stop":
            raise RequestError(
                f"a damaged image in {spec}: {faults[0]}",
                "repair or remove it, or leave out and count damaged images with --damaged skip",
            )
    if faults:
        some = "; ".join(faults[:3]) + ("; …" if len(faults) > 3 else "")
        log.warn("damaged-skipped", f"{len(faults)} of {len(rows)} images of {spec} are damaged, left out: {some}")
    return whole, digests


def _look(pictures: Pictures, rows: np.ndarray) -> Iterator[bytes | DamagedPicture]:
    """Digest or damage of every row, in order. Threads help because PIL and hashlib let go of the interpreter."""
    Image.init()  # all formats registered before threads ask for them
    blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
    pool = ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1))
    try:
        for found in pool.map(lambda block: [_look_at(pictures, int(row)) for row in block], blocks):
            yield from found
    finally:  # after a damaged picture nobody waits for the rest
        pool.shutdown(wait=True, cancel_futures=True)


def _look_at(pictures: Pictures, row: int) -> bytes | DamagedPicture:
    try:
        content = pictures.content(row)
        decode(content)
        return digest(content)
    except DamagedPicture as damage:
        return damage
