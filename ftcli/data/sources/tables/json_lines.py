"""Tables of a JSON object per line: .jsonl and .ndjson."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from ftcli.data.sources.tables.text_file import DAMAGED, text_lines
from ftcli.errors import RequestError
from ftcli.limits import MAX_TABLE_COLUMNS, MAX_TEXT_ROWS, UNPACKED_BYTES, UNPACKED_RATIO, VALUE_BYTES
from ftcli.safe_text import quoted, reason, shortened

ENDINGS = (".jsonl", ".ndjson")
BATCH_CHARACTERS = 2**24  # of lines that are made columns together; as objects they take some times as much
Row = tuple[int, dict[str, Any]]  # a line's number and its object


def read_json_lines(path: str) -> tuple[pa.Table, np.ndarray]:
    """A table with a column for every key of any object, and the line of each row, int64 [N]. Empty lines are skipped.

    An object that lacks a key has no value there. Whole numbers among others become floats; a column of values of
    different kinds is refused.

    Raises:
        RequestError: it is no such table, and in which line.
    """
    kinds: dict[str, tuple[int, str]] = {}
    fields: set[tuple[str, ...]] = set()
    tables: list[pa.Table] = []
    numbers: list[int] = []
    batch: list[Row] = []
    characters = waiting = 0
    for number, line in text_lines(path):
        characters, waiting = characters + len(line), waiting + len(line)
        if not line.strip():
            continue
        row = _object(path, number, line)
        _check_kinds(path, number, row, kinds)
        _add_fields(row, (), fields)
        batch.append((number, row))
        numbers.append(number)
        _check_size(path, len(numbers), len(fields), characters)
        if waiting > BATCH_CHARACTERS:
            tables.append(_table(path, batch, kinds))
            batch, waiting = [], 0
    if not numbers:
        raise RequestError(f"{quoted(path)} has no rows: there is no object in it", DAMAGED)
    tables.append(_table(path, batch, kinds))
    try:
        return pa.concat_tables(tables, promote_options="permissive"), np.array(numbers, dtype=np.int64)
    except pa.ArrowException as error:
        raise RequestError(
            f"the rows of {quoted(path)} differ: {reason(error)}", "give all rows the same form"
        ) from error


def _object(path: str, number: int, line: str) -> dict[str, Any]:
    """The object of a line."""
    at = f"line {number:,} of {quoted(path)}"
    try:
        row = json.loads(line, object_pairs_hook=_without_repeats, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        said = "it is nested too deeply" if isinstance(error, RecursionError) else reason(error)
        raise RequestError(f"{at} is no JSON: {said}", "write one object per line, in one line") from error
    if not isinstance(row, dict):
        raise RequestError(
            f"{at} is {_kind(row)}, not an object: {shortened(line.strip(), 60)}",
            'write one object per line, as {"image": "a/1.jpg", "label": "a"}',
        )
    return row


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {quoted(next(key for key in keys if keys.count(key) > 1))} is there twice")
    return row


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _kind(value: Any) -> str:
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (bool, "a truth value"), ((int, float), "a number"), (str, "text"), (list, "a list"), (dict, "an object"),
    )  # fmt: skip
    return next((word for kind, word in kinds if isinstance(value, kind)), "null")


def _check_kinds(path: str, number: int, row: dict[str, Any], kinds: dict[str, tuple[int, str]]) -> None:
    """Enter the kind of each new column. Raises RequestError for a value of another kind than those before it."""
    for name, value in row.items():
        kind = _kind(value)
        first, known = kinds.get(name, (number, "null"))
        if known == "null":
            kinds[name] = (number, kind)
        elif kind not in (known, "null"):
            raise RequestError(
                f"line {number:,} of {quoted(path)} has {kind} in the column {quoted(name)}, where line {first:,} has "
                f"{known}",
                "write values of one kind in a column",
            )


def _add_fields(value: Any, keys: tuple[str, ...], fields: set[tuple[str, ...]]) -> None:
    """Add what becomes a column, or a field of one, each by the keys that lead to it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            fields.add((*keys, key))
            _add_fields(inner, (*keys, key), fields)
    elif isinstance(value, list) and value and isinstance(value[0], list | dict):
        for inner in value:
            _add_fields(inner, keys, fields)


def _check_size(path: str, rows: int, columns: int, characters: int) -> None:
    """Raises RequestError for a table that takes far more memory than its text: each row has a cell per column."""
    if rows > MAX_TEXT_ROWS or columns > MAX_TABLE_COLUMNS:
        raise RequestError(
            f"{quoted(path)} has more than {MAX_TEXT_ROWS:,} rows or {MAX_TABLE_COLUMNS:,} columns",
            "divide it, or write it as parquet",
        )
    if VALUE_BYTES * rows * columns > UNPACKED_BYTES + UNPACKED_RATIO * characters:
        raise RequestError(
            f"{quoted(path)} has {rows:,} rows that together name {columns:,} columns, and most of them name few",
            "leave out the columns that are not needed",
        )


def _table(path: str, batch: list[Row], kinds: Iterable[str]) -> pa.Table:
    """Rows as columns."""
    return pa.table({name: _column(path, batch, name) for name in kinds})


def _column(path: str, batch: list[Row], name: str) -> pa.Array:
    """The values of one key."""
    try:
        return pa.array([row.get(name) for _, row in batch])
    except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
        number = _first_failing([row.get(name) for _, row in batch])
        raise RequestError(
            f"line {batch[number][0]:,} of {quoted(path)} has a value in the column {quoted(name)} that does not go "
            f"with those before it: {reason(error)}",
            "write values of one kind in a column; whole numbers have at most 63 bits",
        ) from error


def _first_failing(values: list[Any]) -> int:
    """The first value that makes no column with those before it."""
    good, bad = 0, len(values)  # counts of values that make a column, and that do not
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            pa.array(values[:middle])
            good = middle
        except (pa.ArrowException, OverflowError, ValueError, TypeError):
            bad = middle
    return bad - 1
