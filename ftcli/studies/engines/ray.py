"""Cells as tasks of a Ray cluster: the one that RAY_ADDRESS names, else one of this machine that ends with the study.

A task supervises the cell's process and does nothing else, so the figures are those of every other engine: the process
gets the environment of the study, not what Ray makes of it, but for the GPU that Ray gives it.
"""

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ftcli.errors import RequestError
from ftcli.safe_text import reason
from ftcli.studies.cells import Cell
from ftcli.studies.engines.process import STOPPED, VISIBLE, run_process, write_problem

ADDRESS = "RAY_ADDRESS"
INSTALL = "python -m pip install ray, or in a clone of ftcli: python -m pip install '.[ray]'"
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_kill_child_processes_on_worker_exit": "false",  # cells save their state when their worker ends
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # silences a warning; cells say themselves what device they use
}
OBJECT_STORE = 75 * 2**20  # bytes, the least that Ray takes; no tensor goes through it
SHORT = "/tmp"  # Ray's sockets lie below it, and the path of a socket has at most 107 bytes
SAVING = 300  # seconds that cells have to save their state
POLL = 0.1  # seconds
RETRIES = 0  # by Ray: the study begins a cell again itself


class RayEngine:
    """As many cells at a time as the machines have cores and GPUs for.

    threads: of each cell, by name; devices: what --device says, of each.
    """

    outlives = False

    def __init__(self, threads: Mapping[str, int], devices: Sequence[str]) -> None:
        if find_spec("ray") is None:
            raise RequestError("--engine ray needs Ray, which is not installed.", INSTALL)
        self.environment = dict(os.environ)
        with environment(QUIET):
            import ray

            self.ray: Any = ray
            self.folder = None if ray.is_initialized() else connect(ray)
        self.threads, self.running = threads, dict[Any, tuple[Cell, Path]]()
        machines = [machine["Resources"] for machine in ray.nodes() if machine["Alive"]]
        self.gpus = gpus_of_a_cell(devices, machines)
        self.slots = room(machines, max(threads.values(), default=1), self.gpus)
        if not self.slots:
            self.stop()
            raise no_room(machines, max(threads.values()), self.gpus)

    def start(self, cell: Cell, words: list[str], log: Path) -> None:
        task = self.ray.remote(run_cell).options(
            num_cpus=self.threads.get(cell.name, 1), num_gpus=self.gpus, max_retries=RETRIES, name=f"ftcli {cell.name}"
        )
        running = task.remote(words, log.absolute(), self.environment, Path.cwd())
        self.running[running] = (cell, log)

    def ended(self, seconds: float) -> list[tuple[Cell, int]]:
        until = time.monotonic() + seconds
        while True:
            tasks = list(self.running)
            over = self.ray.wait(tasks, num_returns=len(tasks), timeout=0)[0] if tasks else []
            if over or time.monotonic() >= until:
                break
            time.sleep(POLL)  # not within Ray, which makes Ctrl-C of every signal
        ended = [(self.running.pop(task), task) for task in over]
        return [(cell, self.code_of(task, log)) for (cell, log), task in ended]

    def code_of(self, task: Any, log: Path) -> int:
        """The exit code of a task that is over."""
        errors = self.ray.exceptions
        try:
            return int(self.ray.get(task))
        except errors.RayTaskError as error:  # raised by `run_cell` itself: the log or the folder is not there
            write_problem(log, reason(error.cause if error.cause is not None else error))
            return 1
        except errors.RayError:  # the worker or its machine is gone
            return STOPPED

    def stop(self) -> None:
        for task in self.running:
            self.ray.cancel(task)
        if self.running:
            self.ray.wait(list(self.running), num_returns=len(self.running), timeout=SAVING)
        self.running = {}
        if self.folder is not None:
            self.ray.shutdown()
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None


def run_cell(words: list[str], log: Path, environment: dict[str, str], folder: Path) -> int:
    """The task, which runs on any machine of the cluster; gives the exit code of the cell."""
    gpus = {VISIBLE: os.environ[VISIBLE]} if VISIBLE in os.environ else {}
    return run_process(words, log, environment | gpus, folder)


def connect(ray: Any) -> str:
    """Connect to the cluster, or start one of this machine; gives its temporary folder. Signals are handled as before.

    Raises RequestError where the cluster does not answer.
    """
    where = os.environ.get(ADDRESS)
    folder = tempfile.mkdtemp(prefix="ftcli-ray-", dir=SHORT)
    own = {} if where else {
        "address": "local", "include_dashboard": False, "object_store_memory": OBJECT_STORE, "_temp_dir": folder,
    }  # fmt: skip
    here = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(log_to_driver=False, logging_level="ERROR", **own)
    except (RuntimeError, ConnectionError, ValueError, OSError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        what = f"{ADDRESS}={where!r}: no Ray cluster answers" if where else "--engine ray: Ray does not start"
        raise RequestError(f"{what}: {reason(error)}", f"check {ADDRESS}, or leave out --engine") from None
    finally:
        if here:
            signal.signal(signal.SIGTERM, before)
    return folder


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Inside, the environment has these variables; what they were before comes back."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def gpus_of_a_cell(devices: Sequence[str], machines: Sequence[Mapping[str, float]]) -> int:
    """GPUs of a cell: one where a cell asks for it, or may choose and there are some. Ray hides all others from it."""
    if any(device.startswith("cuda") for device in devices):
        return 1
    return int("auto" in devices and any(machine.get("GPU", 0) for machine in machines))


def room(machines: Sequence[Mapping[str, float]], threads: int, gpus: int) -> int:
    """Cells that the machines can run at the same time."""
    return sum(
        min(int(machine.get("CPU", 0)) // threads, int(machine.get("GPU", 0)) // gpus if gpus else 10**9)
        for machine in machines
    )


def no_room(machines: Sequence[Mapping[str, float]], threads: int, gpus: int) -> RequestError:
    """The error that no machine can run a cell."""
    cores = max((int(machine.get("CPU", 0)) for machine in machines), default=0)
    if cores < threads:
        return RequestError(
            f"--threads {threads}: no machine of the Ray cluster has as many cores; the largest has {cores}.",
            f"--threads {max(1, cores)}",
        )
    return RequestError("--device cuda: no machine of the Ray cluster has a GPU and the cores.", "--device cpu")
