"""A semaphore with weights: threads work together on small items, and on large ones as far as a limit allows."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class WeightedSemaphore:
    """`capacity` units; who asks for more than are free waits. An item larger than all of them takes all."""

    def __init__(self, capacity: int) -> None:
        self._capacity = self._free = capacity
        self._changed = threading.Condition()

    @contextmanager
    def acquired(self, units: int) -> Iterator[None]:
        """Inside, so many units are taken."""
        units = min(units, self._capacity)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= units)
            self._free -= units
        try:
            yield
        finally:
            with self._changed:
                self._free += units
                self._changed.notify_all()
