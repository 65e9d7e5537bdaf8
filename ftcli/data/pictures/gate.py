"""Gate: threads work side by side on small things, and on large ones as far as all together stay below a limit."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Room for so many units at once; whoever finds too little left waits. What is larger than all of it goes alone."""

    def __init__(self, room: int) -> None:
        self._room = self._left = room
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Take `size` units, and give them back in the end."""
        taken = min(size, self._room)
        with self._changed:
            self._changed.wait_for(lambda: self._left >= taken)
            self._left -= taken
        try:
            yield
        finally:
            with self._changed:
                self._left += taken
                self._changed.notify_all()
