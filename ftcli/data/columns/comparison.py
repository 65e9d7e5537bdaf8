"""Values that have an order, numbers and dates, and the cells of a column as the same.

What is typed decides: a number is compared with numbers and a date with dates, whether the cells hold them as such or
as text, and never as text with text. A date or time without a zone is one of UTC.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import ge, gt, le, lt, ne
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ftcli.arrow import as_numpy, text_array
from ftcli.errors import RequestError
from ftcli.safe_text import quoted

NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)(E[+-]?\d+)?"  # in capitals, as are the others
INTEGER = r"[+-]?\d{1,18}"  # within 64 bits
MOST_DIGITS = 100  # of a whole number that is typed: one with more is beyond every cell, and Python refuses to read it
DAY = r"\d{4}-\d{2}-\d{2}"
TIME = r"[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?"
ZONE = r"(Z|[+-]\d{2}(:?\d{2})?)"
MICROSECONDS_OF_A_DAY = 86_400_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OPERATORS: dict[str, Callable[[Any, Any], np.ndarray]] = {">=": ge, "<=": le, ">": gt, "<": lt, "!=": ne}


@dataclass(frozen=True)
class Numbers:
    """A number, and what is compared with it."""

    kind: ClassVar[str] = "number"
    value: int | float

    def read(self, cells: pa.ChunkedArray) -> np.ndarray | None:
        """Cells, none of them empty, as int64 or float64 [N]; None where one is no number."""
        type = cells.type
        if pa.types.is_integer(type) or pa.types.is_floating(type):
            return as_numpy(cells)
        if pa.types.is_decimal(type):
            return as_numpy(cells.cast(pa.float64()))
        if not _is_text(type) or not _all_match(cells, NUMBER):
            return None
        whole = _all_match(cells, INTEGER)  # beyond 2^53 a float is another number
        return as_numpy(_tidy(cells).cast(pa.int64() if whole else pa.float64()))

    def compare(self, operator: str, cells: np.ndarray) -> np.ndarray:
        """Which cells compare so with the value: bool [N]."""
        return OPERATORS[operator](cells, self.value)

    def first_other(self, cells: pa.ChunkedArray) -> int:
        """The first cell that is no number."""
        return _first_that_differs(cells, NUMBER) if _is_text(cells.type) else 0

    def shown(self, cell: Any) -> str:
        return f"{cell:,}" if isinstance(cell, np.integer) else f"{cell:g}"


@dataclass(frozen=True)
class Dates:
    """A moment, or a day from its beginning to its end, and what is compared with it.

    first, end: microseconds since 1970 UTC; the end is the first one that is not in it any more.
    """

    kind: ClassVar[str] = "date"
    first: int
    end: int

    def read(self, cells: pa.ChunkedArray) -> np.ndarray | None:
        """Cells, none of them empty, as microseconds since 1970 UTC, int64 [N]; None where one is no date."""
        try:
            return _moments(cells)
        except pa.ArrowException:  # as the 30th of February
            return None

    def compare(self, operator: str, cells: np.ndarray) -> np.ndarray:
        """Which cells compare so with the value: bool [N]. All moments of a day equal that day."""
        before, after = cells < self.first, cells >= self.end
        return {">=": ~before, "<=": ~after, ">": after, "<": before, "!=": before | after}[operator]

    def first_other(self, cells: pa.ChunkedArray) -> int:
        """The first cell that is no date."""
        start, stop = 0, len(cells)
        while stop - start > 1:
            middle = (start + stop) // 2
            start, stop = (start, middle) if self.read(cells.slice(start, middle - start)) is None else (middle, stop)
        return start

    def shown(self, cell: Any) -> str:
        return (EPOCH + timedelta(microseconds=int(cell))).isoformat().replace("+00:00", "Z")


def read_value(typed: str) -> Numbers | Dates | None:
    """What a value as typed is; None for text.

    Raises RequestError for what has the form of a date and is none.
    """
    if re.fullmatch(NUMBER, typed.upper(), re.ASCII):
        whole = re.fullmatch(rf"[+-]?\d{{1,{MOST_DIGITS}}}", typed, re.ASCII)
        return Numbers(int(typed) if whole else float(typed))
    if not re.fullmatch(f"{DAY}({TIME}{ZONE}?)?", typed.upper(), re.ASCII):
        return None
    try:
        found = _moments(pa.chunked_array([text_array([typed])]))
        assert found is not None
    except pa.ArrowException as error:
        raise RequestError(f"{quoted(typed)} is no date that a calendar has", "write one as 2013-01-31") from error
    first = int(found[0])
    return Dates(first, first + (MICROSECONDS_OF_A_DAY if len(typed) == len("2013-01-31") else 1))


def _moments(cells: pa.ChunkedArray) -> np.ndarray | None:
    """Dates and times, in their own types or as ISO 8601 text, as microseconds since 1970 UTC; None for others.

    Raises pa.ArrowException where a calendar has no such date.
    """
    type = cells.type
    if pa.types.is_timestamp(type):  # of more digits, those below a microsecond are left out
        return as_numpy(cells.cast(pa.timestamp("us", type.tz), safe=type.unit != "ns").cast(pa.int64()))
    if pa.types.is_date(type):
        return as_numpy(cells.cast(pa.timestamp("us")).cast(pa.int64()))
    if not _is_text(type) or not _all_match(cells, f"{DAY}({TIME}{ZONE}?)?"):
        return None
    texts = _tidy(cells)
    for pattern, whole in (
        (f"^({DAY})$", r"\1T00:00Z"),
        (f"^({DAY}{TIME})$", r"\1Z"),
        (r"(\.\d{6})\d+", r"\1"),
    ):
        texts = pc.replace_substring_regex(texts, pattern, whole)
    return as_numpy(texts.cast(pa.timestamp("us", "UTC")).cast(pa.int64()))


def _is_text(type: pa.DataType) -> bool:
    return pa.types.is_string(type) or pa.types.is_large_string(type)


def _tidy(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.ascii_upper(pc.utf8_trim_whitespace(cells))


def _matches(cells: pa.ChunkedArray, pattern: str) -> pa.ChunkedArray:
    return pc.match_substring_regex(_tidy(cells), f"^({pattern})$")


def _all_match(cells: pa.ChunkedArray, pattern: str) -> bool:
    return pc.all(_matches(cells, pattern)).as_py() is not False  # None: there is no cell


def _first_that_differs(cells: pa.ChunkedArray, pattern: str) -> int:
    return int(pc.index(_matches(cells, pattern), False).as_py())
