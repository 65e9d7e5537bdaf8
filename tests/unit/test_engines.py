"""The engines of a study keep to one contract: exit codes, a saved state after a stop, a code for a lost cell."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from ftcli.config.slurm import sbatch_options
from ftcli.config.study import Study
from ftcli.errors import RequestError
from ftcli.run_folder.names import STATE
from ftcli.studies.cells import Cell
from ftcli.studies.engines import slurm
from ftcli.studies.engines.engine import Engine
from ftcli.studies.engines.local import LocalEngine
from ftcli.studies.engines.ray import RayEngine, gpus_of_a_cell, room
from ftcli.studies.engines.slurm import SlurmEngine
from tests.helpers.program import Work, work
from tests.helpers.slurm import stand_in

MINUTE = 60.0
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install ray")
needs_submitit = pytest.mark.skipif(find_spec("submitit") is None, reason="submitit is not installed")
needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc to look at a process")


def local() -> Engine:
    return LocalEngine(2)


def ray() -> Engine:
    return RayEngine({"long": 1}, ["cpu"])


def on_slurm() -> Engine:
    return SlurmEngine({"long": 1}, {"time": "10"})


@pytest.fixture(
    params=[local, pytest.param(ray, marks=needs_ray), pytest.param(on_slurm, marks=needs_submitit)],
    ids=["local", "ray", "slurm"],
)
def opened(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine; Slurm's programs are stood in for."""
    for name, value in stand_in(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(slurm, "POLL", 0.2)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = signal.getsignal(signal.SIGTERM)
    engine: Engine = request.param()
    assert signal.getsignal(signal.SIGTERM) is before
    yield engine
    engine.stop()


def cell(name: str) -> Cell:
    return Cell(name, "data", "finetune", 0, ("finetune",))


def until_ended(engine: Engine, count: int = 1) -> dict[str, int]:
    """The exit codes of the next cells that end, by name."""
    codes: dict[str, int] = {}
    until = time.monotonic() + MINUTE
    while len(codes) < count and time.monotonic() < until:
        codes |= {one.name: code for one, code in engine.ended(0.5)}
    return codes


def process_in(folder: Path) -> int:
    """The number of the process that runs in a run folder, once its state has been saved."""
    until = time.monotonic() + MINUTE
    while time.monotonic() < until and not (folder / STATE).is_dir():
        time.sleep(0.1)
    return int((folder / ".lock").read_text("ascii"))


@pytest.fixture
def long(tmp_path: Path) -> Callable[[Engine], Path]:
    """Begins a cell that takes for ever; gives its folder."""
    task: Work = work(tmp_path / "work")
    folder, log = tmp_path / "out", tmp_path / "logs" / "long.log"
    log.parent.mkdir()

    def begin(engine: Engine) -> Path:
        options = ["--epochs", 10000, "--lr", 0.001, "--out", folder, "--resume", "--save-every", 0]
        engine.start(cell("long"), list(map(str, ["finetune", *task.words, *options])), log)
        return folder

    return begin


@needs_proc
def test_contract(opened: Engine, long: Callable[[Engine], Path], tmp_path: Path) -> None:
    """One engine from its start to its end, as Ray takes seconds to start."""
    logs = tmp_path / "logs"
    opened.start(cell("right"), ["presets"], logs / "right.log")
    assert until_ended(opened) == {"right": 0}
    opened.start(cell("wrong"), ["finetune", "--no-such"], logs / "wrong.log")
    assert until_ended(opened) == {"wrong": 2}
    assert "error: " in (logs / "wrong.log").read_text("utf-8")

    number = process_in(long(opened))
    environment = Path(f"/proc/{number}/environ").read_bytes().split(b"\0")
    assert not [one for one in environment if one.startswith(b"OMP_NUM_THREADS=")]
    assert Path(os.readlink(f"/proc/{number}/cwd")) == Path.cwd()
    assert opened.ended(0.1) == []
    os.kill(number, signal.SIGKILL)
    assert until_ended(opened) == {"long": -signal.SIGKILL}

    folder = long(opened)
    number = process_in(folder)
    while int((folder / ".lock").read_text("ascii")) == number and not Path(f"/proc/{number}").exists():
        time.sleep(0.1)  # until the second process has the folder
    number = process_in(folder)
    opened.stop()
    assert not Path(f"/proc/{number}").exists() and (folder / STATE).is_dir()
    said = (logs / "long.log").read_text("utf-8").splitlines()
    assert any(line.startswith("error: ") for line in said)  # a saved state, or stopped while it began


@needs_ray
@needs_proc
def test_lost_worker(long: Callable[[Engine], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who supervises a cell is killed: the cell is reported as lost, and its process saves its state and ends."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    engine = ray()
    number = process_in(long(engine))
    parent = Path(f"/proc/{number}/stat").read_text("utf-8").rpartition(")")[2].split()[1]
    os.kill(int(parent), signal.SIGKILL)
    assert until_ended(engine) == {"long": -signal.SIGKILL}
    until = time.monotonic() + MINUTE
    while Path(f"/proc/{number}").exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert not Path(f"/proc/{number}").exists()
    engine.stop()


@needs_submitit
@needs_proc
def test_job_is_found_again(long: Callable[[Engine], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study that was killed leaves its jobs running; the next one takes them over; their time ends."""
    for name, value in stand_in(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(slurm, "POLL", 0.2)
    number = process_in(long(on_slurm()))
    second = on_slurm()
    process_in(long(second))
    assert len(list((tmp_path / "jobs").glob("*.state"))) == 1
    slurm.scancel("--signal=USR2", ["1"])
    assert until_ended(second) == {"long": 143}
    assert not Path(f"/proc/{number}").exists()


@needs_submitit
@pytest.mark.parametrize(
    ("state", "code"), [("NODE_FAIL", -9), ("CANCELLED", 1), ("OUT_OF_MEMORY", 1), ("PENDING", None), ("TIMEOUT", -9)]
)
def test_state_of_a_job(state: str, code: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What becomes of a cell whose job has left no exit code."""
    for name, value in stand_in(tmp_path).items():
        monkeypatch.setenv(name, value)
    (tmp_path / "bin" / "sbatch").write_text('#!/bin/sh\necho "Submitted batch job 7"\n', "utf-8")
    (tmp_path / "jobs" / "7.state").write_text(state, "ascii")
    (tmp_path / "logs").mkdir()
    engine = on_slurm()
    log = tmp_path / "logs" / "long.log"
    engine.start(cell("long"), ["presets"], log)
    assert [one for _, one in engine.ended(0)] == ([] if code is None else [code])
    assert (code == 1) == (log.is_file() and "error: its job 7" in log.read_text("utf-8"))


@needs_submitit
def test_options_reach_sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stand_in(tmp_path).items():
        monkeypatch.setenv(name, value)
    (tmp_path / "bin" / "sbatch").write_text('#!/bin/sh\ncp "$1" "$JOBS/script"\necho "job 1"\n', "utf-8")
    (tmp_path / "logs").mkdir()
    engine = SlurmEngine({"long": 3}, sbatch_options(["time=4:00:00", "mem_per_cpu=2G", "exclusive"]))
    engine.start(cell("long"), ["presets"], tmp_path / "logs" / "long.log")
    script = (tmp_path / "jobs" / "script").read_text("utf-8").splitlines()
    said = {line.removeprefix("#SBATCH --") for line in script if line.startswith("#SBATCH")}
    assert {"time=4:00:00", "mem-per-cpu=2G", "exclusive", "cpus-per-task=3", "job-name=long"} <= said
    assert not [line for line in said if line.startswith("wckey")]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (["tim=1"], "tim"), (["array=1-3"], "decided"), (["time"], "no value"), (["time="], "no value"),
        (["mem=1G", "mem=2G"], "twice"), (["comment=a\nb"], "no value"),
    ],
)  # fmt: skip
def test_wrong_options_of_sbatch(given: list[str], problem: str) -> None:
    with pytest.raises(RequestError, match=problem):
        Study(engine="slurm", slurm=given)


def test_options_of_sbatch_without_slurm() -> None:
    with pytest.raises(RequestError, match="jobs of Slurm"):
        Study(slurm=["time=10"])


def test_without_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftcli.studies.engines.ray.find_spec", lambda _: None)
    monkeypatch.setattr("ftcli.studies.engines.slurm.find_spec", lambda _: None)
    for make in (ray, on_slurm):
        with pytest.raises(RequestError, match="not installed") as raised:
            make()
        assert "pip install" in raised.value.fix


@needs_submitit
def test_without_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    with pytest.raises(RequestError, match="sbatch"):
        on_slurm()


def test_room() -> None:
    machines = [{"CPU": 5.0}, {"CPU": 8.0, "GPU": 2.0}, {}]
    assert room(machines, 2, 0) == 2 + 4
    assert room(machines, 2, 1) == 2
    assert room(machines, 9, 0) == 0
    assert [gpus_of_a_cell([device], machines) for device in ("cpu", "auto", "cuda:0")] == [0, 1, 1]
    assert gpus_of_a_cell(["auto"], machines[:1]) == 0
