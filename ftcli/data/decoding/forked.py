"""Work on many items by forked processes, in the order of the items.

A child inherits the function and the items, so that nothing has to be sent to it but the number of an item. Each has a
pipe of its own and shares no lock with the others: one that dies leaves nothing behind that another would wait for.
Results are sent by `marshal`, which knows numbers, text, bytes and tuples or lists of them, and no objects.
"""

import ctypes
import gc
import marshal
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkContext, ForkProcess
from typing import Any, Generic, TypeVar

from ftcli import errors
from ftcli.errors import FtcliError, ResourceLimit

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
    """Forked processes that compute `function` of items; it must give what `marshal` knows. They are killed when the
    block ends, however it ends.

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
        results: dict[int, tuple[Result, Fault | None]] = {}
        given = 0
        for number in range(len(self._items)):
            while True:
                while given < min(len(self._items), number + ahead) and self._give(given):
                    given += 1
                if number in results:
                    break
                results |= self._finished()
            result, fault = results.pop(number)
            if fault is not None:
                raise _error_of(*fault)
            yield result

    def _give(self, number: int) -> bool:
        """Give an item to the child that has fewest; False where every child has enough."""
        connection = min(self._queued, key=self._queued.__getitem__)
        if self._queued[connection] >= QUEUED:
            return False
        try:
            connection.send_bytes(number.to_bytes(8))
        except OSError as error:
            raise self._died(connection) from error
        self._queued[connection] += 1
        return True

    def _finished(self) -> "dict[int, tuple[Result, Fault | None]]":
        """Results, or what went wrong, by the number of their item, once there are some."""
        results = {}
        for connection in wait([connection for connection, queued in self._queued.items() if queued]):
            assert isinstance(connection, Connection)
            try:
                number, result, fault = marshal.loads(connection.recv_bytes())
            except (EOFError, OSError) as error:
                raise self._died(connection) from error
            self._queued[connection] -= 1
            results[number] = result, fault
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
    """In a child: the result of each item whose number comes, or what went wrong."""
    end_with_parent()
    gc.freeze()  # a collection that looked at all that was inherited would copy it
    with suppress(EOFError, BrokenPipeError):  # the command has ended
        while True:
            number = int.from_bytes(connection.recv_bytes())
            result, fault = None, None
            try:
                result = function(items[number])
            except BaseException as error:
                fault = _fault_of(error)
            connection.send_bytes(marshal.dumps((number, result, fault)))


Fault = tuple[str, str, str, str]  # an error: name of its class, its text, what to type instead, where it was raised


def _fault_of(error: BaseException) -> Fault:
    text, fix = (error.problem, error.fix) if isinstance(error, FtcliError) else (str(error), "")
    return type(error).__name__, text, fix, "".join(traceback.format_exception(error))


def _error_of(name: str, text: str, fix: str, where: str) -> Exception:
    """The error of a child, as one of this process."""
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, FtcliError):
        return kind(text, fix)
    error = MemoryError(text) if name == "MemoryError" else RuntimeError(f"{name}: {text}")
    error.add_note(f"in another process: {where}")
    return error
