"""Which rows of a set satisfy the conditions of its SPEC."""

import numpy as np

from ftcli.data.classes.class_names import composed
from ftcli.data.columns.value_list import values_of
from ftcli.data.columns.values import check_column, texts_of
from ftcli.data.rows import Rows
from ftcli.data.specs.spec import Spec
from ftcli.errors import RequestError, choose
from ftcli.limits import MAX_NAME_SHOWN, MAX_SUGGESTED_FROM
from ftcli.safe_text import counted, listed, shortened


def where_mask(rows: Rows, spec: Spec) -> np.ndarray:
    """Rows that satisfy every `where`, bool [N]. A class column is compared by class name."""
    keep = np.ones(len(rows), dtype=bool)
    for condition in spec.where:
        values, value = values_of(condition), condition.values[0]
        name = condition.column
        check_column(rows, spec, "where", name)
        texts = texts_of(rows, name)
        mask = np.isin(texts.astype(str), [composed(value) for value in values]) & (texts != None)  # noqa: E711
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
