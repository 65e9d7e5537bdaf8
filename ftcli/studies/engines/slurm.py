"""Cells as jobs of Slurm, submitted with submitit; the folder of the study is on storage that all machines share.

A job goes on when the process of the study ends without a word; its number lies beside the cell's log, so the same
study finds it again. Jobs are looked up with squeue, which every cluster has; accounting (sacct) is not needed.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ftcli.errors import INTERRUPTED, TERMINATED, RequestError, RunError
from ftcli.files import read_beginning, write_atomically
from ftcli.safe_text import reason
from ftcli.studies.cells import Cell
from ftcli.studies.engines.process import STOPPED, run_with_signals, write_problem

INSTALL = "python -m pip install submitit, or in a clone of ftcli: python -m pip install '.[slurm]'"
PROGRAMS = ("sbatch", "srun", "squeue", "scancel")
FILES = "slurm"  # folder of submitit's files, beside the logs
POLL = 5.0  # seconds between two calls of squeue
LOOK = 0.5  # seconds between two looks for results
LATE = 60.0  # seconds after which a result on shared storage does not come any more
NOTICE = 120  # seconds before the end of its time at which a job is told
SAVING = 300  # seconds that cells have to save their state
GONE = "gone"  # of a job that squeue does not know: it was submitted this second, or ended long ago
ENDED = frozenset({
    GONE, "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
    "REVOKED", "TIMEOUT",
})  # fmt: skip
PROBLEMS = {
    "CANCELLED": "was cancelled with scancel",
    "DEADLINE": "passed its deadline",
    "FAILED": "failed before the cell began",
    "OUT_OF_MEMORY": "had too little memory (--slurm mem=32G gives more)",
}
BY_SIGNAL = (128 + signal.SIGKILL, INTERRUPTED, TERMINATED)


@dataclass
class Submitted:
    """A cell with its job. job: submitit's; since: when it was first seen to have ended, in seconds."""

    cell: Cell
    job: Any
    log: Path
    since: float | None = None

    @property
    def number(self) -> str:
        return str(self.job.job_id)

    def code(self) -> int | None:
        """The exit code of the cell; None where the job has not written any."""
        if not self.job.paths.result_pickle.exists():
            return None
        try:
            return int(self.job.result())
        except Exception as error:  # whatever the job raised: its folder or its log is not there
            write_problem(self.log, f"its job {self.number}: {reason(error)}")
            return 1


class SlurmEngine:
    """All cells at a time, as jobs; Slurm decides how many run. threads: of each cell, by name."""

    outlives = True

    def __init__(self, threads: Mapping[str, int], options: Mapping[str, str]) -> None:
        if find_spec("submitit") is None:
            raise RequestError("--engine slurm needs submitit, which is not installed.", INSTALL)
        if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
            raise RequestError(
                f"--engine slurm: this machine has no {', '.join(missing)}, so it cannot submit jobs to Slurm.",
                "type it on a login node of the cluster, or use --print and a job array",
            )
        self.threads, self.options = threads, dict(options)
        self.slots = max(1, len(threads))
        self.running: list[Submitted] = []
        self.states: dict[str, str] | None = None
        self.asked = 0.0

    def start(self, cell: Cell, words: list[str], log: Path) -> None:
        job = self.earlier_job(log) or self.submit(cell, words, log.absolute())
        self.running.append(Submitted(cell, job, log))

    def submit(self, cell: Cell, words: list[str], log: Path) -> Any:
        """A new job for a cell. Raises RunError where Slurm refuses it."""
        import submitit

        executor = submitit.SlurmExecutor(folder=log.parent / FILES)
        executor.update_parameters(
            job_name=cell.name, time=None, wckey=None, cpus_per_task=self.threads.get(cell.name, 1),
            signal_delay_s=NOTICE, stderr_to_stdout=True,
            additional_parameters={name: value or True for name, value in self.options.items()},
        )  # fmt: skip
        try:
            job = executor.submit(run_cell, words, log, Path.cwd())
        except submitit.core.utils.FailedJobError as error:
            raise RunError(f"sbatch refused the job of {cell.name}: {last_line(str(error))}") from None
        write_atomically(number_file(log), lambda path: path.write_text(f"{job.job_id}\n", "ascii"))
        return job

    def earlier_job(self, log: Path) -> Any:
        """The job of an earlier process of the study that still waits or runs; None where there is none."""
        import submitit

        try:
            number = read_beginning(number_file(log), 32).decode("ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
        states = self.look_up()
        if states is None or states.get(number, GONE) in ENDED:
            return None
        return submitit.SlurmJob(folder=log.absolute().parent / FILES, job_id=number)

    def ended(self, seconds: float) -> list[tuple[Cell, int]]:
        until = time.monotonic() + seconds
        while True:
            if time.monotonic() - self.asked >= POLL:
                self.states, self.asked = self.look_up(), time.monotonic()
            codes = [(one, self.code_of(one)) for one in self.running]
            over = [(one, code) for one, code in codes if code is not None]
            if over or time.monotonic() >= until:
                break
            time.sleep(min(LOOK, seconds))
        gone = [one for one, _ in over]
        self.running = [one for one in self.running if one not in gone]
        return [(one.cell, code) for one, code in over]

    def code_of(self, one: Submitted) -> int | None:
        """The exit code of a cell; None while it runs.

        A cell that a signal has ended is over only when its job is: Slurm may put the same job back into the queue.
        """
        code = one.code()
        if code is not None and code >= 0 and code not in BY_SIGNAL:
            return code
        if self.states is None:
            return None
        state = self.states.get(one.number, GONE)
        if state not in ENDED:
            one.since = None
            return None
        one.since = one.since or time.monotonic()
        may_come = state == GONE or (code is None and state in ("COMPLETED", "FAILED"))
        if may_come and time.monotonic() - one.since < LATE:
            return None
        if state in PROBLEMS:
            write_problem(one.log, f"its job {one.number} {PROBLEMS[state]}; its output: {one.job.paths.stdout}")
            return 1
        return STOPPED if code is None else code

    def look_up(self) -> dict[str, str] | None:
        """State of the jobs of this user, by number; of one that ended minutes ago too. None without an answer."""
        command = ["squeue", "--me", "--noheader", "--states=all", "--format=%i|%T"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        rows = [line.strip().partition("|") for line in done.stdout.splitlines()]
        return {number: state for number, _, state in rows}

    def stop(self) -> None:
        until = time.monotonic() + SAVING
        while self.running and time.monotonic() < until:
            numbers = [one.number for one in self.running]
            scancel("--state=PENDING", numbers)
            scancel("--signal=TERM", numbers)
            time.sleep(LOOK)
            states = self.look_up()
            if states is not None:
                self.running = [one for one in self.running if states.get(one.number, GONE) not in ENDED]
        if self.running:
            scancel("--quiet", [one.number for one in self.running])
        self.running = []


def run_cell(words: list[str], log: Path, folder: Path) -> int:
    """The job, which runs on any machine of the cluster; gives the exit code of the cell.

    SIGUSR2 comes before the end of the job's time, SIGTERM when it is cancelled or another job takes its place.
    """
    return run_with_signals(words, log, os.environ, folder, (signal.SIGTERM, signal.SIGUSR2))


def number_file(log: Path) -> Path:
    """The file with the number of the last job of a cell."""
    return log.with_suffix(".job")


def scancel(what: str, numbers: Iterable[str]) -> None:
    """Cancel jobs or signal them; those that are over are no error."""
    subprocess.run(["scancel", "--quiet", what, *numbers], capture_output=True, check=False)


def last_line(text: str) -> str:
    """What a program said last."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "no reason given").strip()
