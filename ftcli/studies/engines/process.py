"""A cell as a process of the machine that this runs on, whatever engine brought it there."""

import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

VISIBLE = "CUDA_VISIBLE_DEVICES"
POLL = 0.05  # seconds
STOPPED = -signal.SIGKILL  # the code of a cell that was lost with its machine


def start_process(
    words: Sequence[str], log: Path, environment: Mapping[str, str], folder: Path | None = None
) -> "subprocess.Popen[bytes]":
    """Begin a cell. words: its command line behind `ftcli`; log: the file for its stderr; folder: where it was typed.

    It saves its state and ends when nobody holds its stdin any more: so it does not outlive who started it.
    """
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "ftcli.studies.cell_process", *words], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=file, env=dict(environment), cwd=folder, start_new_session=True,
        )  # fmt: skip


def run_process(words: Sequence[str], log: Path, environment: Mapping[str, str], folder: Path) -> int:
    """A cell from its beginning to its end; gives its exit code, negative of a signal. An exception that a signal
    raises meanwhile is passed on when the cell has saved its state.
    """
    process = start_process(words, log, environment, folder)
    try:
        while (code := process.poll()) is None:
            time.sleep(POLL)  # not `wait`: Ray interrupts between two lines of Python only
        return code
    except BaseException:
        process.terminate()
        process.wait()
        raise


def run_with_signals(
    words: Sequence[str], log: Path, environment: Mapping[str, str], folder: Path, signals: Sequence[int]
) -> int:
    """As `run_process`; each of the signals asks the cell to save its state and end, and its exit code says so."""
    process = start_process(words, log, environment, folder)

    def ask(number: int, frame: FrameType | None) -> None:
        process.terminate()

    for number in signals:
        signal.signal(number, ask)
    return process.wait()


def write_problem(log: Path, problem: str) -> None:
    """Say in a cell's log why it failed, where it could not say so itself."""
    with log.open("a", encoding="utf-8") as file:
        file.write(f"error: {problem}\n")
