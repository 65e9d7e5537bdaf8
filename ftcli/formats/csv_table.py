"""Rows as CSV: one line per row, an empty field where there is no value, nothing in it that repaints a terminal."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from ftcli.safe_text import printable


def csv_table(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """A line with the names of the columns, then one for each row; a row may lack some of them."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: printable(value) if isinstance(value, str) else value for key, value in row.items()})
    return out.getvalue()
