"""What `predict` writes: one row per image, as CSV, JSON lines or parquet; and their features."""

import csv
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ftcli.arrow import number_array, text_array
from ftcli.config.measuring import Predict
from ftcli.console.answer import Answer
from ftcli.console.streams import is_unicode
from ftcli.engine.features import feature_file
from ftcli.engine.features.feature_matrix import FeatureMatrix
from ftcli.errors import RequestError
from ftcli.files import make_folder, nearest_existing, write_all_atomically
from ftcli.measures.accuracy import predictions, ranked
from ftcli.measures.calibration import softmax
from ftcli.processes import process_index
from ftcli.records import as_json_line
from ftcli.safe_text import counted, printable

FORMS = (".csv", ".jsonl", ".parquet")
ROWS = 1024  # that are Python objects at a time
NUMBERS = 2**22  # logits of which the probabilities are computed at a time


def check_targets(config: Predict) -> None:
    """Raises RequestError for a file that is there already, that is named twice, or whose form is not known."""
    targets = {"--out": (config.out, FORMS), "--features": (config.features, feature_file.FORMS)}
    named = [(option, path, forms) for option, (path, forms) in targets.items() if path is not None]
    for option, path, forms in named:
        if path.suffix not in forms:
            fix = f"end its name with {', '.join(forms[:-1])} or {forms[-1]}"
            raise RequestError(f"{option} {str(path)!r}: the form is not known.", fix)
        if not (above := nearest_existing(path.parent)).is_dir():
            raise RequestError(
                f"{option} {str(path)!r} lies in {str(above)!r}, which is a file.", "name another folder"
            )
        if path.exists() and not config.overwrite:
            raise RequestError(f"{option} {str(path)!r} is there already.", "type --overwrite to replace it")
    if len({path.resolve() for _, path, _ in named}) < len(named):
        raise RequestError(f"--out and --features are one file, {str(config.out)!r}.", "name two files")


def check_top(config: Predict, num_classes: int) -> None:
    """Raises RequestError where more classes are asked for than the model has."""
    if config.top > num_classes:
        raise RequestError(
            f"--top {config.top}: the model has {counted(num_classes, 'class', 'classes')}.",
            f"give a number of at most {num_classes}",
        )


def label_table(
    examples: Sequence[str],
    logits: np.ndarray,
    names: tuple[str, ...] | None,
    *,
    top: int = 1,
    with_probabilities: bool = False,
) -> pa.Table:
    """Class index, class name and probability of every example; logits [N, K].

    top: how many classes, the most probable first; the columns of rank r end in _r, those of the first do not.
    with_probabilities: the probability of each class besides.
    """
    K = logits.shape[1]
    names = names or tuple(map(str, range(K)))
    columns: dict[str, pa.Array | pa.ChunkedArray] = {"example": text_array(examples)}
    first = [part[:, None] for part in predictions(logits)] if top == 1 else _by_rows(partial(ranked, top=top), logits)
    classes, probability = first
    for rank in range(top):
        ending = f"_{rank + 1}" if rank else ""
        columns |= {
            f"predicted{ending}": number_array(classes[:, rank].astype(np.int64)),
            f"name{ending}": text_array([names[i] for i in classes[:, rank]]),
            f"probability{ending}": number_array(probability[:, rank].astype(np.float32)),
        }
    if with_probabilities:
        (of_all,) = _by_rows(lambda some: (softmax(some).astype(np.float32),), logits)
        columns |= dict(zip(probability_columns(names), map(number_array, of_all.T), strict=True))
    return pa.table(columns)


def _by_rows(compute: Callable[[np.ndarray], tuple[np.ndarray, ...]], logits: np.ndarray) -> list[np.ndarray]:
    """What `compute` gives for all rows of the logits [N, K], which it sees some at a time: it takes more memory."""
    step = max(1, NUMBERS // logits.shape[1])
    parts = [compute(logits[start : start + step]) for start in range(0, len(logits), step)]
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def probability_columns(names: Sequence[str]) -> list[str]:
    """The column of each class: "p:NAME", or "p:INDEX:NAME" of all classes where two names read the same."""
    unique = len(set(map(printable, names))) == len(names)
    return [f"p:{name}" if unique else f"p:{index}:{name}" for index, name in enumerate(names)]


def labels_answer(config: Predict, table: pa.Table, features: FeatureMatrix) -> Answer:
    """The table and the features, written to the files asked for, by the first process; without --out, CSV is shown."""
    files: dict[Path, Callable[[Path], None]] = {}
    if config.out is not None:
        files[config.out] = partial(write_table, table)
    if config.features is not None:
        examples = table.column("example").to_pylist()
        files[config.features] = lambda path: feature_file.write_features(path, features, examples)
    if process_index() == 0:
        for path in files:
            make_folder(path.parent)
        write_all_atomically(files)

    def show(_: object) -> None:
        if config.jsonl:
            write_json_lines(table, sys.stdout)
        elif config.out is None:
            write_csv(table, sys.stdout, safe=True)

    return Answer(table.to_pylist, show)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table in the form that the ending of the path names."""
    if path.suffix == ".parquet":
        pq.write_table(table, path)
        return
    with open(path, "w", newline="", encoding="utf-8") as file:
        (write_json_lines if path.suffix == ".jsonl" else write_csv)(table, file)


def write_json_lines(table: pa.Table, file: TextIO) -> None:
    """One JSON object per row."""
    for batch in table.to_batches(max_chunksize=ROWS):
        file.writelines(as_json_line(row, ascii=not is_unicode(file)) for row in batch.to_pylist())


def write_csv(table: pa.Table, file: TextIO, *, safe: bool = False) -> None:
    """Comma-separated, with a header. safe: without signs that could paint a terminal."""

    def shown(cells: Sequence[object]) -> Sequence[object]:
        return [printable(cell) if isinstance(cell, str) else cell for cell in cells] if safe else cells

    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(shown(table.column_names))
    for batch in table.to_batches(max_chunksize=ROWS):
        writer.writerows(zip(*(shown(column.to_pylist()) for column in batch.columns), strict=True))
