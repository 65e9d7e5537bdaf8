"""Columns of a set: which one holds the images, the labels, the groups, and which rows `where` keeps."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ftcli.data.classes.class_names import composed
from ftcli.data.decoding.column import ImageColumn, can_hold_images, is_text
from ftcli.data.rows import ClassFeature, ImageFeature, Rows
from ftcli.data.spec import Spec
from ftcli.errors import RequestError, choose
from ftcli.limits import MAX_DICTIONARY_BYTES, MAX_NAME_SHOWN, MAX_SUGGESTED_FROM
from ftcli.safe_text import counted, listed, quoted, shortened

IMAGE_NAMES = ("image", "img", "picture")
LABEL_NAMES = ("label", "labels", "fine_label", "class", "target")
TEXTS = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())
MOST_LISTED = 20  # columns in a message


def image_column(rows: Rows, spec: Spec) -> pa.ChunkedArray:
    """The column that the SPEC names, else the only Image column, else one of a usual name."""
    name = _choose(rows, spec, "image", spec.image, ImageFeature, IMAGE_NAMES)
    column = plain(rows.table.column(name))
    missing = _missing_file(column, rows) if is_text(column.type) else None
    if missing is not None or not can_hold_images(column.type):
        why = "" if missing is None else f": there is no file {quoted(missing)} below the folder of the table"
        raise RequestError(
            f"the column {quoted(name)} of {spec.text} holds {shortened(str(column.type), 80)}, not images{why}",
            ("mend the path, or " * (missing is not None))
            + f"type the image column as {spec.with_column('image')}; columns: {_listed(rows)}",
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


def where_mask(rows: Rows, spec: Spec) -> np.ndarray:
    """Rows that satisfy every `where`, bool [N]. A class column is compared by class name."""
    keep = np.ones(len(rows), dtype=bool)
    for name, value in spec.where:
        _check(rows, spec, "where", name)
        texts = _texts(rows, name)
        mask = texts == composed(value)
        if not mask.any():
            seen = sorted({str(text) for text in texts if text is not None})
            empty = sum(text is None for text in texts)
            raise RequestError(
                f'no row of {spec.text} has "{value}" in the column "{name}"; values there: '
                + (listed(seen) or "none")
                + (f"; {counted(empty, 'row has', 'rows have')} no value, which where= cannot choose" if empty else ""),
                choose(value, [shortened(text, MAX_NAME_SHOWN) for text in seen[:MAX_SUGGESTED_FROM]]),
            )
        keep &= mask
    return keep


def groups(rows: Rows, spec: Spec, index: np.ndarray) -> np.ndarray | None:
    """The group of the rows at `index` as text, str [N]; None where the SPEC names no group column."""
    if spec.group is None:
        return None
    _check(rows, spec, "group", spec.group)
    texts = _texts(rows, spec.group)[index]
    if (empty := np.array([text is None for text in texts], dtype=bool)).any():
        raise RequestError(
            f'the group column "{spec.group}" of {spec.text} is empty in {rows.unit} '
            f'"{rows.ids[index[np.argmax(empty)]]}"',
            "fill it in, name another column with group=COLUMN, or choose rows by a column that is filled in, with "
            "where=COLUMN:VALUE",
        )
    return texts.astype(str)


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of a dictionary (as pandas writes its categories), or of views into text, by its values themselves.

    Raises:
        RequestError: the dictionary's words are too long to be repeated in every row.
    """
    type = column.type
    if pa.types.is_dictionary(type):
        type = type.value_type
        if type in TEXTS:
            lengths = [pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0 for chunk in column.chunks]
            if (longest := max(lengths, default=0)) * len(column) > MAX_DICTIONARY_BYTES:
                raise RequestError(
                    f"{len(column):,} rows with words of up to {longest:,} bytes do not fit into memory",
                    "name another column",
                )
        column = column.cast(type)
    return column.cast(pa.large_string()) if type == pa.string_view() else column


def _texts(rows: Rows, name: str) -> np.ndarray:
    """Every value of a column as composed text, object [N]; empty cells are None."""
    column = plain(rows.table.column(name))
    feature = rows.features.get(name)
    if isinstance(feature, ClassFeature) and feature.names:
        return np.array([_class_name(feature, value) for value in column.to_pylist()], dtype=object)
    if pa.types.is_boolean(column.type):  # Arrow would write "true"
        return np.array([None if value is None else str(value) for value in column.to_pylist()], dtype=object)
    try:
        return np.array(pc.utf8_normalize(pc.cast(column, pa.string()), "NFC").to_pylist(), dtype=object)
    except (pa.ArrowException, ValueError) as error:
        raise RequestError(
            f"the column {quoted(name)} holds {shortened(str(column.type), 80)}, which cannot be compared with a value",
            f"choose among the other columns: {_listed(rows)}",
        ) from error


def _class_name(feature: ClassFeature, value: int | None) -> str | None:
    return composed(feature.names[value]) if value is not None and 0 <= value < len(feature.names) else None


def _choose(rows: Rows, spec: Spec, setting: str, typed: str | None, feature: type[Any], usual: tuple[str, ...]) -> str:
    if typed is not None:
        _check(rows, spec, setting, typed)
        return typed
    declared = [name for name in rows.table.column_names if isinstance(rows.features.get(name), feature)]
    if len(declared) == 1:
        return declared[0]
    for name in usual:
        if name in rows.table.column_names:
            return name
    raise RequestError(
        f"{spec.text}: {'more than one' if declared else 'no'} {setting} column; columns: {_listed(rows)}",
        f"type {spec.with_column(setting)}",
    )


def _check(rows: Rows, spec: Spec, setting: str, name: str) -> None:
    if name not in rows.table.column_names:
        raise RequestError(
            f'{setting}={name}: {spec.text} has no column "{name}"; columns: {_listed(rows)}',
            choose(name, rows.table.column_names),
        )


def _listed(rows: Rows) -> str:
    return listed(rows.table.column_names, MOST_LISTED)
