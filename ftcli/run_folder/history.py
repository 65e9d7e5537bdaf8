"""history.jsonl while a run goes on: a line for every epoch, written as the epoch ends, for `tail -f`."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from errno import EIO
from pathlib import Path
from typing import IO, Any

from ftcli.files import resource_limit, write_atomically
from ftcli.log import EpochEnd, Log
from ftcli.run_folder.names import HISTORY, REPORT, STATE

Line = Mapping[str, Any]


class GrowingHistory:
    """A listener of a log that writes every epoch once.

    The file begins empty, also where a command resumes: the epochs of its saved states are told again. It is replaced,
    in the order of the report, when the run is finished.
    """

    def __init__(self, path: Path) -> None:
        write_atomically(path, lambda path: path.touch())  # never through a link that lies there
        self.path, self.written = path, set[tuple[Any, ...]]()
        self.file: IO[bytes] = path.open("ab", buffering=0)

    def __call__(self, event: EpochEnd) -> None:
        """Append the epoch's line, unless it is there. Raises ResourceLimit where the disk refuses."""
        epoch = tuple(event.line.get(key) for key in ("choice", "seed", "lr", "epoch"))
        if epoch in self.written:
            return
        try:
            self.file.write(as_text([event.line]).encode())
        except OSError as error:
            raise resource_limit(self.path, error.errno or EIO, 0) from error
        self.written.add(epoch)

    def close(self) -> None:
        """No more epochs follow."""
        self.file.close()


@contextmanager
def history_written(folder: Path, log: Log) -> Iterator[None]:
    """Inside, the epochs of which the log is told are written into the folder."""
    history = GrowingHistory(growing_path(folder))
    log.listeners.append(history)
    try:
        yield
    finally:
        log.listeners.remove(history)
        history.close()


def as_text(lines: Iterable[Line]) -> str:
    """The content of history.jsonl."""
    return "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)


def growing_path(folder: Path) -> Path:
    """Where the lines of an unfinished run lie: not over those of a finished one, which it replaces when it ends."""
    return folder / STATE / HISTORY if (folder / REPORT).exists() else folder / HISTORY
