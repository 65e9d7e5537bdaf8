"""Runs the cells of a study that are not finished, on any engine: which go first, which again, what is shown."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ftcli.errors import INTERRUPTED, TERMINATED, RequestError
from ftcli.files import make_folder, read_beginning, remove_partial_files
from ftcli.limits import MAX_MESSAGE
from ftcli.run_folder.lock import check_unlocked
from ftcli.safe_text import printable, shortened
from ftcli.studies.cells import LOGS, Cell, startable
from ftcli.studies.engines.engine import Engine
from ftcli.studies.progress import StudyProgress

ATTEMPTS = 5  # of a cell that a signal ends before it has come further
WAIT = 0.5  # seconds between two looks at how far the cells are
PATIENCE = 300  # seconds to wait for a process of an earlier study that still saves its state in a cell's folder
LONGEST_LOG = 10**6  # bytes


@dataclass
class Attempt:
    """How often a cell was begun, and how many epochs its history had the last time."""

    count: int = 0
    epochs: int = 0


@dataclass
class Ended:
    """What became of the cells. failed: the message of each cell that failed, by its name."""

    failed: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def run_cells(cells: Sequence[Cell], study: Path, engine: Engine, progress: StudyProgress) -> Ended:
    """Run all cells that are not finished; a failed one does not stop the others.

    Raises KeyboardInterrupt as the program does when it is stopped, after every cell has saved its state.
    """
    waiting = [cell for cell in cells if not cell.is_finished(study)]
    ahead = {cell.name for cell in waiting}  # names of the cells that have not ended
    running: dict[Cell, float] = {}  # when each began
    attempts: dict[str, Attempt] = {}
    ended = Ended()
    make_folder(study / LOGS)
    try:
        while waiting or running:
            for cell in startable(waiting, ahead, engine.slots - len(running)):
                waiting.remove(cell)
                if not engine.outlives:
                    make_ready(study / cell.name)
                attempts.setdefault(cell.name, Attempt()).count += 1
                running[cell] = time.monotonic()
                progress.begin(cell)
                engine.start(cell, cell.words_in(study), log_of(cell, study))
            for cell, code in engine.ended(WAIT):
                seconds = time.monotonic() - running.pop(cell)
                if code != 0 and to_be_repeated(code, attempts[cell.name], cell.epochs_done(study)):
                    progress.interrupted(cell)
                    waiting.insert(0, cell)
                    continue
                ahead.discard(cell.name)
                ended.seconds[cell.name] = seconds
                if code != 0 or not cell.is_finished(study):
                    ended.failed[cell.name] = message_in(log_of(cell, study), code)
                progress.end(cell, seconds, ended.failed.get(cell.name))
            progress.show({cell.name: cell.epochs_done(study) for cell in running})
    except BaseException:
        engine.stop()
        raise
    return ended


def to_be_repeated(code: int, attempt: Attempt, epochs: int) -> bool:
    """Whether a cell that a signal has ended, as on a machine that is taken away, is begun again."""
    if code > 0 and code - 128 not in (9, INTERRUPTED - 128, TERMINATED - 128):
        return False
    if epochs > attempt.epochs:
        attempt.count, attempt.epochs = 0, epochs
    return attempt.count < ATTEMPTS


def log_of(cell: Cell, study: Path) -> Path:
    return study / LOGS / f"{cell.name.replace('/', '+')}.log"


def make_ready(folder: Path) -> None:
    """Wait while a process of an earlier study still saves its state in the folder, and remove what a killed one has
    half written.
    """
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            check_unlocked(folder)
        except RequestError:
            time.sleep(WAIT)
        else:
            remove_partial_files(folder)
            return


def message_in(log: Path, code: int) -> str:
    """What a cell said when it failed: its last line that begins with "error:"."""
    try:
        text = read_beginning(log, LONGEST_LOG).decode("utf-8", "replace")
    except OSError:
        text = ""
    errors = [line.removeprefix("error: ") for line in text.splitlines() if line.startswith("error: ")]
    return shortened(printable(errors[-1]), MAX_MESSAGE) if errors else f"it ended with exit code {code}"
