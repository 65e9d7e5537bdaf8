"""What of a preset's data is there, counted against what is published. No image is read."""

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ftcli.data.classes.alignment import align
from ftcli.data.examples import examples_of
from ftcli.data.images import ImageSet
from ftcli.data.sources.source import open_source
from ftcli.data.specs.parse import parse
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.presets.placing import put_root
from ftcli.presets.sets import PresetSet, sets_of


@dataclass(frozen=True)
class Found:
    """A set as it is on the disk. n, classes, groups: None and empty where it cannot be opened."""

    expected: PresetSet
    spec: str
    n: int | None = None
    classes: int | None = None
    groups: dict[str, int] = field(default_factory=dict)
    problem: str = ""

    @property
    def right(self) -> bool:
        """Whether the set can be opened and has what is published of it."""
        wanted = self.expected
        return (
            not self.problem
            and (not wanted.n or self.n in wanted.n)
            and wanted.classes in (None, self.classes)
            and (not wanted.groups or wanted.groups == self.groups)
        )


def missing_files(content: dict[str, Any], root: str) -> list[dict[str, str]]:
    """The entries among a preset's files that are not below a folder."""
    return [file for file in content.get("files", []) if not os.path.exists(os.path.join(root, file["path"]))]


def count_sets(content: dict[str, Any], root: str, log: Log) -> list[Found]:
    """Open every set of a preset's content and count it, its classes those of the training set."""
    trained: dict[str, ImageSet] = {}  # the training set by the command that has its own
    counted = []
    for expected in sets_of(content):
        spec = put_root(expected.spec, root)
        try:
            images = examples_of(open_source(parse(spec), log), log)
            if expected.role == "train":
                trained[expected.command] = images
            elif (train := trained.get(expected.command) or trained.get("")) is not None:
                images = align(images, train.classes, train.named, expected.name, log)
        except RequestError as error:
            counted.append(Found(expected, spec, problem=f"{error.problem}; {error.fix}"))
            continue
        classes = len(set(images.labels.tolist()))
        groups = {} if images.groups is None else dict(sorted(Counter(images.groups.tolist()).items()))
        counted.append(Found(expected, spec, len(images), classes, groups))
    return counted
