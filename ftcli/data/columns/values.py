"""The values of a column: plain, or as text that can be compared; and which columns a set has."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ftcli.data.classes.class_names import composed
from ftcli.data.rows import ClassFeature, Rows
from ftcli.data.specs.spec import Spec
from ftcli.errors import RequestError, choose
from ftcli.limits import MAX_DICTIONARY_BYTES
from ftcli.safe_text import listed, quoted, shortened

TEXTS = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())
MOST_LISTED = 20  # columns in a message


def check_column(rows: Rows, spec: Spec, setting: str, name: str) -> None:
    """Raises RequestError where the set has no such column, which the setting names."""
    if name not in rows.table.column_names:
        raise RequestError(
            f'{setting}={name}: {spec.text} has no column "{name}"; columns: {listed_columns(rows)}',
            choose(name, rows.table.column_names),
        )


def listed_columns(rows: Rows) -> str:
    """The columns of a set, for a message."""
    return listed(rows.table.column_names, MOST_LISTED)


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


def texts_of(rows: Rows, name: str) -> np.ndarray:
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
            f"choose among the other columns: {listed_columns(rows)}",
        ) from error


def _class_name(feature: ClassFeature, value: int | None) -> str | None:
    return composed(feature.names[value]) if value is not None and 0 <= value < len(feature.names) else None
