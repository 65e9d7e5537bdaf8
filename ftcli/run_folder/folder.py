"""The folder of a run: claimed before the work, filled after it, each file whole or not there."""

import json
import os
from collections.abc import Callable
from datetime import datetime
from errno import EIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ftcli.errors import RequestError, RunError
from ftcli.files import make, nearest, resource_limit, write_whole
from ftcli.records import Record, plain
from ftcli.run_folder.lock import check_unlocked
from ftcli.text import escaped

SCHEMA = "ftcli/report/1"
REPORT, HISTORY, PREDICTIONS = "report.json", "history.jsonl", "predictions.parquet"
STATE = "state"  # a folder, of a run that is not finished
OF_A_MODEL = ("model.safetensors", "config.json", HISTORY)


def claim(out: Path | None, command: str, overwrite: bool, *, lasting: bool = False) -> Path:
    """The folder to fill; nothing is created yet: `made` does that. `lasting`: an unfinished run in it may be this
    command's own.

    Raises RequestError where a run or a file is in the way, RunError where nothing may be written.
    """
    folder = out or Path("runs") / f"{command}-{datetime.now():%Y%m%d-%H%M%S}"
    if out:
        check_free(out, overwrite, lasting)
    above = nearest(folder)
    if not above.is_dir():
        raise RequestError(f"--out {str(folder)!r} lies in {str(above)!r}, which is a file.", "name another folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise RunError(f"no permission to write in {str(above)!r}.", "give --out a folder of yours")
    return folder


def check_free(folder: Path, overwrite: bool, lasting: bool) -> None:
    """Raises RequestError where something in the folder is in the way."""
    if folder.exists() and not folder.is_dir():
        raise RequestError(f"--out {str(folder)!r} is a file.", "name a folder that is new or empty")
    check_unlocked(folder)
    check_not_finished(folder, overwrite)
    state = folder / STATE
    if state.is_symlink() or (state.exists() and not state.is_dir()):
        raise RequestError(f"{str(state)!r} is no state of ftcli: no folder.", "remove it, or name another folder")
    if state.exists() and not lasting:
        raise RequestError(f"--out {str(folder)!r} holds an unfinished run.", "name another folder")


def made(folder: Path, named: Path | None) -> Path:
    """Make the folder. One that nobody has named is new: where another command of the same second was first, it gets a
    number at the end of its name.
    """
    if named:
        make(folder)
        return folder
    make(folder.parent)
    place, number = folder, 1
    while True:
        try:
            place.mkdir()
            return place
        except FileExistsError:
            number += 1
            place = folder.with_name(f"{folder.name}-{number}")
        except OSError as error:
            raise resource_limit(place, error.errno or EIO, 0) from error


def check_not_finished(folder: Path, overwrite: bool) -> None:
    """Raises RequestError where a finished run is in the way."""
    if (folder / REPORT).exists() and not overwrite:
        raise RequestError(
            f"--out {str(folder)!r} holds a finished run.",
            f"type --overwrite to replace it, or ftcli report {folder} to see it",
        )


def write_run(
    folder: Path, report: Record, history: list[dict[str, Any]], predictions: pa.Table | None,
    save_weights: Callable[[Path], None] | None,
) -> None:  # fmt: skip
    """Fill the folder. The report comes last: where it is, the run is finished and everything else is whole."""
    text = as_json(report)  # first: nothing is removed for a report that cannot be written
    make(folder)
    # Of a run that is replaced: a report must not lie beside another's model.
    for old in (REPORT, PREDICTIONS, *OF_A_MODEL):
        (folder / old).unlink(missing_ok=True)
    if save_weights:
        save_weights(folder)
        lines = "".join(json.dumps(line, allow_nan=False) + "\n" for line in history)
        write_whole(folder / HISTORY, lambda path: path.write_text(lines, encoding="utf-8"))
    if predictions is not None:
        size = predictions.nbytes
        write_whole(folder / PREDICTIONS, lambda path: pq.write_table(predictions, path, use_dictionary=True), size)
    write_whole(folder / REPORT, lambda path: path.write_text(text, encoding="utf-8"), len(text))


def as_json(value: Any, *, ascii: bool = False) -> str:
    """JSON as the reports have it: indented, no NaN, and nothing in it that could repaint a terminal."""
    return escaped(json.dumps(plain(value), indent=1, ensure_ascii=ascii, allow_nan=False)) + "\n"
