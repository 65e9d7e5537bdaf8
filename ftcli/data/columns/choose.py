"""Which columns of a set hold the images and the labels."""

from functools import partial
from typing import Any

import pyarrow as pa

from ftcli.data.columns.paths import check_inside
from ftcli.data.columns.template import composed_paths, is_template
from ftcli.data.columns.values import check_column, listed_columns, plain
from ftcli.data.decoding.column import ImageColumn, can_hold_images, is_text
from ftcli.data.rows import ClassFeature, ImageFeature, Rows
from ftcli.data.specs.spec import Spec
from ftcli.errors import RequestError
from ftcli.limits import MAX_SUGGESTED_FROM
from ftcli.safe_text import quoted, shortened

IMAGE_NAMES = ("image", "img", "picture")
PATH_NAMES = (
    *("file_name", "filename", "file", "file_path", "filepath", "path"),
    *("image_file", "image_path", "img_file", "img_filename", "img_path"),
)  # of columns of paths; two of them are one too many
LABEL_NAMES = ("label", "labels", "fine_label", "class", "target")


def image_column(rows: Rows, spec: Spec) -> pa.ChunkedArray:
    """The column that the SPEC names or describes by a template, else the only Image column, else one of a usual name.

    Raises:
        RequestError: there is no such column, it holds no images, or one of its paths leads out of the data's folder.
    """
    if is_template(spec.image, rows):
        name, column = str(spec.image), composed_paths(rows, spec)
    else:
        name = _choose(rows, spec, "image", spec.image, ImageFeature, IMAGE_NAMES, _path_names(rows))
        column = plain(rows.table.column(name))
    if not can_hold_images(column.type) and rows.open_images is None:
        raise _no_images(rows, spec, name, column, "")
    images = (rows.open_images or partial(ImageColumn, folders=rows.folders))(column)
    check_inside(images, rows, name, spec.text)
    if isinstance(images, ImageColumn) and is_text(column.type):
        paths = [text for text in column.slice(0, MAX_SUGGESTED_FROM).to_pylist() if text]
        if not any(map(images.leads_to_file, paths)):
            why = f": there is no file {quoted(next(iter(paths), ''))} below the folder of the table"
            raise _no_images(rows, spec, name, column, why)
    return column


def _no_images(rows: Rows, spec: Spec, name: str, column: pa.ChunkedArray, why: str) -> RequestError:
    return RequestError(
        f"the column {quoted(name)} of {spec.text} holds {shortened(str(column.type), 80)}, not images{why}",
        ("mend the path, name the folder of the images with root=DIR, or " * bool(why))
        + f"type the image column as {spec.with_column('image')}; columns: {listed_columns(rows)}",
    )


def _path_names(rows: Rows) -> tuple[str, ...]:
    """The usual names of columns of paths, as far as they are columns of text here."""
    return tuple(
        name for name in PATH_NAMES if name in rows.table.column_names and is_text(plain(rows.table.column(name)).type)
    )


def label_column(rows: Rows, spec: Spec) -> str:
    """The column that the SPEC names, else the only ClassLabel column, else one of a usual name."""
    return _choose(rows, spec, "label", spec.label, ClassFeature, LABEL_NAMES)


def _choose(
    rows: Rows, spec: Spec, setting: str, typed: str | None, feature: type[Any], usual: tuple[str, ...],
    others: tuple[str, ...] = (),
) -> str:  # fmt: skip
    """The column that is typed, else the only one of the feature, else the first of the usual names, else the only one
    of the others.
    """
    if typed is not None:
        check_column(rows, spec, setting, typed)
        return typed
    declared = [name for name in rows.table.column_names if isinstance(rows.features.get(name), feature)]
    if len(declared) == 1:
        return declared[0]
    for name in usual:
        if name in rows.table.column_names:
            return name
    if len(others) == 1:
        return others[0]
    count = "more than one" if declared or others else "no"
    raise RequestError(
        f"{spec.text}: {count} {setting} column; columns: {listed_columns(rows)}",
        f"type {spec.with_column(setting)}",
    )
