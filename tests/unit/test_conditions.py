"""where= and group=, against plain Python: float() and datetime on every cell."""

import operator
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ftcli.data.columns.conditions import where_mask
from ftcli.data.columns.groups import groups
from ftcli.data.rows import ClassFeature, Rows, numbered
from ftcli.data.specs.parse import parse
from ftcli.errors import RequestError

COMPARE: dict[str, Callable[[object, object], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "!=": operator.ne,
}  # fmt: skip
TEXT_DATES = [
    "2015-05-24T08:31:03Z", "2012-12-31T23:59:59.999999Z", "2013-01-01", "2013-01-01T00:00:00Z", "", None,
    "2013-01-01 00:30:00+02:00", "2012-12-31T23:30-01:00", "2013-01-01t12:00z", "1969-07-20T20:17:40", " 2014-02-28 ",
    "2013-01-02T00:00:00.000000499Z",
]  # fmt: skip


def rows_of(**columns: pa.Array | list[object]) -> Rows:
    return numbered(pa.table(columns), {})


def kept(rows: Rows, where: str) -> list[int]:
    return np.flatnonzero(where_mask(rows, parse(f"t.parquet?where={where}"))).tolist()


def refusal(rows: Rows, where: str) -> str:
    with pytest.raises(RequestError) as caught:
        kept(rows, where)
    return f"{caught.value.problem} | {caught.value.fix}"


def moment(text: str) -> datetime:
    text = text.strip().upper()
    if len(text.partition(".")[2].rstrip("Z")) > 6:
        text = text[:26] + "Z"
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@pytest.mark.parametrize("sign", COMPARE)
@pytest.mark.parametrize("value", ["3", "-2.5", "1e1", "+.5", "9007199254740993"])
@pytest.mark.parametrize("as_text", [False, True])
def test_numbers(sign: str, value: str, as_text: bool) -> None:
    whole = [3, -7, 10, 9007199254740992, 9007199254740993, 9007199254740994, None]
    broken = [3.0, 0.5, -2.5, 10.0, float("inf"), None, -0.0]
    exact = int(value) if value.isdigit() else float(value)
    for cells in (whole, broken):
        if as_text and float("inf") in cells:
            cells = [cell for cell in cells if cell != float("inf")]
        typed = [None if cell is None else f" {cell}" for cell in cells] if as_text else cells
        expected = [i for i, cell in enumerate(cells) if cell is not None and COMPARE[sign](cell, exact)]
        if expected:
            assert kept(rows_of(x=typed), f"x:{sign}:{value}") == expected
        else:
            assert "its cells go from" in refusal(rows_of(x=typed), f"x:{sign}:{value}")


@pytest.mark.parametrize("digits", [19, 30, 100, 101, 5000])
def test_numbers_of_many_digits(digits: int) -> None:
    """Python itself refuses to read a whole number of more than 4300 digits."""
    for cells in ([3, 2**63 - 1], [3.0, 1e300]):
        least = [i for i, cell in enumerate(cells) if cell < int("9" * min(digits, 400))]
        assert kept(rows_of(x=cells), f"x:<:{'9' * digits}") == least
        assert "its cells go from 3 " in refusal(rows_of(x=cells[:1]), f"x:>:{'9' * digits}") + " "


@pytest.mark.parametrize("sign", COMPARE)
@pytest.mark.parametrize("value", ["2013-01-01", "2013-01-01T00:00:00Z", "2012-12-31T22:30Z", "2013-01-01T12:00:00"])
def test_dates_as_text(sign: str, value: str) -> None:
    """A day is all its moments: neither before nor after it."""

    def holds(cell: str) -> bool:
        if len(value) == 10:
            return COMPARE[sign](moment(cell).astimezone(UTC).date(), date.fromisoformat(value))
        return COMPARE[sign](moment(cell), moment(value))

    expected = [i for i, cell in enumerate(TEXT_DATES) if cell and holds(cell)]
    assert kept(rows_of(t=TEXT_DATES), f"t:{sign}:{value}") == expected


def test_dates_of_arrow() -> None:
    days = [date(2012, 12, 31), date(2013, 1, 1), None, date(2013, 1, 2)]
    times = [None if day is None else datetime(day.year, day.month, day.day, 23, 30) for day in days]
    east = [None if time is None else time.replace(tzinfo=UTC) - timedelta(hours=23, minutes=45) for time in times]
    rows = rows_of(
        day=pa.array(days, pa.date32()), day64=pa.array(days, pa.date64()), s=pa.array(times, pa.timestamp("s")),
        ns=pa.array(times, pa.timestamp("ns")), zoned=pa.array(east, pa.timestamp("us", "Asia/Tokyo")),
    )  # fmt: skip
    for name in ("day", "day64", "s", "ns"):
        assert kept(rows, f"{name}:>=:2013-01-01") == [1, 3] and kept(rows, f"{name}:<=:2013-01-01") == [0, 1]
        assert kept(rows, f"{name}:!=:2013-01-01") == [0, 3]
    assert kept(rows, "zoned:<:2013-01-01") == [0, 1]  # 23:45 of the day before, in UTC


def test_what_is_typed_decides_and_text_is_never_compared_as_text() -> None:
    rows = rows_of(x=["9", "10", "ten"], t=["2013-01-01", "2013-02-30", ""], n=[1, 2, 3], b=[True, False, None])
    assert 'row "2"' in refusal(rows, "x:>:1") and '"ten"' in refusal(rows, "x:>:1")
    assert 'row "1"' in refusal(rows, "t:>:2012-01-01") and '"2013-02-30"' in refusal(rows, "t:>:2012-01-01")
    assert "is a date" in refusal(rows, "n:>:2012-01-01") and "is a number" in refusal(rows, "t:>:2012")
    assert "neither a number nor a date" in refusal(rows, "x:>:nine")
    assert "no date that a calendar has" in refusal(rows, "t:<:2013-13-01")
    assert "is a number" in refusal(rows, "b:>:0")
    assert "column is empty" in refusal(rows_of(x=pa.array([None, None], pa.int64())), "x:<:1")


def test_first_cell_that_is_no_date_is_named_wherever_it_is() -> None:
    for bad in (0, 1, 617, 999):
        cells = ["2013-01-01T00:00:00Z"] * 1000
        cells[bad] = "2013-02-29"
        assert f'row "{bad}"' in refusal(rows_of(t=cells), "t:>=:2013-01-01")


def test_in_and_unequal() -> None:
    rows = numbered(
        pa.table({"x": ["a", "b", None, "", "c", "a"], "c": [0, 1, 2, 1, None, -1], "n": [5, 6, 7, 5, None, 8]}),
        {"c": ClassFeature(("ant", "bee", "cat"))},
    )
    assert kept(rows, "x:in:a|c") == [0, 4, 5] and kept(rows, "x:!=:a") == [1, 4] and kept(rows, "x:a") == [0, 5]
    assert kept(rows, "c:in:bee|cat") == [1, 2, 3] and kept(rows, "c:!=:bee") == [0, 2] and kept(rows, "c:ant") == [0]
    assert kept(rows, "n:!=:5.0") == [1, 2, 5]
    assert kept(rows, "n:in:5|8") == [0, 3, 5]
    assert 'has "d" in the column "x"' in refusal(rows, "x:in:a|d")  # each value must occur
    assert 'has "d" in the column "x"' in refusal(rows, "x:!=:d")  # it would leave out nothing: a slip
    assert "classes, which have no order" in refusal(rows, "c:>:1")
    assert kept(rows, "x:a&where=n:>:5") == [5]


def test_crossed_groups_have_names_that_cannot_be_taken_for_others() -> None:
    rows = rows_of(y=[0, 1, 0], place=["land", "a, place=b", 'c"'])
    assert groups(rows, parse("t.parquet?group=place"), np.array([0, 1])).tolist() == ["land", "a, place=b"]  # type: ignore[union-attr]
    crossed = groups(rows, parse("t.parquet?group=y+place"), np.array([2, 0, 1]))
    assert crossed is not None
    assert crossed.tolist() == ['y=0, place="c\\""', "y=0, place=land", 'y=1, place="a, place=b"']


@pytest.mark.parametrize("cells", [["a", None], ["a", ""]])
def test_an_example_without_a_group_is_named(cells: list[object]) -> None:
    with pytest.raises(RequestError) as caught:
        groups(rows_of(g=cells, h=[1, 2]), parse("t.parquet?group=h+g"), np.arange(2))
    assert 'group column "g"' in caught.value.problem and 'row "1"' in caught.value.problem


def test_a_million_rows_take_a_moment(tmp_path: Path) -> None:
    n = 1_000_000
    moments = np.datetime64("2002-01-01T00:00:00") + np.arange(n).astype("timedelta64[m]") * 11
    rows = rows_of(t=pa.array(np.char.add(moments.astype(str), "Z").tolist()))
    started = datetime.now(UTC)
    mask = where_mask(rows, parse("t.parquet?where=t:>=:2013-01-01"))
    assert mask.sum() == (moments >= np.datetime64("2013-01-01")).sum()
    assert datetime.now(UTC) - started < timedelta(seconds=20)
