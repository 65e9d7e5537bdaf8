"""Which columns of a set hold the images and the labels."""

from typing import Any

import pyarrow as pa

from ftcli.data.columns.values import check_column, listed_columns, plain
from ftcli.data.decoding.column import ImageColumn, can_hold_images, is_text
from ftcli.data.rows import ClassFeature, ImageFeature, Rows
from ftcli.data.specs.spec import Spec
from ftcli.errors import RequestError
from ftcli.limits import MAX_SUGGESTED_FROM
from ftcli.safe_text import quoted, shortened

IMAGE_NAMES = ("image", "img", "picture")
LABEL_NAMES = ("label", "labels", "fine_label", "class", "target")


def image_column(rows: Rows, spec: Spec) -> pa.ChunkedArray:
    """The column that the SPEC names, else the only Image column, else one of a usual name."""
    name = _choose(rows, spec, "image", spec.image, ImageFeature, IMAGE_NAMES)
    column = plain(rows.table.column(name))
    if rows.open_images is not None:
        return column
    missing = _missing_file(column, rows) if is_text(column.type) else None
    if missing is not None or not can_hold_images(column.type):
        why = "" if missing is None else f": there is no file {quoted(missing)} below the folder of the table"
        raise RequestError(
            f"the column {quoted(name)} of {spec.text} holds {shortened(str(column.type), 80)}, not images{why}",
            ("mend the path, or " * (missing is not None))
            + f"type the image column as {spec.with_column('image')}; columns: {listed_columns(rows)}",
        )
    return column


def _missing_file(column: pa.ChunkedArray, rows: Rows) -> str | None:
    """The first text of a column none of whose first texts is the path of a file; None where one is."""
    paths = [text for text in column.slice(0, MAX_SUGGESTED_FROM).to_pylist() if text]
    images = ImageColumn(column, rows.folders)
    return None if any(map(images.leads_to_file, paths)) else next(iter(paths), "")


def label_column(rows: Rows, spec: Spec) -> str:
    """The column that the SPEC names, else the only ClassLabel column, else one of a usual name."""
    return _choose(rows, spec, "label", spec.label, ClassFeature, LABEL_NAMES)


def _choose(rows: Rows, spec: Spec, setting: str, typed: str | None, feature: type[Any], usual: tuple[str, ...]) -> str:
    if typed is not None:
        check_column(rows, spec, setting, typed)
        return typed
    declared = [name for name in rows.table.column_names if isinstance(rows.features.get(name), feature)]
    if len(declared) == 1:
        return declared[0]
    for name in usual:
        if name in rows.table.column_names:
            return name
    raise RequestError(
        f"{spec.text}: {'more than one' if declared else 'no'} {setting} column; columns: {listed_columns(rows)}",
        f"type {spec.with_column(setting)}",
    )
