"""What an interrupted command goes on from: the state of every run of its grid, whole on the disk or not there.

A run is one file of tensors, with everything else as JSON in its header: one rename makes both valid together. Order
and augmentation of the data depend on (seed, epoch) alone, so that the position is two numbers.
"""

import json
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import xxhash
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ftcli.errors import INTERRUPTED, TERMINATED, RequestError, Stopped
from ftcli.files import make_folder, write_atomically
from ftcli.text import reason

SHARE = 0.02  # of the time: the ends of epochs are saved where that takes no more
PATIENCE = 20  # seconds in which a step must end after SIGTERM, whose sender kills soon
SIGNALS = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}  # and the exit codes that say so


class Unusable(RequestError):
    """What is saved is damaged, or another request's. It is left as it is."""


@dataclass(frozen=True)
class Part:
    """The state of one run: tensors by name, and what JSON can hold."""

    tensors: dict[str, Tensor]
    said: dict[str, Any]

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin so, without that beginning."""
        return {name[len(prefix) :]: tensor for name, tensor in self.tensors.items() if name.startswith(prefix)}


@dataclass
class Checkpointer:
    """Where the states of a command's runs are kept; `every` seconds one is saved within an epoch.

    `again`: the words that go on with the command, for whoever stops it.

    Of several processes the first one saves, and only where all are at the same place and nothing differs between them:
    between epochs. They hear no signals; whatever stops one of them stops all at once.
    """

    folder: Path
    every: float
    again: str = ""
    rank: int = 0
    processes: int = 1
    saved_at: float = field(default_factory=time.monotonic)
    took: float = 0.0  # seconds, the last time
    stop: int | None = None  # the exit code that a signal asks for
    wish: bool = False  # a signal asks for a state now
    attended: bool = False  # whether a loop is running that looks at these two after every step

    def find(self, run: str) -> Part | None:
        """The state of a run; None where there is none."""
        place = self.place(run)
        if not place.is_file():
            return None
        with self.trusting(run), safe_open(place, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
            header = file.metadata()
            if header.get("checksum") != checksum(tensors, header["state"]):
                raise ValueError("its content is not what was saved")
            return Part(tensors, json.loads(header["state"]))
        return None

    @contextmanager
    def trusting(self, run: str) -> Iterator[None]:
        """Inside, a run's state is taken for what it should be. Raises Unusable where it is not."""
        try:
            yield
        except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise Unusable(
                f"the state of a run cannot be read: {type(error).__name__}: {reason(error)}",
                f"remove {self.place(run)}: that run then begins anew",
            ) from error

    def save(self, run: str, tensors: Mapping[str, Tensor], said: Mapping[str, Any]) -> None:
        """Put a state in the place of the run's last one."""
        if self.rank:
            return
        self.unhurried()
        started = time.monotonic()
        make_folder(self.folder)
        plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        header = {"state": json.dumps(said)}
        header["checksum"] = checksum(plain, header["state"])
        size = sum(tensor.nbytes for tensor in plain.values()) + len(header["state"])
        write_atomically(self.place(run), lambda path: save_file(plain, path, metadata=header), size)
        self.saved_at, self.wish = time.monotonic(), False
        self.took = self.saved_at - started

    def unhurried(self) -> None:
        """A step has ended, and what is saved now may take its time."""
        if self.stop is not None:
            signal.alarm(0)

    def slim(self, run: str) -> None:
        """Of a finished run that is beaten keep what it went through, and no weights."""
        if not self.rank and (part := self.find(run)) is not None and part.tensors:
            self.save(run, {}, part.said)

    def due(self) -> bool:
        """Whether a state is to be saved within an epoch: it is time, or a signal has asked."""
        return self.processes == 1 and (self.wish or self.stop is not None or self.since() >= self.every)

    def due_at_epoch(self) -> bool:
        """Whether the end of an epoch is to be saved: always, but where saving would be most of the work."""
        return self.due() or self.since() >= min(self.took / SHARE, self.every)

    def since(self) -> float:
        """Seconds since the last state."""
        return time.monotonic() - self.saved_at

    def place(self, run: str) -> Path:
        return self.folder / f"{sha256(run.encode()).hexdigest()[:16]}.safetensors"

    def check(self) -> None:
        """Raises Stopped where a signal has asked for the end; call it when the state is saved."""
        if self.stop is not None:
            raise Stopped("interrupted; the state is saved.", self.again, self.stop)

    def rest(self) -> None:
        """The loop is over. Raises Stopped where a signal has asked for that."""
        self.attended = False
        if self.stop is not None:
            self.check()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Inside, SIGINT and SIGTERM stop after a state is saved, SIGUSR1 has one saved; a second one stops at once. A
        step that waits, for a disk say, is not waited for after SIGTERM: the last state stays.

        Between runs there is nothing to save, and they stop at once. Only the main thread of a process hears signals.
        """

        def heard(number: int, _: FrameType | None) -> None:
            if number == signal.SIGALRM:
                raise Stopped("interrupted while a step waited.", self.again, self.stop or TERMINATED)
            if number == signal.SIGUSR1:
                self.wish = True
            elif not self.attended or self.stop is not None:
                raise Stopped("interrupted.", self.again, SIGNALS[signal.Signals(number)])
            else:
                self.stop = SIGNALS[signal.Signals(number)]
                if number == signal.SIGTERM:
                    signal.alarm(PATIENCE)

        if self.processes > 1:
            yield
            return
        try:
            before = {number: signal.signal(number, heard) for number in (*SIGNALS, signal.SIGUSR1, signal.SIGALRM)}
        except ValueError:  # not the main thread
            before = {}
        try:
            yield
        finally:
            self.unhurried()
            for number, handler in before.items():
                signal.signal(number, handler)


def checksum(tensors: Mapping[str, Tensor], state: str) -> str:
    """XXH3 in hex over every byte of a state: its tensors, contiguous and on the CPU, and the JSON beside them."""
    whole = xxhash.xxh3_128(state.encode())
    for name, tensor in sorted(tensors.items()):
        whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        whole.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()
