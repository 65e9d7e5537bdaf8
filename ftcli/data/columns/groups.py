"""The group of every example."""

import numpy as np

from ftcli.data.columns.values import check_column, texts_of
from ftcli.data.rows import Rows
from ftcli.data.specs.spec import Spec
from ftcli.errors import RequestError


def groups(rows: Rows, spec: Spec, index: np.ndarray) -> np.ndarray | None:
    """The group of the rows at `index` as text, str [N]; None where the SPEC names no group column."""
    if not spec.groups:
        return None
    columns = []
    for name in spec.groups:
        check_column(rows, spec, "group", name)
        texts = texts_of(rows, name)[index]
        if (empty := np.array([text is None for text in texts], dtype=bool)).any():
            raise RequestError(
                f'the group column "{name}" of {spec.text} is empty in {rows.place(int(index[np.argmax(empty)]))}',
                "fill it in, name another column with group=COLUMN, or choose rows by a column that is filled in, with "
                "where=COLUMN:VALUE",
            )
        columns.append(texts.astype(str))
    if len(columns) == 1:
        return columns[0]
    return np.array(["+".join(values) for values in zip(*columns, strict=True)])
