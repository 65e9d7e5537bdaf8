"""Saved states from which an interrupted command resumes: one file per run, replaced as a whole or not at all.

A state is a safetensors file whose header holds everything else as JSON: one rename makes both valid together. Order
and augmentation of the data depend on (seed, epoch) alone, so the position in the data is two numbers.
"""

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import torch
import xxhash
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ftcli.errors import INTERRUPTED, TERMINATED, RequestError, Stopped
from ftcli.files import make_folder, write_atomically
from ftcli.safe_text import reason

T = TypeVar("T")

SAVING_SHARE = 0.02  # of the time: the ends of epochs are saved where that takes no more
GRACE_PERIOD = 20  # seconds in which a step must end after SIGTERM, whose sender kills soon
EXIT_CODES = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}


class Unusable(RequestError):
    """A saved state is damaged, or another request's. It is left as it is."""


@dataclass(frozen=True)
class SavedState:
    """The state of one run: tensors by name, and values that JSON can hold."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with `prefix`, without it."""
        return {name[len(prefix) :]: tensor for name, tensor in self.tensors.items() if name.startswith(prefix)}


@dataclass
class Checkpointer:
    """The saved states of a command's runs, when the next one is due, and the signals that ask for one.

    Of several processes the first one saves, and only between epochs, where nothing differs between them. They handle
    no signals; whatever stops one of them stops all at once.
    """

    folder: Path
    every: float  # seconds between two states within an epoch
    resume_command: str = ""
    rank: int = 0
    processes: int = 1
    saved_at: float = field(default_factory=time.monotonic)
    save_seconds: float = 0.0  # that the last save took
    exit_code: int | None = None  # that a signal asks for
    save_requested: bool = False  # by a signal
    in_steps: bool = False  # whether a loop runs that looks at these two after every step

    def find(self, run: str) -> SavedState | None:
        """The state of a run; None where there is none."""
        path = self.path(run)
        if not path.is_file():
            return None
        with self.refusing_damage(run), safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
            header = file.metadata()
            if header.get("checksum") != checksum(tensors, header["state"]):
                raise ValueError("its content is not what was saved")
            return SavedState(tensors, json.loads(header["state"]))
        return None

    @contextmanager
    def refusing_damage(self, run: str) -> Iterator[None]:
        """Inside, the content of a run's state is used. Raises Unusable where it is not what a state holds."""
        try:
            yield
        except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise Unusable(
                f"the state of a run cannot be read: {type(error).__name__}: {reason(error)}",
                f"remove {self.path(run)}: that run then begins anew",
            ) from error

    def save(self, run: str, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Replace the state of a run."""
        if self.rank:
            return
        self.cancel_alarm()
        started = time.monotonic()
        make_folder(self.folder)
        plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        header = {"state": json.dumps(values)}
        header["checksum"] = checksum(plain, header["state"])
        size = sum(tensor.nbytes for tensor in plain.values()) + len(header["state"])
        write_atomically(self.path(run), lambda path: save_file(plain, path, metadata=header), size)
        self.saved_at, self.save_requested = time.monotonic(), False
        self.save_seconds = self.saved_at - started

    def cancel_alarm(self) -> None:
        """End the grace period after SIGTERM: the step has ended, and saving may take its time."""
        if self.exit_code is not None:
            signal.alarm(0)

    def drop_weights(self, run: str) -> None:
        """Keep only the values of a finished run that another run of its grid has beaten."""
        if not self.rank and (saved := self.find(run)) is not None and saved.tensors:
            self.save(run, {}, saved.values)

    def due(self) -> bool:
        """Whether to save within an epoch: the time has come, or a signal has asked."""
        signalled = self.save_requested or self.exit_code is not None
        return self.processes == 1 and (signalled or self.seconds_since_save() >= self.every)

    def due_at_epoch(self) -> bool:
        """Whether to save at the end of an epoch: always, unless saving would take much of the time."""
        return self.due() or self.seconds_since_save() >= min(self.save_seconds / SAVING_SHARE, self.every)

    def seconds_since_save(self) -> float:
        return time.monotonic() - self.saved_at

    def path(self, run: str) -> Path:
        return self.folder / f"{sha256(run.encode()).hexdigest()[:16]}.safetensors"

    def check(self) -> None:
        """Raises Stopped where a signal has asked for the end; call it once the state is saved."""
        if self.exit_code is not None:
            raise Stopped("interrupted; the state is saved.", self.resume_command, self.exit_code)

    @contextmanager
    def handling_signals(self) -> Iterator[None]:
        """Inside, SIGINT and SIGTERM stop the command after a state is saved, and SIGUSR1 has one saved.

        A second SIGINT or SIGTERM stops at once; so does one outside a loop of steps, where there is nothing to save. A
        step that has not ended `GRACE_PERIOD` after SIGTERM is given up, and the last state stays. Python delivers
        signals to the main thread only: elsewhere nothing changes.
        """

        def handle(number: int, _: FrameType | None) -> None:
            if number == signal.SIGALRM:
                raise Stopped("interrupted while a step waited.", self.resume_command, self.exit_code or TERMINATED)
            if number == signal.SIGUSR1:
                self.save_requested = True
            elif not self.in_steps or self.exit_code is not None:
                raise Stopped("interrupted.", self.resume_command, EXIT_CODES[signal.Signals(number)])
            else:
                self.exit_code = EXIT_CODES[signal.Signals(number)]
                if number == signal.SIGTERM:
                    signal.alarm(GRACE_PERIOD)

        if self.processes > 1:
            yield
            return
        try:
            before = {number: signal.signal(number, handle) for number in (*EXIT_CODES, signal.SIGUSR1, signal.SIGALRM)}
        except ValueError:  # not the main thread
            before = {}
        try:
            yield
        finally:
            self.cancel_alarm()
            for number, handler in before.items():
                signal.signal(number, handler)


class RunCheckpoint:
    """The saved state of one run: restored at its beginning, replaced after steps and epochs whenever one is due.

    checkpointer: None saves and restores nothing. capture: makes the state of the run as it is now.
    """

    def __init__(self, checkpointer: Checkpointer | None, run: str, capture: Callable[[], SavedState]) -> None:
        self.checkpointer, self.run, self.capture = checkpointer, run, capture

    def restore(self, load: Callable[[SavedState], T]) -> T | None:
        """What `load` makes of the saved state; None where there is none. Raises Unusable where it cannot use it."""
        if self.checkpointer and (saved := self.checkpointer.find(self.run)):
            with self.checkpointer.refusing_damage(self.run):
                return load(saved)
        return None

    def begin_steps(self) -> None:
        """From now on `after_step` is called soon after any signal, which therefore waits for it."""
        if self.checkpointer:
            self.checkpointer.in_steps = True

    def after_step(self) -> None:
        """Save where a state is due. Raises Stopped where a signal asks for the end."""
        if self.checkpointer and self.checkpointer.due():
            self.save()

    def after_epoch(self) -> None:
        """Save unless saving takes much of the time. Raises Stopped where a signal asks for the end."""
        if self.checkpointer and self.checkpointer.due_at_epoch():
            self.save()

    def end_steps(self, *, save: bool = False) -> None:
        """The run is over: signals stop the command at once again. Raises Stopped where one asks for the end."""
        if self.checkpointer:
            self.checkpointer.in_steps = False
            if save:
                self.save()
            elif self.checkpointer.exit_code is not None:
                self.checkpointer.check()

    def save(self) -> None:
        assert self.checkpointer is not None
        state = self.capture()
        self.checkpointer.save(self.run, state.tensors, state.values)
        self.checkpointer.check()


def checksum(tensors: Mapping[str, Tensor], state: str) -> str:
    """XXH3 in hex over every byte of a state: its tensors, contiguous and on the CPU, and the JSON of its values."""
    digest = xxhash.xxh3_128(state.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
