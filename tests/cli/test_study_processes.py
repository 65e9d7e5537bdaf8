"""A study with real processes: its cells and itself are killed, and it goes on to the figures of the single commands.
tests/benchmarks/study_killed.py does so at random moments.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from ftcli.studies.cells import read_cells
from tests.conftest import ROOT
from tests.helpers.killed import FILES, cells_of, left_behind, processes_about
from tests.helpers.program import Work, inside, lasting, read, work

STUDY = ["--methods", "finetune", "--seeds", 2, "--epochs", 14, "--lr", "1e-2", "--save-every", 0, "--jobs", 2]
PATIENCE = 300  # seconds
FIRST = "data/finetune/seed-0"


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return work(tmp_path_factory.mktemp("study"))


@pytest.fixture(autouse=True)
def ctrl_c_is_heard() -> Iterator[None]:
    """Where these tests are a shell's background job, too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def begin(task: Work, out: Path, *more: Any) -> "subprocess.Popen[str]":
    words = ["study", *task.words, *STUDY, "--out", out, *more]
    return subprocess.Popen(
        [sys.executable, "-m", "ftcli", *map(str, words)], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def wait_for(happens: Callable[[], Any], process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + PATIENCE
    while not happens():
        assert process.poll() is None and time.monotonic() < until, process.communicate(timeout=1)
        time.sleep(0.02)


def epochs(folder: Path) -> int:
    history = folder / "history.jsonl"
    return len(history.read_text().splitlines()) if history.exists() else 0


def test_killed_cells_and_a_killed_study_go_on(task: Work, tmp_path: Path) -> None:
    out = tmp_path / "s"
    study = begin(task, out)
    wait_for(lambda: epochs(out / FIRST) > 1, study)
    (cell,) = cells_of(out)
    cell.kill()
    wait_for(lambda: cells_of(out) and cells_of(out) != [cell] and epochs(out / FIRST) > 3, study)
    study.kill()
    assert study.wait() == -signal.SIGKILL
    _, alone = psutil.wait_procs(cells_of(out), PATIENCE)
    assert not alone and list((out / FIRST / "state").glob("*.safetensors"))
    assert not (out / FIRST / "report.json").exists()
    told, said = (again := begin(task, out)).communicate(timeout=PATIENCE)
    assert again.returncode == 0, said
    (left,) = re.findall(r"2 cells, 2 runs, (\d+) epochs", said)
    assert 14 < int(left) < 28  # without those of before
    assert f"cell 2 of 2: {FIRST[:-1]}1" in said and "finetune" in told
    assert "Resuming" in (out / "logs" / f"{FIRST.replace('/', '+')}.log").read_text()
    assert left_behind(out) == []
    for one in read_cells(out):
        alone_in = tmp_path / f"alone-{one.seed}"
        words = shlex.split(one.line_in(out).replace(str(out / one.name), str(alone_in)))[1:]
        assert inside(*words).returncode == 0
        assert lasting(read(out / one.name)) == lasting(read(alone_in))
        for name in FILES:
            assert (out / one.name / name).read_bytes() == (alone_in / name).read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_measures_the_time_ends_with_the_study(task: Work, tmp_path: Path, number: signal.Signals) -> None:
    study = begin(task, tmp_path / "s")
    measuring: list[psutil.Process] = []

    def is_measured() -> bool:
        measuring[:] = psutil.Process(study.pid).children()
        return bool(measuring) and "ftcli.studies.measure_process" in measuring[0].cmdline()

    wait_for(is_measured, study)
    os.kill(study.pid, number)
    _, said = study.communicate(timeout=PATIENCE)
    if number == signal.SIGTERM:
        assert study.returncode == 143 and f"try: ftcli study --checkpoint {task.checkpoint}" in said
    _, left = psutil.wait_procs(measuring, PATIENCE)
    assert not left and not processes_about(tmp_path / "s")


def test_a_new_name_is_told_where_none_is_typed(task: Work, tmp_path: Path) -> None:
    """The same command would begin another study."""
    words = [sys.executable, "-m", "ftcli", "study", *map(str, [*task.words, *STUDY])]
    study = subprocess.Popen(
        words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(lambda: cells_of_new(tmp_path), study)
    study.send_signal(signal.SIGINT)
    _, said = study.communicate(timeout=PATIENCE)
    (folder,) = (tmp_path / "runs").iterdir()
    assert study.returncode == 130 and "saved" in said and f"--out runs/{folder.name}" in said
    assert not cells_of_new(tmp_path)


def cells_of_new(folder: Path) -> list[psutil.Process]:
    return [process for one in folder.glob("runs/*") for process in cells_of(Path("runs") / one.name)]
