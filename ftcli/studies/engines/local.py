"""Cells as processes of this machine, with a GPU each where there are several."""

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from ftcli.studies.cells import Cell
from ftcli.studies.engines.process import POLL, VISIBLE, start_process

GPUS = Path("/proc/driver/nvidia/gpus")


@dataclass
class Running:
    """A cell with its process and the number of its slot."""

    cell: Cell
    process: "subprocess.Popen[bytes]"
    slot: int


class LocalEngine:
    """At most `slots` processes at a time."""

    outlives = False

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.running: list[Running] = []
        self.gpus = visible_gpus()

    def start(self, cell: Cell, words: list[str], log: Path) -> None:
        slot = min(set(range(self.slots)) - {one.slot for one in self.running})
        gpu = {VISIBLE: self.gpus[slot % len(self.gpus)]} if len(self.gpus) > 1 and self.slots > 1 else {}
        self.running.append(Running(cell, start_process(words, log, {**os.environ, **gpu}), slot))

    def ended(self, seconds: float) -> list[tuple[Cell, int]]:
        until = time.monotonic() + seconds
        while True:
            over = [one for one in self.running if one.process.poll() is not None]
            if over or time.monotonic() >= until:
                break
            time.sleep(POLL)
        self.running = [one for one in self.running if one not in over]
        return [(one.cell, one.process.returncode) for one in over]

    def stop(self) -> None:
        for one in self.running:
            one.process.terminate()
        for one in self.running:
            one.process.wait()
        self.running = []


def visible_gpus() -> list[str]:
    """The GPUs that a process may use, as CUDA_VISIBLE_DEVICES names them."""
    if VISIBLE in os.environ:
        return [name for name in os.environ[VISIBLE].split(",") if name]
    return [str(number) for number, _ in enumerate(GPUS.iterdir())] if GPUS.is_dir() else []
