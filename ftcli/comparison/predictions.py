"""A run's predictions.parquet read back as what each seed got right, and checked before it is unpacked."""

import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ftcli.arrow import as_numpy, number_array
from ftcli.errors import RequestError
from ftcli.limits import MAX_PREDICTION_NAME_BYTES, MAX_PREDICTIONS
from ftcli.safe_text import reason

INTEGER_COLUMNS = ("seed", "label", "predicted")  # those that may hold integers
TEXT_COLUMNS = ("set", "example", "label", "predicted")  # those that may hold text
COLUMNS = ("set", "example", "seed", "label", "predicted")
WIDE = 4  # bytes of a character in NumPy


@dataclass(frozen=True)
class SetPredictions:
    """The predictions on one set: examples [N] sorted and their labels [N]; correct [S, N] boolean, one row per seed;
    `class_names`: every class that is a label or was predicted.
    """

    examples: np.ndarray
    labels: pa.ChunkedArray
    seeds: tuple[int, ...]
    correct: np.ndarray
    class_names: pa.Array


def read_predictions(path: Path) -> dict[str, SetPredictions | None] | None:
    """By set that has labels; None where there is no such file, or where the seeds of a set do not hold the same
    examples once each.

    Raises RequestError for a file that holds no predictions, or more of them than any run makes, or a probability that
    is not between 0 and 1.
    """
    if not path.exists():
        return None
    try:
        table = read_table(path)
        names, members = np.unique(np.array(table["set"].to_pylist(), dtype=str), return_inverse=True)
        table = table.take(number_array(np.argsort(members, kind="stable")))  # the rows of a set are contiguous
        ends = np.cumsum(np.bincount(members, minlength=len(names))).tolist()
        return {
            name: predictions_of_set(table.slice(begin, end - begin))
            for name, begin, end in zip(names.tolist(), [0, *ends][:-1], ends, strict=True)
        }
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:  # most of Arrow's errors are ValueErrors too
        raise RequestError(
            f"{path} cannot be read as predictions: {reason(error)}",
            "run the command again, or move the file away to compare without paired tests",
        ) from error


def read_table(path: Path) -> pa.Table:
    """The COLUMNS, text as strings, of the sets that have labels. Raises ValueError where one has another type, and
    where they are too large.
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
        table = file.read(columns=list(COLUMNS))
    table.validate(full=True)  # offsets and indices in a foreign file may point anywhere
    table = pa.table({name: without_dictionary(table[name]) for name in COLUMNS})
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


def predictions_of_set(table: pa.Table) -> SetPredictions | None:
    """What each seed got right on one set; None where the seeds do not hold the same examples once each."""
    longest = pc.max(pc.utf8_length(table["example"])).as_py()
    # NumPy gives every name the size of the longest.
    if WIDE * longest * table.num_rows > 2 * MAX_PREDICTION_NAME_BYTES:
        raise ValueError(f"an example has a name of {longest:,} characters")
    row_examples = np.array(table["example"].to_pylist(), dtype=str)
    row_correct = as_numpy(pc.equal(table["label"], table["predicted"]))
    row_seeds = as_numpy(table["seed"])
    seeds, examples, correct = np.unique(row_seeds), np.unique(row_examples), []
    labels: pa.ChunkedArray | None = None
    for seed in seeds:
        rows = np.flatnonzero(row_seeds == seed)
        rows = rows[np.argsort(row_examples[rows])]
        if not np.array_equal(row_examples[rows], examples):
            return None
        seed_labels = table["label"].take(number_array(rows)).cast(pa.string())
        if not seed_labels.equals(labels := labels or seed_labels):
            raise ValueError("its seeds give one example other labels")
        correct.append(row_correct[rows])
    columns = [table[name].cast(pa.string()).unique() for name in ("label", "predicted")]
    class_names = pa.chunked_array(columns).unique()
    return SetPredictions(examples, labels, tuple(int(seed) for seed in seeds), np.stack(correct), class_names)
