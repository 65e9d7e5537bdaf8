"""What `predict` writes: one row per image, as CSV or parquet."""

import csv
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ftcli.arrow import number_array, text_array
from ftcli.config.measuring import Predict
from ftcli.console.answer import Answer
from ftcli.errors import RequestError
from ftcli.files import nearest_existing, write_atomically
from ftcli.measures.accuracy import predictions
from ftcli.processes import process_index
from ftcli.safe_text import printable

FORMS = (".csv", ".parquet")


def check_target(config: Predict) -> None:
    """Raises RequestError for a file that is there already, or whose form is not known."""
    out = config.out
    if out is None:
        return
    if out.suffix not in FORMS:
        raise RequestError(f"--out {str(out)!r}: the form is not known.", f"end its name with {' or '.join(FORMS)}")
    if not (above := nearest_existing(out.parent)).is_dir():
        raise RequestError(f"--out {str(out)!r} lies in {str(above)!r}, which is a file.", "name another folder")
    if out.exists() and not config.overwrite:
        raise RequestError(f"--out {str(out)!r} is there already.", "type --overwrite to replace it")


def label_table(examples: list[str], logits: np.ndarray, names: tuple[str, ...] | None) -> pa.Table:
    """Class index, class name and probability of every example; logits [N, K]."""
    predicted, probability = predictions(logits)
    return pa.table({
        "example": text_array(examples),
        "predicted": number_array(predicted.astype(np.int64)),
        "name": text_array([names[i] if names else str(i) for i in predicted]),
        "probability": number_array(probability.astype(np.float32)),
    })  # fmt: skip


def labels_answer(config: Predict, table: pa.Table) -> Answer:
    """The table, written to the file asked for, by the first process; without one, CSV is shown."""
    if (out := config.out) and process_index() == 0:
        out.parent.mkdir(parents=True, exist_ok=True)
        parquet = out.suffix == ".parquet"
        write_atomically(out, lambda path: pq.write_table(table, path) if parquet else write_csv(table, path))
    return Answer(table.to_pylist(), lambda _: None if out else write_csv(table, None))


def write_csv(table: pa.Table, path: Path | None) -> None:
    """Comma-separated, with a header; to stdout where no path is given, and then without signs that could paint."""
    handle = open(path, "w", newline="", encoding="utf-8") if path else sys.stdout  # noqa: SIM115
    try:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(table.column_names)
        columns = [column.to_pylist() for column in table.columns]
        if path is None:
            columns = [[printable(cell) if isinstance(cell, str) else cell for cell in column] for column in columns]
        writer.writerows(zip(*columns, strict=True))
    finally:
        if path:
            handle.close()
