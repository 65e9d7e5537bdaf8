"""stdin, stdout and stderr of the program, also in another encoding than UTF-8, closed, full, or without a reader."""

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import rich.console

SIGPIPE_EXIT = 128 + 13  # the exit code of a program that SIGPIPE ends
OUTPUTS = (1, 2)  # file descriptors


class Console(rich.console.Console):
    """A Rich console that raises BrokenPipeError where the reader has gone, instead of ending the program."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def prepare_streams() -> None:
    """Open closed streams on the null device, and escape what the encoding of an output lacks."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:  # else the next file that is opened would get this number
            redirect_to_null(number, os.O_RDWR)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if not is_unicode(stream):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def redirect_to_null(number: int, flags: int) -> None:
    null = os.open(os.devnull, flags)
    if null != number:
        os.dup2(null, number)
        os.close(null)


def is_unicode(stream: TextIO) -> bool:
    """Whether the encoding of a stream has every character."""
    return (getattr(stream, "encoding", None) or "utf-8").lower().startswith(("utf", "cp65001"))


def reader_has_gone() -> bool:
    """Whether the reader of an output has closed it, as `head` does when it has enough."""
    poll = select.poll()
    for number in OUTPUTS:
        poll.register(number, 0)  # errors are reported whatever is polled for
    return any(event & select.POLLERR for _, event in poll.poll(0))


@contextmanager
def ignoring_full_disk() -> Iterator[None]:
    """Inside, a stream that cannot be written to, as on a full disk, is no error. One that nobody reads is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError:
        pass


def flush_outputs() -> OSError | None:
    """Write what is buffered. Returns the error where that fails; that output is then redirected to the null device,
    since Python flushes once more when it ends.
    """
    failure = None
    for number, stream in zip(OUTPUTS, (sys.stdout, sys.stderr), strict=True):
        try:
            stream.flush()
        except OSError as error:
            failure = error
            redirect_to_null(number, os.O_WRONLY)
    return failure
