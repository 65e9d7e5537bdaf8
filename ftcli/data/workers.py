"""Processes that make batches: no more than shared memory has room for, and one that dies ends the command in order."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from types import TracebackType
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ftcli.data.decoding.forked import end_with_parent
from ftcli.errors import FtcliError, ResourceLimit
from ftcli.log import Log

J = TypeVar("J")
SHARED = "/dev/shm"  # where Linux keeps the memory that processes share; Docker gives it 64 MB
BATCHES_AHEAD = 2  # batches that each process makes in advance
LOCK_BYTES = 2**18  # bytes of it for the locks between the processes
EXIT_CODE_AFTER = 1.0  # seconds until the system says how a process ended whose pipe is closed
DIED = ("exited unexpectedly", "killed by signal", "is not alive")  # as DataLoader says it
LARGER = "--shm-size of Docker, or a larger /dev/shm, makes room"


class Workers(Generic[J]):
    """Up to `number` processes that each make whole batches by `make`; they live as long as this object.

    A job carries everything that its batch depends on, so that the processes need no state of their own.

    Args:
        size: bytes of the largest batch. pin: in memory that a GPU can read by itself.
    """

    def __init__(self, make: Callable[[J], Tensor], number: int, size: int, pin: bool, log: Log) -> None:
        self._make, self._requested, self._size, self._pin, self._log = make, number, size, pin, log
        self._jobs = _Jobs[J]()

    def batches(self, jobs: Sequence[J]) -> Iterator[Tensor]:
        """The batch of each job, in order.

        Raises FtcliError where one cannot be made, ResourceLimit where a process was killed.
        """
        batches = self._started(jobs)
        for job in jobs:
            batch = self._next(batches) if batches else None
            if isinstance(batch, FtcliError):
                raise batch
            yield self._make(job) if batch is None else batch

    def _started(self, jobs: Sequence[J]) -> "Iterator[Tensor | FtcliError | None] | None":
        """What the processes will make; None where none can be started."""
        self._jobs.batches = jobs
        if not self._number:
            return None
        before, main = signal.getsignal(signal.SIGCHLD), threading.current_thread() is threading.main_thread()
        try:
            multiprocessing.Semaphore()  # where DataLoader gets none, it prints a traceback of its own
            return iter(self._loader)
        except OSError as error:  # no locks between processes here, or too many processes
            self._number = 0
            self._warn(f"{self._requested} workers cannot be started ({error.strerror}); this process makes batches")
            return None
        finally:
            if main and before is not None:  # DataLoader's own handler raises in whatever line runs just then
                signal.signal(signal.SIGCHLD, before)

    def _next(self, batches: "Iterator[Tensor | FtcliError | None]") -> Tensor | FtcliError | None:
        try:
            batch = next(batches)
        except (RuntimeError, OSError, EOFError) as error:
            if isinstance(error, RuntimeError) and not any(words in str(error) for words in DIED):
                raise
            raise ResourceLimit(
                f"one of {self._number} processes that decode images was killed{self._cause()}.",
                "fewer --workers (0 decodes in the command's own process)",
            ) from error
        if batch is None:
            self._warn(f"{SHARED} is full: batches of --workers do not fit, and this process makes them. {LARGER}")
        return batch

    def _cause(self) -> str:
        """What has killed a process, in words."""
        started = getattr(getattr(self._loader, "_iterator", None), "_workers", ())
        until = time.monotonic() + EXIT_CODE_AFTER
        while not any(process.exitcode for process in started) and time.monotonic() < until:
            time.sleep(0.01)
        signals = {-process.exitcode for process in started if (process.exitcode or 0) < 0} - {signal.SIGKILL}
        names = [signal.Signals(number).name for number in sorted(signals)]
        return f" by {' and '.join(names)}" if names else ", as the system does where memory is not enough"

    @cached_property
    def _number(self) -> int:
        """As many as shared memory holds the batches of."""
        try:
            status = os.statvfs(SHARED)
        except OSError:  # another system, with no such limit
            return self._requested
        room = status.f_bavail * status.f_frsize - LOCK_BYTES
        number = min(self._requested, max(0, room // (BATCHES_AHEAD * self._size)))
        if number < self._requested:
            needed = self._requested * BATCHES_AHEAD * self._size + LOCK_BYTES
            self._warn(
                f"{SHARED} has {(room + LOCK_BYTES) / 1e6:.1f} MB free, and {self._requested} workers need "
                f"{needed / 1e6:.1f} MB: {number or 'none'} of them start. {LARGER}"
            )
        return number

    @cached_property
    def _loader(self) -> "DataLoader[Tensor | FtcliError | None]":
        """The generator keeps DataLoader from drawing its base seed from the global one."""
        return DataLoader(
            _BatchDataset(self._make),
            batch_size=None,
            sampler=self._jobs,
            num_workers=self._number,
            prefetch_factor=BATCHES_AHEAD,
            persistent_workers=True,
            collate_fn=_unchanged,
            worker_init_fn=_start_worker,
            pin_memory=self._pin,
            generator=torch.Generator(),
        )

    def _warn(self, text: str) -> None:
        self._log.warn("workers", text)


class _Jobs(Sampler[J]):
    """The batches of the epoch about to begin."""

    def __init__(self) -> None:
        self.batches: Sequence[J] = ()

    def __iter__(self) -> Iterator[J]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class _BatchDataset(Dataset[Tensor | FtcliError | None]):
    """What a process makes of a job: a batch in shared memory; None where that has no room; or what went wrong.

    An error is handed back as it is, where DataLoader would wrap it in a traceback. A batch is put into shared memory
    here: where DataLoader's own thread does it and fails, the batch is lost and is waited for without end.
    """

    def __init__(self, make: Callable[[Any], Tensor]) -> None:
        self.make = make

    def __getitem__(self, job: Any) -> Tensor | FtcliError | None:
        try:
            batch = self.make(job)
        except FtcliError as error:
            return error
        except MemoryError:
            return ResourceLimit("out of memory: a process that decodes images.", "fewer --workers")
        try:
            return batch.share_memory_()
        except RuntimeError:
            return None


def _unchanged(batch: Any) -> Any:
    return batch


def _start_worker(_: int) -> None:
    """In a new process."""
    end_with_parent()
    sys.excepthook = _report_unless_disconnected  # of the thread that hands batches over


def _report_unless_disconnected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A traceback, but for a process whose batch nobody takes any more: the command is ending."""
    if not issubclass(kind, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)
