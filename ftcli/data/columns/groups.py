"""The group of every example: the value of a column, or the values of several."""

import json

import numpy as np
import pyarrow.compute as pc

from ftcli.arrow import as_numpy, number_array
from ftcli.data.columns.values import check_column, texts_of
from ftcli.data.rows import Rows
from ftcli.data.specs.spec import Spec
from ftcli.errors import RequestError


def groups(rows: Rows, spec: Spec, index: np.ndarray) -> np.ndarray | None:
    """The group of the rows at `index` as text, str [N]; None where the SPEC names no group column.

    Of one column its value, as "water"; of several "y=0, place=1", an entry for each combination that occurs.

    Raises:
        RequestError: a column is not there, or is empty in one of the rows.
    """
    if not spec.groups:
        return None
    columns = [whole_column(rows, spec, "group", name, index) for name in spec.groups]
    if len(columns) == 1:
        return columns[0]
    numbered = [np.unique(column, return_inverse=True) for column in columns]
    parts = [
        np.array([f"{name}={_delimited(value)}" for value in values.tolist()], dtype=object)[numbers]
        for name, (values, numbers) in zip(spec.groups, numbered, strict=True)
    ]
    return np.array([", ".join(words) for words in zip(*parts, strict=True)])


def whole_column(rows: Rows, spec: Spec, setting: str, name: str, index: np.ndarray) -> np.ndarray:
    """The texts of a column, which `setting` names, in the rows at `index`: str [N].

    Raises RequestError where there is no such column, or a cell is empty.
    """
    check_column(rows, spec, setting, name)
    texts = texts_of(rows, name).take(number_array(index))
    if (empty := as_numpy(pc.equal(pc.fill_null(texts, ""), ""))).any():
        raise RequestError(
            f'the {setting} column "{name}" of {spec.text} is empty in {rows.place(int(index[np.argmax(empty)]))}',
            "fill it in, name another column, or choose rows by a column that is filled in, with where=COLUMN:VALUE",
        )
    return np.array(texts.to_pylist(), dtype=str)


def _delimited(value: str) -> str:
    """A value; in quotation marks where it could be taken for two."""
    return json.dumps(value, ensure_ascii=False) if '"' in value or ", " in value else value
