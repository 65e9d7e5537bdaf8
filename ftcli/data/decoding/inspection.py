"""Inspection: every image of a set is read once, and in that pass hashed, decoded, checked and handed to its uses.

The bytes are read in every run, but for those behind URLs that served.py knows. Images of which an earlier run has
noted that they could be decoded, and that have the very bytes of then, are not decoded again, unless something is to
be made of them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import PIL
from PIL import Image

from ftcli.cache.cache import Cache
from ftcli.data.decoding import known as known_images
from ftcli.data.decoding import served
from ftcli.data.decoding.column import Images
from ftcli.data.decoding.decode import IN_DECODING, Content, DamagedImage, decode, digest, pixel_digest
from ftcli.data.decoding.forked import Forks, available_cores, fork_context
from ftcli.data.decoding.known import RECOGNISED_BY, Known
from ftcli.data.decoding.orientation import is_turned
from ftcli.data.threads import REMOTE_THREADS, THREADS, map_in_order
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.processes import process_count
from ftcli.safe_text import counted, quoted

BLOCK = 64  # images a thread or process looks at, at a time; fewer where much is made of them:
BLOCK_BYTES = 2**22
REMOTE_BLOCK = 4  # images behind a URL that a thread asks for one after the other
HELD_BYTES = 2**26  # of the images by which sets are recognised, held until they are looked at
IMAGES_PER_PROCESS = 512  # for fewer, starting a process does not pay
MOST_PROCESSES = 64
MOST_NAMED = 10  # damaged images in a message


class Inspected(NamedTuple):
    """An image that was read."""

    digest: bytes  # sha256 of its encoded bytes
    turned: bool  # its EXIF orientation is other than upright
    pixel_digest: bytes = b""  # empty until it is decoded


Result = Inspected | DamagedImage


@dataclass(frozen=True)
class Use:
    """What is made of some images of a set while they are read, and who takes it."""

    name: bytes  # digest of all that determines what is made, but for the images
    rows: np.ndarray  # int64 [M], rows of the column
    make: Callable[[Image.Image, bytes], np.ndarray]  # of an image and its digest; maybe in another process
    take: Callable[[int, np.ndarray], None]  # of a row and what was made of it, by rising rows, in this process
    size: int | None  # bytes of what is made of an image, about; None: any


@dataclass
class Reading:
    """One set to be read, recognised by its first images where an earlier run has read it.

    rows: int64 [N], rows of the column; ids: [N]. held: by row, images of the column that are read already; the first
    of this set are added and not read again. known: what the earlier run noted. exif: as in a Spec.
    """

    column: Images
    rows: np.ndarray
    ids: Sequence[str]
    spec: str
    unit: str
    exif: Literal["apply", "ignore"] | None = None
    cache: Cache | None = None
    uses: Sequence[Use] = ()
    name: str = ""  # of its entry in the cache
    known: Known | None = None
    held: dict[int, Content] = field(default_factory=dict)
    served_name: str = ""  # of the entry by which it need not be read, where a server names versions
    seen: Sequence[Inspected] = ()  # of that entry

    def __post_init__(self) -> None:
        if self.cache is None or not len(self.rows):
            return
        if version := self.column.version():
            self.served_name = served.name_of(version, self.rows, PIL.__version__, upright=self.upright)
            self.seen = [Inspected(*each) for each in served.find(self.cache, self.served_name) or ()]
        rows = self.rows[:RECOGNISED_BY].tolist() if not self.seen else ()
        try:
            first = {row: self.held[row] if row in self.held else self.column.content(row) for row in rows}
        except DamagedImage:
            return
        digests = [digest(content) for content in first.values()] or [i.digest for i in self.seen[:RECOGNISED_BY]]
        self.name = known_images.name_of(digests, len(self.rows), PIL.__version__, upright=self.upright)
        self.known = known_images.find(self.cache, self.name, len(self.rows))
        if sum(map(_bytes_of, {**self.held, **first}.values())) <= HELD_BYTES:
            self.held |= first

    @property
    def upright(self) -> bool:
        """Whether its images are turned as their EXIF orientation says."""
        return self.exif == "apply"

    def note(self, images: Sequence[Inspected]) -> None:
        """Note for later runs what was found out, where it is new."""
        if self.cache is None or not self.name:
            return
        if self.served_name and not self.seen:
            served.add(self.cache, self.served_name, images)
        found = Known([image.digest for image in images], [image.pixel_digest for image in images])
        # As it is now: another set of the same images, seen otherwise, may have been noted in the meantime.
        before = known_images.find(self.cache, self.name, len(images)) if self.uses else self.known
        if before is not None and before.digests == found.digests:
            found = found._replace(uses=before.uses)
        found = found._replace(uses=found.uses | {use.name for use in self.uses})
        if found != before:
            known_images.add(self.cache, self.name, found)


def inspect(
    column: Images,
    rows: np.ndarray,
    ids: Sequence[str],
    *,
    spec: str,
    unit: str,
    damaged: str,
    log: Log,
    cache: Cache | None = None,
) -> tuple[np.ndarray, list[Inspected]]:
    """Read every image of a set, and decode it where its bytes are new; results as of `conclude`."""
    reading = Reading(column, rows, ids, spec, unit, cache=cache)
    return conclude(reading, read_images([reading], log)[0], damaged, log)


def conclude(reading: Reading, results: Sequence[Result], damaged: str, log: Log) -> tuple[np.ndarray, list[Inspected]]:
    """Warn of what is not as it should be in a set that was read, and note the rest for later runs.

    Args:
        damaged: "stop" or "skip".

    Returns:
        bool [N], which images are whole, and the results of the whole ones in order.

    Raises:
        RequestError: there are damaged images and `damaged` is "stop"; it names them, if they are not too many.
    """
    spec, n = reading.spec, len(results)
    whole = [result for result in results if isinstance(result, Inspected)]
    if len(whole) < n:
        _report_damaged(reading, results, damaged, log)
    else:
        reading.note(whole)
    turned = sum(image.turned for image in whole)
    counts = f"{turned:,} of {counted(n, 'image', 'images')} of {spec}"
    if turned and reading.exif is None:
        log.warn(
            "exif-orientation",
            f"{counts} have an EXIF orientation other than upright, which is not applied: they are used as stored. "
            "exif=apply after the SPEC uses them upright, and exif=ignore says that they are to stay so",
        )
    elif turned and reading.upright:
        log.note(f"{counts} are turned upright, as their EXIF orientation says")
    return np.array([isinstance(result, Inspected) for result in results], dtype=bool), whole


def _report_damaged(reading: Reading, results: Sequence[Result], damaged: str, log: Log) -> None:
    """Warn of the damaged images that are left out, or raise RequestError for them."""
    spec = reading.spec
    faults = [
        f"{reading.unit} {quoted(id)}: {result}"
        for id, result in zip(reading.ids, results, strict=True)
        if isinstance(result, DamagedImage)
    ]
    some = "; ".join(faults[:MOST_NAMED]) + (f"; and {len(faults) - MOST_NAMED:,} more" * (len(faults) > MOST_NAMED))
    if damaged == "stop":
        others = f", and {len(faults) - 1:,} more of {len(results):,}" if len(faults) > 1 else ""
        raise RequestError(
            f"a damaged image in {spec}{others}: {some}",
            "repair or remove what is damaged, or leave out and count damaged images with --damaged skip",
        )
    log.warn("damaged-skipped", f"{len(faults)} of {len(results)} images of {spec} are damaged, left out: {some}")


def read_images(readings: Sequence[Reading], log: Log) -> list[list[Result]]:
    """Read the images of sets that share one column and are turned alike, each once, on all cores; the results of each
    set, in its order.

    An image is decoded where nothing is known of it, where it has changed, and where it is used. Nothing is read of
    sets behind URLs whose versions are those of an earlier run, unless something is to be made of them.
    """
    if all(len(reading.seen) and not reading.uses for reading in readings):
        return [list(reading.seen) for reading in readings]
    rows = np.unique(np.concatenate([reading.rows for reading in readings]))
    look = _Look(readings, rows)
    uses = [use for reading in readings for use in reading.uses]
    spec = readings[0].spec + (f" and {len(readings) - 1} more" if len(readings) > 1 else "")
    label = f"{'decoding' if look.decodes.any() else 'reading'} {spec}"
    results: list[Result] = []
    for result, made in log.track(_looked_at(look, _block_size(uses), len(rows)), label, len(rows)):
        for number, pixels in made:
            uses[number].take(int(rows[len(results)]), pixels)
        results.append(result)
    return [[results[i] for i in np.searchsorted(rows, reading.rows).tolist()] for reading in readings]


Looked = tuple[Result, list[tuple[int, np.ndarray]]]  # an image, and what was made of it by number of the use


class _Look:
    """Looks at images by their position among the rows of all sets that are read together."""

    def __init__(self, readings: Sequence[Reading], rows: np.ndarray) -> None:
        self.column, self.rows, self.upright = readings[0].column, rows, readings[0].upright
        self.held = {row: content for reading in readings for row, content in reading.held.items()}
        self.expected: dict[int, tuple[bytes, bytes]] = {}  # by row: digest of the bytes and of the pixels
        self.decodes = np.zeros(len(rows), dtype=bool)
        self.makes = []
        for reading in readings:
            if reading.known is None:
                self.decodes |= np.isin(rows, reading.rows)
            else:
                pairs = zip(reading.known.digests, reading.known.pixel_digests, strict=True)
                self.expected |= zip(reading.rows.tolist(), pairs, strict=True)
            self.makes += [(np.isin(rows, use.rows), use.make) for use in reading.uses]
        for used, _ in self.makes:
            self.decodes |= used

    def __call__(self, positions: range) -> list[Looked]:
        looked: list[Looked] = []
        for position in positions:
            try:
                looked.append(self._image(position))
            except DamagedImage as damage:
                looked.append((damage, []))
        return looked

    def packed(self, positions: range) -> "list[Packed]":
        """What was found, to be sent to another process."""
        return [_packed(*looked) for looked in self(positions)]

    def _image(self, position: int) -> Looked:
        row = int(self.rows[position])
        content = self.held[row] if row in self.held else self.column.content(row)
        found = Inspected(digest(content), is_turned(content))
        digest_before, of_pixels = self.expected.get(row, (b"", b""))
        if found.digest == digest_before and not self.decodes[position]:
            return found._replace(pixel_digest=of_pixels), []
        with ExitStack() as memory:
            image = decode(content, memory, upright=self.upright)
            made = [(i, make(image, found.digest)) for i, (used, make) in enumerate(self.makes) if used[position]]
            return found._replace(pixel_digest=pixel_digest(image)), made


# What is wrong with an image, or the values of Inspected; of what was made: number of the use, shape, bytes.
Packed = tuple[str | tuple[bytes, bool, bytes], list[tuple[int, tuple[int, ...], bytes]]]


def _packed(result: Result, made: list[tuple[int, np.ndarray]]) -> Packed:
    found = str(result) if isinstance(result, DamagedImage) else (result.digest, result.turned, result.pixel_digest)
    return found, [(number, pixels.shape, pixels.tobytes()) for number, pixels in made]


def _unpacked(packed: Packed) -> Looked:
    found, made = packed
    result = DamagedImage(found) if isinstance(found, str) else Inspected(*found)
    return result, [(number, np.frombuffer(pixels, np.uint8).reshape(shape)) for number, shape, pixels in made]


def _bytes_of(content: Content) -> int:
    return content.nbytes if isinstance(content, np.ndarray) else len(content)


def _block_size(uses: Iterable[Use]) -> int:
    size = 0
    for use in uses:
        if use.size is None:
            return 1
        size += use.size
    return max(1, min(BLOCK, BLOCK_BYTES // max(size, 1)))


def _looked_at(look: _Look, size: int, n: int) -> Iterator[Looked]:
    """What is found and made of n images, in order: by processes where there are many, else by threads.

    Images behind a URL are waited for, which many threads can do at once; they share what was fetched for them.
    """
    Image.init()  # all formats registered before threads ask for them
    remote = look.column.remote
    size, threads = (min(size, REMOTE_BLOCK), REMOTE_THREADS) if remote else (size, THREADS)
    blocks = [range(start, min(start + size, n)) for start in range(0, n, size)]
    number, context = min(available_cores() // process_count(), MOST_PROCESSES, n // IMAGES_PER_PROCESS), fork_context()
    if context is not None and number > 1 and not remote:
        with ExitStack() as memory:
            try:
                memory.enter_context(IN_DECODING.shared(context))
                forks = memory.enter_context(Forks(look.packed, blocks, context, number))
            except OSError:  # no locks between processes here, or too many processes
                memory.close()
            else:
                for packed in forks.in_order(ahead=2 * number + 1):
                    yield from map(_unpacked, packed)
                return
    for block in map_in_order(look, blocks, threads=threads, ahead=2 * threads):
        yield from block
