"""What a label column says, as class numbers or as text: each way of writing labels has one rule."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ftcli.arrow import as_numpy, number_array
from ftcli.data.columns.choose import label_column
from ftcli.data.columns.values import check_column, plain
from ftcli.data.decoding.column import is_list, is_text
from ftcli.data.rows import ClassFeature, Rows
from ftcli.data.specs.spec import Spec
from ftcli.errors import RequestError
from ftcli.safe_text import quoted, shortened

SIGNS = ("-1", "1")  # of a column of two classes
DECIMAL = re.compile(r"-?[0-9]+\.[0-9]+")
TRUTH = {"true": "True", "false": "False"}
NOUGHTS_AND_ONES = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "true": 1, "false": 0}


def label_values(rows: Rows, spec: Spec, index: np.ndarray) -> tuple[str, pa.ChunkedArray | pa.Array, object]:
    """The name of the label column, its values in the rows at `index`, and their ClassFeature where they have one.

    - Several columns A+B of 0 and 1 are one-hot: the class is the column that holds the 1. A list of 0 and 1 in each
      row is the same, with the places in the list as classes.
    - A column whose only values are -1 and 1 has these two classes.
    - Floats that are whole numbers are these numbers, as text too ("1.0").
    - Text that is true or false, in any case, is a truth value.

    Raises:
        RequestError: there is no such column, or a row has not exactly one 1, or a label that is no whole number.
    """
    if spec.label and "+" in spec.label and spec.label not in rows.table.column_names:
        names = spec.label.split("+")
        for name in names:
            check_column(rows, spec, "label", name)
        cells = np.stack([_marks(rows, spec, name, index) for name in names], axis=1)
        return spec.label, number_array(_hot(rows, spec, spec.label, index, cells)), ClassFeature(tuple(names))
    name = label_column(rows, spec)
    whole, feature = plain(rows.table.column(name)), rows.features.get(name)
    column = whole if len(index) == len(rows) else whole.take(number_array(index))  # all rows need no copy
    if isinstance(feature, ClassFeature) and feature.names:
        return name, column, feature
    if is_list(whole.type):
        return name, number_array(_of_lists(rows, spec, name, index, column)), None
    if is_text(whole.type):
        words = {word for word in pc.unique(whole).to_pylist() if word}
        if words and all(map(DECIMAL.fullmatch, words)):
            whole, column = _as_floats(whole), _as_floats(column)
        elif words and {word.lower() for word in words} <= TRUTH.keys():
            return (
                name,
                pa.array([TRUTH.get(word and word.lower(), word) for word in column.to_pylist()], whole.type),
                None,
            )
    if pa.types.is_floating(whole.type):
        column = _whole_numbers(rows, spec, name, index, column)
    if pa.types.is_integer(column.type) and set(pc.unique(whole).to_pylist()) - {None} == {-1, 1}:
        return name, pc.divide(pc.add(column, 1), 2), ClassFeature(SIGNS)
    return name, column, None


def _as_floats(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text of decimal numbers as float64; what is empty has no value."""
    return pc.if_else(pc.equal(column, ""), None, column).cast(pa.float64())


def _whole_numbers(
    rows: Rows, spec: Spec, name: str, index: np.ndarray, column: pa.ChunkedArray
) -> pa.ChunkedArray | pa.Array:
    """Floats [M] as int64. Raises RequestError for the first that is no whole number; what is missing stays so."""
    values = as_numpy(pc.fill_null(column.cast(pa.float64()), 0.0))
    whole = np.abs(values) < 2.0**53
    whole[whole] = values[whole] == np.floor(values[whole])
    if not whole.all():
        first = int(np.argmin(whole))
        raise RequestError(
            f"{rows.place(int(index[first]))} of {spec.text} has the label {values[first]:g} in the column "
            f"{quoted(name)}; labels are class names or whole numbers",
            "name another column with label=COLUMN",
        )
    numbers = number_array(values.astype(np.int64))
    return pc.if_else(pc.is_null(column), None, numbers) if column.null_count else numbers


def _marks(rows: Rows, spec: Spec, name: str, index: np.ndarray) -> np.ndarray:
    """A column of one-hot labels in the rows at `index`, int64 [M], 0 or 1."""
    column = plain(rows.table.column(name)).take(number_array(index))
    marks = [NOUGHTS_AND_ONES.get(str(cell).lower(), -1) for cell in column.to_pylist()]
    if -1 in marks:
        wrong = marks.index(-1)
        raise RequestError(
            f"{rows.place(int(index[wrong]))} of {spec.text} has {_shown(column[wrong].as_py())} in the column "
            f"{quoted(name)}; a column of a one-hot label holds 0 and 1",
            "name the columns of the classes as label=A+B, or one column of labels as label=COLUMN",
        )
    return np.array(marks, dtype=np.int64)


def _of_lists(rows: Rows, spec: Spec, name: str, index: np.ndarray, column: pa.ChunkedArray) -> np.ndarray:
    """The class numbers, int64 [M], of one-hot lists."""
    lists = [
        [NOUGHTS_AND_ONES.get(str(mark).lower(), -1) for mark in cell] if isinstance(cell, list) else []
        for cell in column.to_pylist()
    ]
    length = len(lists[0])
    for place, marks in enumerate(lists):
        if not marks or len(marks) != length or -1 in marks:
            raise RequestError(
                f"{rows.place(int(index[place]))} of {spec.text} has {_shown(column[place].as_py())} in the label "
                f"column {quoted(name)}; a list is a label if it has a 0 for each class and a 1 for its own, as many "
                f"in every row ({length:,} in the first)",
                "name another column with label=COLUMN",
            )
    return _hot(rows, spec, name, index, np.array(lists, dtype=np.int64).reshape(len(lists), length))


def _hot(rows: Rows, spec: Spec, name: str, index: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """The place of the only 1 of every row, int64 [M], of marks [M, K]."""
    ones = marks.sum(axis=1)
    if (wrong := ones != 1).any():
        first = int(np.argmax(wrong))
        raise RequestError(
            f"{rows.place(int(index[first]))} of {spec.text} has {ones[first]:,} ones in label={shortened(name, 80)}, "
            f"and {int(wrong.sum()):,} of {len(index):,} rows do not have exactly one",
            "name the columns of all classes; rows of several classes or of none are left out with where=",
        )
    return marks.argmax(axis=1).astype(np.int64)


def _shown(value: object) -> str:
    return "no value" if value is None or value == "" else shortened(str(value), 80)
