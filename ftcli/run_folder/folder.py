"""The output folder of a run: checked before the work, made and filled after it, each file written atomically."""

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from errno import EIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

from ftcli.errors import RequestError, RunError
from ftcli.files import make_folder, nearest_existing, read_beginning, resource_limit, write_atomically
from ftcli.processes import command_line
from ftcli.records import Record, as_json
from ftcli.run_folder.history import as_text
from ftcli.run_folder.lock import check_unlocked
from ftcli.run_folder.names import CARD, CARD_MARK, HISTORY, LOGITS, MODEL_FILES, PAGE, PREDICTIONS, REPORT, STATE
from ftcli.safe_text import redacted_spec

CARD_BEGINNING = 4096  # bytes of a model card; the tags come early in it


def choose_output_folder(out: Path | None, command: str, overwrite: bool, *, resumable: bool = False) -> Path:
    """The folder of --out, or a new name below `runs`. Nothing is created: `make_output_folder` does that.

    resumable: the command can go on with an unfinished run in the folder.

    Raises RequestError where a run or a file is in the way, RunError where nothing may be written.
    """
    folder = out or Path("runs") / f"{command}-{datetime.now():%Y%m%d-%H%M%S}"
    if out:
        check_free(out, overwrite, resumable)
    parent = nearest_existing(folder)
    if not parent.is_dir():
        raise RequestError(f"--out {str(folder)!r} lies in {str(parent)!r}, which is a file.", "name another folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise RunError(f"no permission to write in {str(parent)!r}.", "give --out a folder of yours")
    return folder


def check_free(folder: Path, overwrite: bool, resumable: bool) -> None:
    """Raises RequestError where something in the folder is in the way."""
    if folder.exists() and not folder.is_dir():
        raise RequestError(f"--out {str(folder)!r} is a file.", "name a folder that is new or empty")
    check_unlocked(folder)
    check_not_finished(folder, overwrite)
    check_no_other_card(folder)
    state = folder / STATE
    if state.is_symlink() or (state.exists() and not state.is_dir()):
        raise RequestError(f"{str(state)!r} is no state of ftcli: no folder.", "remove it, or name another folder")
    if state.exists() and not resumable:
        raise RequestError(f"--out {str(folder)!r} holds an unfinished run.", "name another folder")


def make_output_folder(folder: Path, out: Path | None) -> Path:
    """Make the folder of --out; without --out a new one, with a number at the end of its name where another command of
    the same second has made it.
    """
    if out:
        make_folder(folder)
        return folder
    make_folder(folder.parent)
    candidate, number = folder, 1
    while True:
        try:
            candidate.mkdir()
            return candidate
        except FileExistsError:
            number += 1
            candidate = folder.with_name(f"{folder.name}-{number}")
        except OSError as error:
            raise resource_limit(candidate, error.errno or EIO, 0) from error


def resume_command(folder: Path) -> str:
    """What to type to go on with this command: its own words, with --out where they have none."""
    words = [redacted_spec(word) for word in command_line.get()]
    named = any(word in ("--out", "-o") or word.startswith("--out=") for word in words)
    return shlex.join(["ftcli", *words, *([] if named else ["--out", str(folder)])])


def check_not_finished(folder: Path, overwrite: bool) -> None:
    """Raises RequestError where a finished run is in the way."""
    if (folder / REPORT).exists() and not overwrite:
        raise RequestError(
            f"--out {str(folder)!r} holds a finished run.",
            f"type --overwrite to replace it, or ftcli report {folder} to see it",
        )


def check_no_other_card(folder: Path) -> None:
    """Raises RequestError for a README.md of somebody else, which the model card would replace."""
    path = folder / CARD
    if os.path.lexists(path) and CARD_MARK not in read_beginning(path, CARD_BEGINNING):
        raise RequestError(
            f"--out {str(folder)!r} holds a {CARD} that ftcli did not write.", "name another folder, or move the file"
        )


def write_run(
    folder: Path, report: Record, history: Sequence[Mapping[str, object]], predictions: pa.Table | None,
    save_weights: Callable[[Path], None] | None, card: str = "", logits: Mapping[str, np.ndarray] | None = None,
) -> None:  # fmt: skip
    """Write the files of a finished run. The report comes last: where it is, all the others are complete.

    card: the model card, beside weights that are saved. logits: by the name of their tensor.
    """
    text = as_json(report)  # first: nothing is removed for a report that cannot be written
    make_folder(folder)
    # Of a run that is replaced: a report must not lie beside another's model.
    for old in (REPORT, PREDICTIONS, LOGITS, PAGE, *MODEL_FILES):
        (folder / old).unlink(missing_ok=True)
    if save_weights:
        save_weights(folder)
        lines = as_text(history)
        write_atomically(folder / HISTORY, lambda path: path.write_text(lines, encoding="utf-8"), len(lines))
        write_atomically(folder / CARD, lambda path: path.write_text(card, encoding="utf-8"))
    if predictions is not None:
        size = predictions.nbytes
        write_atomically(
            folder / PREDICTIONS, lambda path: pq.write_table(predictions, path, use_dictionary=True), size
        )
    if logits:
        size = sum(values.nbytes for values in logits.values())
        write_atomically(folder / LOGITS, lambda path: save_file(dict(logits), path), size)
    write_atomically(folder / REPORT, lambda path: path.write_text(text, encoding="utf-8"), len(text))
