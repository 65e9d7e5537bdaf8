"""A run's predictions.parquet read back as what each seed got right, and checked before it is unpacked."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ftcli.arrow import as_numpy, number_array
from ftcli.errors import RequestError
from ftcli.limits import MAX_PREDICTION_NAME_BYTES
from ftcli.run_folder.predictions import read_table
from ftcli.safe_text import reason

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
