"""Tables of cells parted by a comma or a tab: CSV and TSV."""

import csv
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from ftcli.arrow import as_numpy
from ftcli.data.classes.class_names import repeated
from ftcli.data.sources.tables.text_file import DAMAGED, TextFile, not_text, text_lines
from ftcli.errors import RequestError
from ftcli.limits import MAX_CELL_BYTES, MAX_ROW_BYTES, MAX_TABLE_COLUMNS, MAX_TEXT_ROWS
from ftcli.safe_text import counted, listed, quoted, reason, shortened

DELIMITERS = {".csv": ",", ".tsv": "\t"}
NAMES = {",": "commas", ";": "semicolons", "\t": "tabs"}
IMAGE_FILE = re.compile(r"\.(jpe?g|png|gif|bmp|tiff?|webp|ppm)$", re.IGNORECASE)
WHOLE_NUMBERS = r"^(-?[1-9][0-9]{0,17}|0|)$"  # as a program writes them; an empty cell has no value


def read_delimited(path: str) -> tuple[pa.Table, np.ndarray]:
    """A table of text, and the line of each row, int64 [N].

    The first line names the columns; a first column without a name, as pandas writes its index, is left out. A column
    whose every cell is a whole number as programs write it, or empty, is int64; in every other, cells stay the texts
    they are, so that "007" is not 7. Empty lines are skipped.

    Raises:
        RequestError: it is no such table, and in which line.
    """
    delimiter = DELIMITERS[PurePosixPath(path).suffix.lower()]
    header_line, names = next(_records(path, delimiter), (0, []))
    if not names:
        raise RequestError(f"{quoted(path)} is empty: it has no rows", DAMAGED)
    _check_header(path, names, delimiter)
    try:
        batches, lines = _batches(path, names, header_line, delimiter)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        if not sum(1 for _ in _checked_records(path, names, delimiter)):  # finds the line of what is wrong
            raise _no_rows(path) from error
        raise RequestError(f"{quoted(path)} cannot be read as a table: {reason(error)}", DAMAGED) from error
    table = pa.Table.from_batches(batches, pa.schema([(name, pa.string()) for name in names]))
    if not table.num_rows:
        raise _no_rows(path)
    if header_line == 1 and lines == table.num_rows + 1:
        numbers = np.arange(2, lines + 1)
    else:  # with empty lines, or with line ends within cells
        numbers = np.array([line for line, _ in _checked_records(path, names, delimiter)], dtype=np.int64)
    if len(numbers) != table.num_rows:
        raise RequestError(
            f"{quoted(path)} can be read as {table.num_rows:,} rows and as {len(numbers):,}: its quotation marks or "
            "line ends are mixed up",
            "write it anew, each cell with a quotation mark in quotation marks, and the mark doubled",
        )
    return pa.table({name: _typed(table.column(name)) for name in names if name}), numbers


def _batches(path: str, names: list[str], header_line: int, delimiter: str) -> tuple[list[pa.RecordBatch], int]:
    """The rows as text, and the number of lines. A row that is longer than a block is an error."""
    batches, rows = [], 0
    with TextFile(path) as file:
        reader = arrow_csv.open_csv(
            file,
            read_options=arrow_csv.ReadOptions(
                use_threads=False,
                block_size=MAX_ROW_BYTES,
                column_names=names,
                skip_rows=header_line - 1,
                skip_rows_after_names=1,
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(column_types={name: pa.string() for name in names}),
            memory_pool=pa.system_memory_pool(),  # gives back what it has read at once
        )
        for batch in reader:
            rows += batch.num_rows
            _check_batch(path, batch, rows)
            batches.append(batch)
        return batches, file.lines


def _check_batch(path: str, batch: pa.RecordBatch, rows: int) -> None:
    """Raises RequestError for more rows than a table may have; pa.ArrowInvalid for a cell or a row that is too long."""
    if rows > MAX_TEXT_ROWS:
        raise RequestError(f"{quoted(path)} has more than {MAX_TEXT_ROWS:,} rows", "divide it, or write it as parquet")
    lengths = [pc.binary_length(column) for column in batch.columns]
    longest = [pc.max(column).as_py() or 0 for column in lengths]
    if max(longest) > MAX_CELL_BYTES:
        raise pa.ArrowInvalid("a cell is too long")
    if sum(longest) + len(longest) >= MAX_ROW_BYTES:  # not all of them need be in one row
        of_rows = np.sum([as_numpy(column) for column in lengths], axis=0, dtype=np.int64)
        if of_rows.max() + len(longest) >= MAX_ROW_BYTES:
            raise pa.ArrowInvalid("a row is too long")


def _records(path: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Every record with the line that it begins in, without empty lines. Slower than pyarrow, which names no lines."""
    reader = csv.reader((line for _, line in text_lines(path)), delimiter=delimiter, strict=True)
    begins = 1
    try:
        for record in reader:
            if record:
                yield begins, record
            begins = reader.line_num + 1
    except csv.Error as error:
        raise RequestError(
            f"the row that begins in line {begins:,} of {quoted(path)} cannot be read up to line {reader.line_num:,}: "
            f"{_in_words(error)}",
            "close each quotation mark, double those within a cell, and end lines with LF or CRLF",
        ) from error


def _in_words(error: csv.Error) -> str:
    said = reason(error)
    if "field limit" in said:
        return f"a cell is longer than {MAX_CELL_BYTES:,} bytes, or its quotation mark is not closed"
    return "a quotation mark is not closed" if "unexpected end" in said else said


def _checked_records(path: str, names: list[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The records below the header. Raises RequestError for one with another number of cells."""
    records = _records(path, delimiter)
    next(records)
    for line, record in records:
        if len(record) != len(names):
            at = (
                f"; the last named one is {quoted(names[-1])}"
                if len(record) > len(names)
                else (f"; there is none for {listed(names[len(record) :])}")
            )
            raise RequestError(
                f"line {line:,} of {quoted(path)} has {counted(len(record), 'cell', 'cells')}, and the header names "
                f"{counted(len(names), 'column', 'columns')}{at}",
                f"mend the line; a cell with one of the {NAMES[delimiter]} in it stands in quotation marks",
            )
        for name, cell in zip(names, record, strict=True):
            if len(cell.encode()) > MAX_CELL_BYTES:
                raise RequestError(
                    f"line {line:,} of {quoted(path)} has a cell of {len(cell.encode()):,} bytes in the column "
                    f"{quoted(name)}; at most {MAX_CELL_BYTES:,} are allowed",
                    "leave the column out",
                )
        if sum(map(len, record)) > MAX_ROW_BYTES // 8:
            _check_row(path, line, record)
        yield line, record


def _check_row(path: str, line: int, record: list[str]) -> None:
    """Raises RequestError for a row of too many bytes."""
    if (size := sum(len(cell.encode()) for cell in record)) + len(record) >= MAX_ROW_BYTES:
        raise RequestError(
            f"the row in line {line:,} of {quoted(path)} has {size:,} bytes; at most {MAX_ROW_BYTES:,} are read",
            "leave long columns out",
        )


def _no_rows(path: str) -> RequestError:
    return RequestError(f"{quoted(path)} has no rows: nothing follows its header", DAMAGED)


def _check_header(path: str, names: list[str], delimiter: str) -> None:
    """Raises RequestError for a first line that names no columns."""
    at = f"the header of {quoted(path)}"
    if len(names) > MAX_TABLE_COLUMNS:
        raise RequestError(f"{at} names {len(names):,} columns; at most {MAX_TABLE_COLUMNS:,} are read", "divide it")
    if len(names) == 1 and (other := next((mark for mark in NAMES if mark != delimiter and mark in names[0]), None)):
        fix = {",": "name it .csv", "\t": "name it .tsv"}.get(other, "write it anew with commas")
        raise RequestError(
            f"{at} is one column, {quoted(names[0])}: its cells are parted by {NAMES[other]}, not {NAMES[delimiter]}",
            fix,
        )
    if file := next((name for name in names if IMAGE_FILE.search(name)), None):
        raise RequestError(
            f"{at} names a file, {quoted(shortened(file, 80))}, where the name of a column should be",
            f"write a first line with the names of the columns, as image{delimiter}label",
        )
    for place, name in enumerate(names, 1):
        if not name.strip() and (name or place > 1 or len(names) == 1):
            raise RequestError(f"{at} has no name for column {place:,}", "name it in the first line, or leave it out")
        if len(name.encode()) > MAX_CELL_BYTES:
            raise not_text(path, f"has a name of {len(name):,} characters for column {place:,}")
    if (twice := repeated(names)) is not None:
        places = [f"{place:,}" for place, other in enumerate(names, 1) if other == twice]
        raise RequestError(
            f"{at} names {quoted(twice)} twice: columns {' and '.join(places[:5])}",
            "give each column a name of its own",
        )


def _typed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of whole numbers as int64, every other as it is."""
    for chunk in column.chunks:
        if not pc.all(pc.match_substring_regex(chunk, WHOLE_NUMBERS), min_count=0).as_py():
            return column
    filled = pc.if_else(pc.equal(column, ""), None, column)
    return column if filled.null_count == len(column) else filled.cast(pa.int64())
