"""The table in predictions.parquet, checked before it is unpacked: anybody may have written it."""

import stat
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ftcli.arrow import as_numpy
from ftcli.limits import MAX_PREDICTION_NAME_BYTES, MAX_PREDICTIONS

INTEGER_COLUMNS = ("seed", "label", "predicted")  # those that may hold integers
TEXT_COLUMNS = ("set", "example", "label", "predicted")  # those that may hold text
COLUMNS = ("set", "example", "seed", "label", "predicted")


def read_table(path: Path, *, with_probability: bool = False) -> pa.Table:
    """The COLUMNS, text as strings, of the sets that have labels, and the probability where it is asked for. Raises
    ValueError where one has another type, and where they are too large; KeyError where one is missing.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is no regular file")
    with pq.ParquetFile(path, read_dictionary=list(TEXT_COLUMNS)) as file:
        if not 0 <= file.metadata.num_rows <= MAX_PREDICTIONS:
            rows = file.metadata.num_rows
            raise ValueError(f"it says that it has {rows:,} rows, at most {MAX_PREDICTIONS:,} are read")
        for name in COLUMNS:
            kind = file.schema_arrow.field(name).type
            kind = kind.value_type if pa.types.is_dictionary(kind) else kind
            is_text, is_integer = pa.types.is_string(kind), pa.types.is_integer(kind)
            if not (is_text and name in TEXT_COLUMNS) and not (is_integer and name in INTEGER_COLUMNS):
                raise ValueError(f"its column {name} is {kind}")
        check_probabilities(file)
        columns = [*COLUMNS, *(["probability"] if with_probability else [])]
        table = file.read(columns=columns)
    table.validate(full=True)  # offsets and indices in a foreign file may point anywhere
    table = pa.table({name: without_dictionary(table[name]) for name in columns})
    table = table.filter(pc.invert(of_unlabelled_sets(table)))
    if any(table[name].null_count for name in COLUMNS):
        raise ValueError("it has rows that are not whole")
    return table


def of_unlabelled_sets(table: pa.Table) -> pa.ChunkedArray:
    """Which rows are of a set that has no label at all: of those nothing was right or wrong."""
    labelled = table["set"].filter(pc.is_valid(table["label"])).unique()
    return pc.and_(pc.is_valid(table["set"]), pc.invert(pc.is_in(table["set"], labelled)))


def check_probabilities(file: pq.ParquetFile) -> None:
    """Raises ValueError where there is a probability that is not between 0 and 1."""
    if "probability" in file.schema_arrow.names:
        values = as_numpy(file.read(columns=["probability"])["probability"])
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError("it has a probability that is not between 0 and 1")


def without_dictionary(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Dictionary-encoded text as strings. Raises ValueError where they take more than
    MAX_PREDICTION_NAME_BYTES: one long name may be repeated in every row.
    """
    if not pa.types.is_dictionary(column.type):
        return column
    size = sum(
        pc.sum(pc.binary_length(chunk.dictionary).cast(pa.int64()).take(chunk.indices)).as_py() or 0
        for chunk in column.chunks
    )
    if size > MAX_PREDICTION_NAME_BYTES:
        raise ValueError(f"its names take {size:,} bytes, at most {MAX_PREDICTION_NAME_BYTES:,} are read")
    return column.cast(pa.string())
