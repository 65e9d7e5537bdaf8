"""Which rows of a set satisfy the conditions of its SPEC."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ftcli.arrow import as_numpy, number_array, text_array
from ftcli.data.classes.class_names import composed
from ftcli.data.columns.comparison import Dates, Numbers, read_value
from ftcli.data.columns.value_list import is_list, values_of
from ftcli.data.columns.values import check_column, class_names, listed_columns, plain, texts_of
from ftcli.data.rows import Rows
from ftcli.data.specs.condition import EQUAL, IN, Condition
from ftcli.data.specs.spec import Spec
from ftcli.errors import RequestError, choose
from ftcli.limits import MAX_NAME_SHOWN, MAX_SUGGESTED_FROM
from ftcli.safe_text import counted, listed, quoted, shortened

DIFFERS = "!="


def where_mask(rows: Rows, spec: Spec) -> np.ndarray:
    """Rows that satisfy every `where`, bool [N]. A class column is compared by class name.

    Raises:
        RequestError: a column is not there, a value that equals one (=, in, !=) occurs in no row, or cells cannot be
            compared with the value; the message names the row.
    """
    keep = np.ones(len(rows), dtype=bool)
    for condition in spec.where:
        check_column(rows, spec, "where", condition.column)
        if condition.operator in (EQUAL, IN):
            keep &= _among(rows, spec, condition)
        else:
            keep &= _compared(rows, spec, condition)
    return keep


def _among(rows: Rows, spec: Spec, condition: Condition) -> np.ndarray:
    """Rows whose cell is one of the values as text, bool [N]. Each value must occur."""
    name, texts = condition.column, texts_of(rows, condition.column)
    values = [composed(value) for value in values_of(condition)]
    mask = as_numpy(pc.fill_null(pc.is_in(texts, text_array(values)), False))
    for value in () if is_list(condition) and mask.any() else values:
        if not pc.any(pc.equal(texts, value)).as_py():
            seen, empty = sorted(pc.drop_null(pc.unique(texts)).to_pylist()), texts.null_count
            raise RequestError(
                f'no row of {spec.text} has "{value}" in the column "{name}"; values there: '
                + (listed(seen) or "none")
                + (f"; {counted(empty, 'row has', 'rows have')} no value, which where= cannot choose" if empty else ""),
                choose(value, [shortened(text, MAX_NAME_SHOWN) for text in seen[:MAX_SUGGESTED_FROM]]),
            )
    return mask


def _compared(rows: Rows, spec: Spec, condition: Condition) -> np.ndarray:
    """Rows whose cell is not empty and compares so with the value, as numbers or as dates, bool [N].

    `!=` compares text where the value is neither, or the cells are not.
    """
    name, operator, (typed,) = condition.column, condition.operator, condition.values
    column, value = plain(rows.table.column(name)), read_value(typed)
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    if class_names(rows, name):
        if operator == DIFFERS:
            return _differs(rows, spec, condition)
        raise RequestError(
            f'where={condition}: the column "{name}" of {spec.text} holds classes, which have no order',
            f"compare class names with where={name}:VALUE, where={name}:in:A|B or where={name}:!=:VALUE",
        )
    if value is None and operator == DIFFERS:
        return _differs(rows, spec, condition)
    if value is None:
        raise RequestError(
            f"where={condition}: {quoted(typed)} is neither a number nor a date",
            "write a number as 12 or 0.5, a date as 2013-01-31 or 2013-01-31T08:30:00Z; of text only =, in and !=",
        )
    filled = np.flatnonzero(~_empty(column))
    cells = column.take(number_array(filled)) if len(filled) < len(column) else column
    found = value.read(cells)
    if found is None and operator == DIFFERS:
        return _differs(rows, spec, condition)
    if found is None:
        raise _not_comparable(rows, spec, condition, value, cells, filled)
    mask = np.zeros(len(rows), dtype=bool)
    mask[filled] = value.compare(operator, found)
    if not mask.any():
        ends = [value.shown(end) for end in (found.min(), found.max())] if len(found) else []
        raise RequestError(
            f"where={condition}: no row of {spec.text} satisfies it; "
            + ("its cells go from {} to {}".format(*ends) if ends else "the column is empty"),
            "give another value",
        )
    return mask


def _differs(rows: Rows, spec: Spec, condition: Condition) -> np.ndarray:
    """Rows whose cell is not empty and another text, bool [N]. The value must occur: otherwise it is a slip."""
    texts = texts_of(rows, condition.column)
    return ~(_among(rows, spec, condition) | as_numpy(pc.equal(pc.fill_null(texts, ""), "")))


def _empty(column: pa.ChunkedArray) -> np.ndarray:
    """Cells that hold nothing, bool [N]: null, no number, or text without a character."""
    empty = pc.is_null(column, nan_is_null=True)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        empty = pc.or_(empty, pc.equal(pc.fill_null(pc.utf8_trim_whitespace(column), ""), ""))
    return as_numpy(empty)


def _not_comparable(
    rows: Rows, spec: Spec, condition: Condition, value: Numbers | Dates, cells: pa.ChunkedArray, filled: np.ndarray
) -> RequestError:
    """The error that names the first cell that is not what the value is."""
    name, typed = condition.column, condition.values[0]
    first = value.first_other(cells)
    return RequestError(
        f'where={condition}: {quoted(typed)} is a {value.kind}, and {rows.unit} "{rows.ids[int(filled[first])]}" of '
        f"{spec.text} has {quoted(str(cells[first].as_py()))} in the column {quoted(name)}, which is none",
        f"give a value of the kind that the column holds, or compare text by where={name}:VALUE or "
        f"where={name}:in:A|B; columns: {listed_columns(rows)}",
    )
