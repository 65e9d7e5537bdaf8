"""A line on a terminal about something that cannot show its progress, erased when that has ended."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def status_line(text: str) -> Iterator[Callable[[], None]]:
    """Inside, `text` stands on stderr where that is a terminal and `text` is not empty; nothing is written elsewhere.

    Gives a function that erases it earlier. `text` must fit one line.
    """
    stream = sys.stderr
    shown = len(text) if stream.isatty() else 0

    def erase() -> None:
        nonlocal shown
        if shown:
            stream.write(f"\r{' ' * shown}\r")
            stream.flush()
        shown = 0

    if shown:
        stream.write(text)
        stream.flush()
    try:
        yield erase
    finally:
        erase()
