"""Rows: what every kind of source becomes, an Arrow table with the meaning of its columns and an id per row."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from ftcli.arrow import number_array, text_array
from ftcli.data.decoding.column import Images
from ftcli.data.row_ids import RowNumbers
from ftcli.errors import RequestError
from ftcli.safe_text import quoted

# How sets name their splits, and the role each split has in a run; "eval" is a test set to `datasets` too.
SPLIT_ROLES = {
    "train": "train",
    "training": "train",
    "validation": "id_val",
    "valid": "id_val",
    "val": "id_val",
    "dev": "id_val",
    "test": "id_test",
    "testing": "id_test",
    "eval": "id_test",
    "evaluation": "id_test",
}


@dataclass(frozen=True)
class ImageFeature:
    """The meaning of a column of images."""


@dataclass(frozen=True)
class ClassFeature:
    """The meaning of a column of class numbers: the names of the classes, none where they have no names."""

    names: tuple[str, ...]


Features = dict[str, ClassFeature | ImageFeature]
OpenImages = Callable[[pa.ChunkedArray], Images]


@dataclass(frozen=True)
class Rows:
    """N rows of one split.

    The ids are stable whatever is selected later.
    """

    table: pa.Table
    features: Features  # of the columns known to hold classes or images
    ids: Sequence[str]
    folders: tuple[str | Path, ...] | None = None  # where the files lie that a table names; None: from a folder's walk
    unit: str = "row"  # what a message calls one row, "file" or "row"
    open_images: OpenImages | None = None  # how its column of images is read; None: as an ImageColumn of the folders
    lines: np.ndarray | None = None  # int [N], the line of each row in a file of text

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def slice(self, start: int, stop: int) -> "Rows":
        """Rows start … stop - 1, without copying an image."""
        stop = max(start, stop)
        if (start, stop) == (0, len(self)):
            return self
        lines = None if self.lines is None else self.lines[start:stop]
        return replace(self, table=self.table.slice(start, stop - start), ids=self.ids[start:stop], lines=lines)

    def place(self, row: int) -> str:
        """A row as a message names it."""
        return place(self.unit, self.ids[row], None if self.lines is None else int(self.lines[row]))


def place(unit: str, id: str, line: int | None) -> str:
    """A row as a message names it: row "3" (line 5)."""
    return f"{unit} {quoted(id)}" + ("" if line is None else f" (line {line:,})")


Splits = Mapping[str, Callable[[], Rows]]  # the splits of a source by name, each read when it is called


def numbered(
    table: pa.Table, features: Features, folders: tuple[str | Path, ...] = (), lines: np.ndarray | None = None
) -> Rows:
    """Rows of a table, whose ids are the row numbers."""
    return Rows(table, features, RowNumbers(np.arange(table.num_rows, dtype=np.int32)), folders, lines=lines)


def file_rows(
    paths: Sequence[str], root: str | Path, labels: Sequence[int] | None = None, names: Sequence[str] = ()
) -> Rows:
    """Rows of image files, whose ids are their paths below `root`; with the labels, and the names of the classes."""
    try:
        files = text_array(paths)
    except UnicodeEncodeError:  # a name need not be text
        files = pa.array([os.fsencode(path) for path in paths], pa.large_binary())
    image = pa.StructArray.from_arrays([pa.nulls(len(paths), pa.binary()), files], names=["bytes", "path"])
    columns = {"image": image} | ({} if labels is None else {"label": number_array(np.asarray(labels, dtype=np.int64))})
    beginning = os.path.join(root, "")
    ids = [as_text(_plain_path(path.removeprefix(beginning))) for path in paths]
    return Rows(pa.table(columns), {"image": ImageFeature(), **label_feature(names)}, ids, unit="file")


def _plain_path(path: str) -> str:
    """A path as pathlib writes it, which is slow where nothing is to be done."""
    return Path(path).as_posix() if os.sep != "/" or "//" in path or "./" in path else path


def label_feature(names: Sequence[str]) -> Features:
    """What the column "label" means: the classes by name, or nothing where they are only numbers."""
    return {"label": ClassFeature(tuple(names))} if names else {}


def as_text(name: str) -> str:
    """The name of a file as text: bytes that are no UTF-8 are written as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def joined(slices: Sequence[tuple[str, Rows]]) -> Rows:
    """Several (split, rows) as one; row numbers are made unique by the split's name."""
    if len(slices) == 1:
        return slices[0][1]
    first = slices[0][1]
    ids = [id if rows.unit == "file" else f"{split}:{id}" for split, rows in slices for id in rows.ids]
    table = stacked([(split, rows.table, rows.features) for split, rows in slices])
    of_slices = [rows.lines for _, rows in slices if rows.lines is not None]
    lines = np.concatenate(of_slices) if len(of_slices) == len(slices) else None
    return replace(first, table=table, ids=ids, lines=lines)


def stacked(tables: Sequence[tuple[str, pa.Table, Features]]) -> pa.Table:
    """Tables of (name, table, features) one under the other.

    Raises:
        RequestError: their columns or classes differ. Class numbers that mean different classes must not be mixed.
    """
    name, first, features = tables[0]
    for other, table, of_other in tables[1:]:
        if of_other != features or not table.schema.equals(first.schema):
            raise RequestError(f"{name} and {other} have different columns or classes", "name one of them alone")
    return pa.concat_tables([table for _, table, _ in tables])
