"""What a run got right, example by example: its predictions.parquet read back, and judged before it is unpacked."""

import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ftcli.errors import RequestError
from ftcli.limits import MAX_PREDICTION_NAME_BYTES, MAX_PREDICTIONS
from ftcli.text import reason

COLUMNS = ("set", "example", "seed", "label", "predicted")  # those that count
NUMBERS, WORDS = ("seed", "label", "predicted"), ("set", "example", "label", "predicted")  # what may be in them
WIDE = 4  # bytes of a character in NumPy


@dataclass(frozen=True)
class PredictionTable:
    """What was right in one set: examples [N] sorted and their labels [N]; correct [S, N] boolean, one row per seed;
    `names`: every class that is a label or was predicted.
    """

    examples: np.ndarray
    labels: pa.ChunkedArray
    seeds: tuple[int, ...]
    correct: np.ndarray
    names: pa.Array


def read_predictions(path: Path) -> dict[str, PredictionTable | None] | None:
    """By set; None where there is no such file, or where the seeds of a set do not hold the same examples once each.

    Raises RequestError for a file that holds no predictions, or more of them than any run makes, or whose
    probabilities are none.
    """
    if not path.exists():
        return None
    try:
        table = _table(path)
        names, members = np.unique(table["set"].to_numpy().astype(str), return_inverse=True)
        table = table.take(pa.array(np.argsort(members, kind="stable")))  # the rows of a set stand together
        ends = np.cumsum(np.bincount(members, minlength=len(names)))
        parts = zip(names.tolist(), [0, *ends[:-1].tolist()], ends.tolist(), strict=True)
        return {name: _scored(table.slice(begin, end - begin)) for name, begin, end in parts}
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:  # most of Arrow's errors are ValueErrors too
        raise RequestError(
            f"{path} cannot be read as predictions: {reason(error)}",
            "run the command again, or move the file away to compare without paired tests",
        ) from error


def _table(path: Path) -> pa.Table:
    """The columns that count. Raises ValueError where one is of another kind, and where they are too large."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is no regular file")
    with pq.ParquetFile(path, read_dictionary=list(WORDS)) as file:
        if not 0 <= file.metadata.num_rows <= MAX_PREDICTIONS:
            rows = file.metadata.num_rows
            raise ValueError(f"it says that it has {rows:,} rows, at most {MAX_PREDICTIONS:,} are read")
        for name in COLUMNS:
            kind = file.schema_arrow.field(name).type
            kind = kind.value_type if pa.types.is_dictionary(kind) else kind
            if not (name in WORDS and pa.types.is_string(kind)) and not (name in NUMBERS and pa.types.is_integer(kind)):
                raise ValueError(f"its column {name} is {kind}")
        _check_probabilities(file)
        table = file.read(columns=list(COLUMNS))
    table.validate(full=True)  # bytes from elsewhere may point anywhere
    if any(table[name].null_count for name in COLUMNS):
        raise ValueError("it has rows that are not whole")
    return pa.table({name: _plain(table[name]) for name in COLUMNS})


def _check_probabilities(file: pq.ParquetFile) -> None:
    """Raises ValueError where there are probabilities, and one is none."""
    if "probability" in file.schema_arrow.names:
        values = file.read(columns=["probability"])["probability"].to_numpy()
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError("it has a probability that is not between 0 and 1")


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text out of its dictionary, if it then takes no more than MOST_BYTES: one long name may stand in every row."""
    if not pa.types.is_dictionary(column.type):
        return column
    size = sum(
        pc.sum(pc.binary_length(chunk.dictionary).cast(pa.int64()).take(chunk.indices)).as_py() or 0
        for chunk in column.chunks
    )
    if size > MAX_PREDICTION_NAME_BYTES:
        raise ValueError(f"its names take {size:,} bytes, at most {MAX_PREDICTION_NAME_BYTES:,} are read")
    return column.cast(pa.string())


def _scored(table: pa.Table) -> PredictionTable | None:
    """What each seed got right in one set; None where the seeds do not hold the same examples once each."""
    longest = pc.max(pc.utf8_length(table["example"])).as_py()
    # NumPy gives every name the room of the longest.
    if WIDE * longest * table.num_rows > 2 * MAX_PREDICTION_NAME_BYTES:
        raise ValueError(f"an example has a name of {longest:,} characters")
    examples = np.array(table["example"].to_pylist(), dtype=str)
    right = pc.equal(table["label"], table["predicted"]).to_numpy()
    seed_of = table["seed"].to_numpy()
    seeds, wanted, correct = np.unique(seed_of), np.unique(examples), []
    labels: pa.ChunkedArray | None = None
    for seed in seeds:
        rows = np.flatnonzero(seed_of == seed)
        rows = rows[np.argsort(examples[rows])]
        if not np.array_equal(examples[rows], wanted):
            return None
        of_seed = table["label"].take(pa.array(rows)).cast(pa.string())
        if not of_seed.equals(labels := labels or of_seed):
            raise ValueError("its seeds give one example other labels")
        correct.append(right[rows])
    names = pa.chunked_array([*(table[name].cast(pa.string()).unique() for name in ("label", "predicted"))]).unique()
    return PredictionTable(wanted, labels, tuple(int(seed) for seed in seeds), np.stack(correct), names)
