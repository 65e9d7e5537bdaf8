"""Samples of shards, as WebDataset groups them: members of one name but for its ending are one sample.

The name of a sample is the path of its members up to the first dot of the file name; what follows is the ending.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from ftcli.data.sources.image_files import image_endings, listed_endings
from ftcli.data.sources.shards.archive import Archive, Member, shown
from ftcli.data.sources.shards.member_images import header_checksum, image_places
from ftcli.data.sources.shards.values import CLS, READERS, column_of
from ftcli.errors import RequestError
from ftcli.limits import MAX_JSON_COLUMNS, MAX_SHARD_MEMBERS, MAX_SHARD_TEXT_BYTES
from ftcli.safe_text import listed, quoted, reason

IMAGE, LABEL = "image", "cls"  # columns; a key of .json with one of these names becomes "json.…"
TEXT = ".txt"  # a caption, which nothing here uses


@dataclass(slots=True)
class Sample:
    """The members of one name in one shard, as far as they are used."""

    image: tuple[int, int, int] | None = None  # first byte in the shard, number of bytes, checksum of the header
    label: int | str | None = None
    values: dict[str, Any] | None = None
    endings: dict[str, None] = field(default_factory=dict)  # of all members, in order


@dataclass
class Samples:
    """The samples of all shards of a split, in the order of the shards and of the first member of each."""

    ids: list[str] = field(default_factory=list)
    places: list[tuple[int, int, int, int]] = field(default_factory=list)  # as in `PLACE`
    labels: list[int | str | None] = field(default_factory=list)
    values: list[dict[str, Any]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)  # members that are not used, by their endings
    _members: int = 0
    _bytes: int = 0
    _keys: set[str] = field(default_factory=set)

    def add(self, number: int, path: str, name: str) -> None:
        """Add the samples of a shard. number: among the shards; name: what the ids of its samples begin with.

        Raises:
            RequestError: the archive, a label or an object in it cannot be read, a sample has no image or two, or two
                members have one name.
        """
        archive = Archive(path)
        samples: dict[bytes, Sample] = {}
        for member in archive:
            self._members += 1
            key, ending = split_name(member.name)
            if not ending:
                self.left_out[""] += 1
                continue
            if (sample := samples.get(key)) is None:
                sample = samples[key] = Sample()
            if ending in sample.endings:
                raise RequestError(f"{quoted(path)} holds {quoted(shown(member.name))} twice", "leave one of them out")
            sample.endings[ending] = None
            self._take(archive, member, ending, sample)
            if self._members > MAX_SHARD_MEMBERS or self._bytes > MAX_SHARD_TEXT_BYTES:
                raise RequestError(
                    f"the shards to {quoted(path)} have more than {MAX_SHARD_MEMBERS:,} members, or more than "
                    f"{MAX_SHARD_TEXT_BYTES:,} bytes of labels and values",
                    "name fewer of them",
                )
        for key, sample in samples.items():
            self._append(number, path, f"{name}/{shown(key)}", sample)

    def _take(self, archive: Archive, member: Member, ending: str, sample: Sample) -> None:
        """Take a member into its sample, and read it where it is a label or an object of values."""
        if ending in image_endings():
            if sample.image is not None:
                raise RequestError(
                    f"the sample {quoted(shown(split_name(member.name)[0]))} in {quoted(archive.path)} has two images, "
                    f"one of them {ending}",
                    "write one image for each sample",
                )
            sample.image = member.start, member.size, header_checksum(member.header)
        elif ending in READERS:
            reader = READERS[ending]
            try:
                if member.size > reader.most_bytes:
                    raise ValueError(f"it has {member.size:,} bytes, and at most {reader.most_bytes:,} are read")
                found = reader.read(archive.read(member.start, member.start + member.size))
            except ValueError as error:
                raise RequestError(
                    f"{quoted(shown(member.name))} in {quoted(archive.path)} cannot be read: {reason(error)}",
                    f"write {reader.holds} into it",
                ) from error
            if ending == CLS:
                sample.label = found
            else:
                sample.values = found
            self._bytes += member.size
        elif ending != TEXT:
            self.left_out[ending] += 1

    def _append(self, number: int, path: str, id: str, sample: Sample) -> None:
        """Add a sample with an image. One without image, label and values is no sample, and is left out."""
        if sample.image is None:
            if sample.label is None and sample.values is None:
                self.left_out.update([TEXT] if TEXT in sample.endings else [])
                return
            raise RequestError(
                f"the sample {quoted(id)} has no image, but {listed(list(sample.endings))}",
                "write each image beside its label, under one name, as 000.jpg and 000.cls",
            )
        image, values = sample.image, sample.values or {}
        self._keys.update(values)
        if len(self._keys) > MAX_JSON_COLUMNS:
            raise RequestError(
                f"the .json members to {quoted(path)} have more than {MAX_JSON_COLUMNS:,} keys", "write fewer keys"
            )
        self.ids.append(id)
        self.places.append((number, *image))
        self.labels.append(sample.label)
        self.values.append(values)

    def table(self, what: str) -> pa.Table:
        """The columns of the samples: image, cls where there are labels, and one for each key of the .json members.

        Raises:
            RequestError: there are none, or some labels are numbers and others names; `what` are the shards, in words.
        """
        if not self.ids:
            found = f": {listed_endings(self.left_out)}" if self.left_out else ", and no members"
            raise RequestError(
                f"{what} holds no images{found}",
                "write each image with its label as two members of one name, as 000.jpg and 000.cls; or unpack an "
                "archive of other files and name the folder",
            )
        types = np.dtype([("shard", np.int32), ("start", np.int64), ("size", np.int64), ("header", np.uint64)])
        places = np.array(self.places, types)
        columns = {IMAGE: image_places(*(places[name] for name in types.names or ()))}
        if any(label is not None for label in self.labels):
            self._check_labels()
            columns[LABEL] = column_of(self.labels)
        for key in dict.fromkeys(key for values in self.values for key in values):
            column = column_of([values.get(key) for values in self.values])
            name = f"json.{key}" if key in (IMAGE, LABEL) else key
            columns[name if name not in columns else f"json.{name}"] = column
        return pa.table(columns)

    def _check_labels(self) -> None:
        """Raises RequestError where some labels are numbers and others names."""
        first: dict[type, int] = {}
        for i, label in enumerate(self.labels):
            if label is not None:
                first.setdefault(type(label), i)
        if len(first) > 1:
            number, name = first[int], first[str]
            raise RequestError(
                f"the label of sample {quoted(self.ids[number])} is the number {self.labels[number]}, and that of "
                f"{quoted(self.ids[name])} the name {quoted(str(self.labels[name]))}",
                "write numbers or names into all .cls members",
            )


def split_name(name: bytes) -> tuple[bytes, str]:
    """The name of a sample, and the ending in lower case with its dot, of a member "a/b.c.d": "a/b" and ".c.d".

    No ending where the file name has no dot, or begins with one, as those of hidden files do.
    """
    folder, slash, file = name.rpartition(b"/")
    stem, _, ending = file.partition(b".")
    if not stem or not ending:
        return name, ""
    return folder + slash + stem, "." + shown(ending).lower()
