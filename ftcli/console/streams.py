"""The streams of the program, ready for whatever they are: in another encoding, closed, full, or read by nobody."""

import os
import select
import sys
from typing import TextIO

import rich.console

NO_READER = 128 + 13  # the exit code of a program that SIGPIPE ends
OUTPUTS = (1, 2)  # file descriptors


class Console(rich.console.Console):
    """Rich's own but for a reader that has gone: that is for `process` to meet, not an exit code of 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def prepare() -> None:
    """Before anything is written: what an encoding does not have is escaped, and a closed stream goes nowhere."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:  # else the next file that is opened would take its place
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if not is_unicode(stream):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def is_unicode(stream: TextIO) -> bool:
    """Whether every text can be written there as it is."""
    return (getattr(stream, "encoding", None) or "utf-8").lower().startswith(("utf", "cp65001"))


def reader_left() -> bool:
    """Whether whoever read what we write has gone, as `head` does when it has enough."""
    poll = select.poll()
    for number in OUTPUTS:
        poll.register(number, 0)  # an error is told whatever is asked for
    return any(event & select.POLLERR for _, event in poll.poll(0))


def flush() -> OSError | None:
    """Write what is still to be written; gives the error where that cannot be done, and nothing is tried again."""
    found = None
    for number, stream in zip(OUTPUTS, (sys.stdout, sys.stderr), strict=True):
        try:
            stream.flush()
        except OSError as error:
            found = error
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, number)  # Python flushes once more when it ends
            os.close(null)
    return found
