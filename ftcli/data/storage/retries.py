"""Reading from a source that may be away for some seconds: tried again with longer and longer pauses."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

from ftcli.safe_text import reason, redacted, without_secrets

T = TypeVar("T")
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds before the second try, the third, …
_listeners: list[Callable[[str], None]] = []
_away: set[str] = set()  # places that have not answered since it was announced
_lock = Lock()


class Unavailable(Exception):
    """A try has failed, and another may not."""


class SourceGone(ConnectionError):
    """A source that was tried again and again, and did not answer."""


@contextmanager
def waits_announced_to(note: Callable[[str], None]) -> Iterator[None]:
    """Inside, `note` is told, once for each time that a source is away, that it is waited for."""
    _listeners.append(note)
    try:
        yield
    finally:
        _listeners.remove(note)


def patiently(url: str, read: Callable[[], T]) -> T:
    """What `read` returns, which is called again where it raises Unavailable.

    Raises SourceGone where the last try failed too; every other error of `read` at once.
    """
    for tried, pause in enumerate((*PAUSES, None)):
        try:
            found = read()
            _away.discard(_place(url))
            return found
        except Unavailable as error:
            if pause is None:
                _away.discard(_place(url))
                text = f"it went away: {tried + 1} tries within {sum(PAUSES):.0f} s, the last: {reason(error)}"
                raise SourceGone(0, without_secrets(text), redacted(url)) from error
            if not tried:
                _announce(_place(url), without_secrets(reason(error)))
            time.sleep(pause)
    raise AssertionError("unreachable")


def _announce(place: str, why: str) -> None:
    """Of many threads that wait for a place, one says so."""
    with _lock:
        new = place not in _away
        _away.add(place)
    for note in _listeners if new else ():
        note(f"{place} does not answer ({why}); trying again")


def _place(url: str) -> str:
    """The host or bucket of a URL."""
    return "/".join(redacted(url).split("/")[:3])
