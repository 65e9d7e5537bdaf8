"""Image folders whose images are described in a table among them, metadata.csv, .jsonl or .parquet."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from ftcli.arrow import number_array, text_array
from ftcli.data.classes.labels import in_order
from ftcli.data.columns.choose import LABEL_NAMES
from ftcli.data.columns.values import plain
from ftcli.data.rows import ClassFeature, ImageFeature, Rows, Splits
from ftcli.data.sources.image_files import contents_of
from ftcli.data.sources.layout import splits_in
from ftcli.data.sources.tables.tables import read_table
from ftcli.data.specs.spec import Spec
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.safe_text import counted, listed, quoted

NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
FILE_NAME = "file_name"  # the column that names an image by its path from the table's folder
LABEL = "label"


def open_metadata_folder(root: Path, spec: Spec, log: Log, *, labelled: bool) -> Splits | None:
    """The splits of a folder with a table of its images in it, or in each of its splits; None where there is none.

    Raises:
        RequestError: a folder has several such tables, or only some of the splits have one.
    """
    own = _table_in(str(root))
    if own is None and not any(_has_table(entry.path) for entry in os.scandir(root) if entry.is_dir()):
        return None
    splits = splits_in(str(root), log)
    tables = {name: _table_in(folder) or own for name, folder in splits.items()} if splits else {"train": own}
    with_names = {name: table for name, table in tables.items() if table and _names_files(table, log)}
    if not with_names:
        return None
    if without := [name for name in tables if name not in with_names]:
        raise RequestError(
            f"{quoted(str(root))} has a table of images for {listed(list(with_names))}, and none for {listed(without)}",
            f"write {NAMES[0]} for each, with a column {FILE_NAME}",
        )
    folders = splits or {"train": str(root)}
    return {
        name: partial(_read, str(root), folders[name], table, spec, log, labelled=labelled)
        for name, table in with_names.items()
    }


def _has_table(folder: str) -> bool:
    return any(os.path.isfile(os.path.join(folder, name)) for name in NAMES)


def _table_in(folder: str) -> str | None:
    found = [path for name in NAMES if os.path.isfile(path := os.path.join(folder, name))]
    if len(found) > 1:
        raise RequestError(
            f"{quoted(folder)} has {listed([os.path.basename(path) for path in found])}: which of them describes its "
            "images?",
            "leave one of them, or name it as the data set",
        )
    return found[0] if found else None


def _names_files(table: str, log: Log) -> bool:
    """Whether a table has the column that names images; a warning says where it has not."""
    columns = read_table(table)[0].column_names
    if FILE_NAME in columns:
        return True
    log.warn(
        "table-left-out",
        f"{quoted(table)} has no column {FILE_NAME} and is not read; to read it, name it as the data set, with "
        f"image=COLUMN; columns: {listed(columns, 12)}",
    )
    return False


def _read(root: str, folder: str, table_file: str, spec: Spec, log: Log, *, labelled: bool) -> Rows:
    """The rows of one split, whose paths and ids start at the root of the set."""
    table, features, lines = read_table(table_file)
    names, above = _file_names(table, table_file), os.path.relpath(os.path.dirname(table_file), root)
    prefix = "" if above == "." else f"{above}/"
    paths = [name if name.startswith("/") else prefix + name for name in names]
    inside = "" if folder == root else os.path.relpath(folder, root) + "/"
    if inside and not prefix:  # the table of the root describes all splits
        index = np.array(
            [i for i, path in enumerate(paths) if os.path.normpath(path).startswith(inside)], dtype=np.int64
        )
        table, paths = table.take(number_array(index)), [paths[i] for i in index]
        lines = None if lines is None else lines[index]
    if not paths:
        raise RequestError(f"{quoted(table_file)} names no image of {quoted(folder)}", "add its images to the table")
    place = table.column_names.index(FILE_NAME)
    table = table.set_column(place, FILE_NAME, text_array(paths))
    rows = Rows(table, features | {FILE_NAME: ImageFeature()}, paths, (Path(root),), unit="file", lines=lines)
    _warn_unlisted(root, folder, paths, log)
    has_label = spec.label is not None or any(name in table.column_names for name in LABEL_NAMES)
    if not labelled or has_label or any(isinstance(feature, ClassFeature) for feature in features.values()):
        return rows
    return _with_folders(rows, [path.removeprefix(inside) for path in paths])


def _file_names(table: pa.Table, file: str) -> list[str]:
    """The paths as they stand in the table."""
    column = plain(table.column(FILE_NAME))
    if pa.types.is_integer(column.type):  # in CSV a name may be a number
        column = column.cast(pa.string())
    names = column.to_pylist()
    if not all(isinstance(name, str) for name in names if name is not None):
        raise RequestError(f"the column {FILE_NAME} of {quoted(file)} holds {column.type}, not paths", "write paths")
    return [name or "" for name in names]


def _warn_unlisted(root: str, folder: str, paths: list[str], log: Log) -> None:
    """Warn of images that the table does not name."""
    listed_here = {os.path.normpath(os.path.join(root, path)) for path in paths}
    images = map(os.path.normpath, contents_of(folder).images)
    if unlisted := [image for image in images if image not in listed_here]:
        log.warn(
            "files-left-out",
            f"{counted(len(unlisted), 'image', 'images')} of {quoted(folder)} that its table does not name, left out: "
            + listed([os.path.relpath(image, folder) for image in unlisted], 3),
        )


def _with_folders(rows: Rows, paths: list[str]) -> Rows:
    """The rows with the uppermost folder of each path as its class, where every path has one."""
    folders = [os.path.normpath(path).split("/")[0] if "/" in os.path.normpath(path) else "" for path in paths]
    if not all(folders) or ".." in folders:
        return rows
    classes = in_order(sorted(set(folders)))
    index = {name: i for i, name in enumerate(classes)}
    column = number_array(np.array([index[name] for name in folders], dtype=np.int64))
    return replace(
        rows,
        table=rows.table.append_column(LABEL, column),
        features=rows.features | {LABEL: ClassFeature(tuple(classes))},
    )
