"""The values of a column: plain, or as text that can be compared; and which columns a set has."""

import pyarrow as pa
import pyarrow.compute as pc

from ftcli.arrow import text_array
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


def texts_of(rows: Rows, name: str) -> pa.ChunkedArray:
    """Every value of a column as composed text; class numbers as the names of their classes, empty cells as null."""
    column = plain(rows.table.column(name))
    if names := class_names(rows, name):
        known = pc.and_(pc.greater_equal(column, 0), pc.less(column, len(names)))
        return _chosen(names, column, known)
    if pa.types.is_boolean(column.type):  # Arrow would write "true"
        return _chosen(("False", "True"), column.cast(pa.uint8()), pc.is_valid(column))
    try:
        return pc.utf8_normalize(pc.cast(column, pa.string()), "NFC")
    except (pa.ArrowException, ValueError) as error:
        raise RequestError(
            f"the column {quoted(name)} holds {shortened(str(column.type), 80)}, which cannot be compared with a value",
            f"choose among the other columns: {listed_columns(rows)}",
        ) from error


def class_names(rows: Rows, name: str) -> tuple[str, ...]:
    """The names of the classes whose numbers a column holds, composed; empty where it holds anything else."""
    feature = rows.features.get(name)
    return tuple(map(composed, feature.names)) if isinstance(feature, ClassFeature) else ()


def _chosen(words: tuple[str, ...], numbers: pa.ChunkedArray, known: pa.ChunkedArray) -> pa.ChunkedArray:
    """The word of each number; null where it is not `known`."""
    return pc.take(text_array(words), pc.if_else(known, numbers, pa.nulls(1, numbers.type)[0]))
