"""A semaphore with weights: threads and processes work together on small items, and on large ones as far as a limit
allows.
"""

import mmap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_int64, sizeof
from multiprocessing.context import BaseContext
from typing import Any


class WeightedSemaphore:
    """`capacity` units; who asks for more than are free waits. An item larger than all of them takes all."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._free: Any = c_int64(capacity)
        self._changed: Any = threading.Condition()

    @contextmanager
    def shared(self, context: BaseContext) -> Iterator[None]:
        """Inside, processes that are forked take from the same units. Nothing may be taken when it begins.

        Raises OSError where the system has no locks between processes.
        """
        own = self._changed, self._free
        self._changed, self._free = context.Condition(), c_int64.from_buffer(mmap.mmap(-1, sizeof(c_int64)))
        self._free.value = self._capacity
        try:
            yield
        finally:
            self._changed, self._free = own

    @contextmanager
    def acquired(self, units: int) -> Iterator[None]:
        """Inside, so many units are taken."""
        units = min(units, self._capacity)
        changed, free = self._changed, self._free
        with changed:
            changed.wait_for(lambda: free.value >= units)
            free.value -= units
        try:
            yield
        finally:
            with changed:
                free.value += units
                changed.notify_all()
