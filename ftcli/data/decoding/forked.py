"""Work on many items by forked processes, in the order of the items.

A child inherits the function and the items, so that nothing has to be sent to it but the number of an item. Each has a
pipe of its own and shares no lock with the others: one that dies leaves nothing behind that another would wait for.
"""

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkContext, ForkProcess
from typing import Any, Generic, TypeVar

from ftcli.errors import ResourceLimit

QUEUED = 2  # items that a child has been given: the one it works on and the next
PR_SET_PDEATHSIG = 1  # of Linux's prctl.h

Item = TypeVar("Item")
Result = TypeVar("Result")


def fork_context() -> ForkContext | None:
    """What makes forked processes; None on systems whose own libraries do not survive a fork."""
    return multiprocessing.get_context("fork") if sys.platform == "linux" else None


def available_cores() -> int:
    """CPU cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def end_with_parent() -> None:
    """In a new process: it ends with the command, and what stops the command does not stop it before."""
    os.setpgrp()  # Ctrl-C goes to a whole group
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Forks(Generic[Item, Result]):
    """Forked processes that compute `function` of items. They are killed when the block ends, however it ends.

    Raises OSError where none can be started.
    """

    def __init__(
        self, function: Callable[[Item], Result], items: Sequence[Item], context: ForkContext, number: int
    ) -> None:
        self._items = items
        self._processes: dict[Connection, ForkProcess] = {}
        self._queued: dict[Connection, int] = {}
        try:
            for _ in range(number):
                here, there = context.Pipe()
                process = context.Process(target=_serve, args=(function, items, there), daemon=True)
                self._processes[here], self._queued[here] = process, 0
                process.start()
                there.close()
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> "Forks[Item, Result]":
        return self

    def __exit__(self, *_: object) -> None:
        started = [process for process in self._processes.values() if process.pid]
        for process in started:
            process.kill()
        for process in started:
            process.join()
        for connection in self._processes:
            connection.close()

    def in_order(self, *, ahead: int) -> Iterator[Result]:
        """`function` of every item, in order; the processes are at most `ahead` items further than what was taken.

        Raises what `function` raises, and ResourceLimit where a process was killed.
        """
        results: dict[int, tuple[Result, BaseException | None]] = {}
        given = 0
        for number in range(len(self._items)):
            while True:
                while given < min(len(self._items), number + ahead) and self._give(given):
                    given += 1
                if number in results:
                    break
                results |= self._finished()
            result, error = results.pop(number)
            if error is not None:
                raise error
            yield result

    def _give(self, number: int) -> bool:
        """Give an item to the child that has fewest; False where every child has enough."""
        connection = min(self._queued, key=self._queued.__getitem__)
        if self._queued[connection] >= QUEUED:
            return False
        try:
            connection.send(number)
        except OSError as error:
            raise self._died(connection) from error
        self._queued[connection] += 1
        return True

    def _finished(self) -> dict[int, tuple[Result, BaseException | None]]:
        """Results, or errors, by the number of their item, once there are some."""
        results = {}
        for connection in wait([connection for connection, queued in self._queued.items() if queued]):
            assert isinstance(connection, Connection)
            try:
                number, result, error = connection.recv()
            except (EOFError, OSError) as fault:
                raise self._died(connection) from fault
            self._queued[connection] -= 1
            results[number] = result, error
        return results

    def _died(self, connection: Connection) -> ResourceLimit:
        process = self._processes[connection]
        process.join()
        code = process.exitcode or 0
        cause = ", as the system does where memory is not enough"
        if code < 0 and code != -signal.SIGKILL:
            cause = f" by {signal.Signals(-code).name}"
        return ResourceLimit(f"one of {len(self._processes)} processes that decode images was killed{cause}.")


def _serve(function: Callable[[Any], Any], items: Sequence[Any], connection: Connection) -> None:
    """In a child: the result of each item whose number comes, or the error instead."""
    end_with_parent()
    gc.freeze()  # a collection that looked at all that was inherited would copy it
    with suppress(EOFError, BrokenPipeError):  # the command has ended
        while True:
            number = connection.recv()
            result, fault = None, None
            try:
                result = function(items[number])
            except BaseException as error:
                fault = error
                fault.__traceback__ = fault.__cause__ = fault.__context__ = None
            connection.send((number, result, fault))
