"""Several processes: the very work of one, shared; and when one of them dies, the others end too."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.torch import load_file

from tests.conftest import ROOT
from tests.helpers.program import checkpoint, inside, lasting, read
from tests.helpers.worlds import coloured

ALONE = {"OMP_NUM_THREADS": "1"}
SMALL = ["--image-size", 32, "--threads", 1, "--device", "cpu"]


def launched(*words: Any, processes: int = 2) -> list[str]:
    """The command that starts so many processes of the program."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    return [*launcher, "-m", "ftcli", *map(str, words)]


def together(*words: Any, processes: int = 2) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        launched(*words, processes=processes), capture_output=True, text=True, cwd=ROOT, timeout=240,
        env={**os.environ, **ALONE},
    )  # fmt: skip


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """67 training images and sets whose sizes no number of processes divides."""
    root = tmp_path_factory.mktemp("task")
    train, val = coloured(root / "train", each=23, noise=150), coloured(root / "val", each=7, seed=5, noise=150)
    far = coloured(root / "far", each=11, seed=3, noise=250)
    words = ["--checkpoint", checkpoint(root / "checkpoint", classes=3), "--train", train, "--id-val", val]
    return [*words, "--id-test", f"{val}?limit=13", "--ood", f"far={far}", *SMALL]


def distance(one: Path, other: Path) -> float:
    """‖θ - θ'‖ / ‖θ‖ of two saved models."""
    a, b = (load_file(folder / "model.safetensors") for folder in (one, other))
    apart = sum(float((a[name].double() - b[name].double()).square().sum()) for name in a)
    return (apart / sum(float(tensor.double().square().sum()) for tensor in a.values())) ** 0.5


# 69 images in batches of 16 are 5 steps an epoch, 20 in all; the last batch has 5 images.
FINETUNE = ["--lr", "1e-2", "--epochs", 4, "--batch-size", 16, "--bn", "eval", "--pick", "last", "--seed", 1]


@pytest.mark.parametrize("mixup", ["none", "0.7"])
def test_the_same_weights(task: list[Any], tmp_path: Path, mixup: str) -> None:
    """Also of images that are mixed with some of another process."""
    one, two = tmp_path / "one", tmp_path / "two"
    words = ["finetune", *task, *FINETUNE, "--mixup", mixup]
    assert inside(*words, "--out", one, "--json").returncode == 0
    done = together(*words, "--out", two, "--json")
    assert done.returncode == 0, done.stderr
    assert distance(one, two) <= 1e-5
    assert distance(one, tmp_path / "one") == 0
    first, second = read(one), read(two)
    assert second["environment"]["processes"] == 2
    for before, after in zip(first["runs"][0]["history"], second["runs"][0]["history"], strict=True):
        assert after["loss"] == pytest.approx(before["loss"], rel=1e-5)


def test_the_start_is_far_from_there(task: list[Any], tmp_path: Path) -> None:
    """The distance that the weights of one and two processes may have is small beside what training moves."""
    one, other = tmp_path / "one", tmp_path / "other"
    assert inside("finetune", *task, *FINETUNE, "--out", one, "--json").returncode == 0
    assert inside("finetune", *task, *FINETUNE, "--lr", "1.1e-2", "--out", other, "--json").returncode == 0
    assert distance(one, other) > 1e-4


def test_the_same_figures(task: list[Any], tmp_path: Path) -> None:
    """Every example once, whatever the number of processes: not a bit of a figure changes."""
    words = ["lpft", *task, "--lr", "1e-3", "--epochs", 1, "--batch-size", 8]
    assert inside(*words, "--out", tmp_path / "model", "--json").returncode == 0
    sets = task[task.index("--id-val") : task.index("--ood") + 2]
    judge = ["evaluate", tmp_path / "model", *sets, *SMALL, "--batch-size", 4, "--no-cache", "--json"]
    alone = inside(*judge, "--out", tmp_path / "alone").report
    for processes in (3,):
        out = tmp_path / str(processes)
        done = together(*judge, "--out", out, processes=processes)
        assert done.returncode == 0, done.stderr
        shared = read(out)
        assert shared["environment"]["processes"] == processes
        shared["environment"]["processes"] = 1
        assert lasting(shared) == lasting(alone)
        assert done.stdout.count('"ftcli/report/1"') == 1  # one of them speaks


def test_the_report_is_that_of_the_saved_model(task: list[Any], tmp_path: Path) -> None:
    """BatchNorm's statistics, which each process follows on its own images, are one before anything is measured."""
    words = ["finetune", *task, "--lr", "1e-2", "--epochs", 1, "--batch-size", 8, "--bn", "train", "--json"]
    done = together(*words, "--out", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    sets = task[task.index("--id-val") : task.index("--ood") + 2]
    judge = ["evaluate", tmp_path / "two", *sets, *SMALL, "--batch-size", 8, "--no-cache", "--json"]
    assert inside(*judge, "--out", tmp_path / "o").report["results"] == read(tmp_path / "two")["results"]


def test_a_probe_is_the_same(task: list[Any], tmp_path: Path) -> None:
    words = ["probe", *task, "--batch-size", 8, "--no-cache", "--json"]
    alone = inside(*words, "--out", tmp_path / "one").report
    done = together(*words, "--out", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert read(tmp_path / "two")["results"] == alone["results"]


def test_a_wrong_request_is_told_once(task: list[Any], tmp_path: Path) -> None:
    done = together("finetune", *task, "--ood", "other=nowhere", "--out", tmp_path / "o")
    assert done.returncode != 0
    assert done.stderr.count('there is no file or folder "nowhere"') == 1
    assert not (tmp_path / "o").exists()


def members(launcher: psutil.Process) -> Iterator[psutil.Process]:
    for process in launcher.children(recursive=True):
        if "ftcli" in process.cmdline() and "RANK" in process.environ():
            yield process


def test_one_that_dies_ends_all_and_all_go_on(task: list[Any], tmp_path: Path) -> None:
    """From the last whole epoch, to the very bytes of processes that nobody has disturbed."""
    words = ["finetune", *task, "--lr", "1e-3,1e-2", "--epochs", 8, "--batch-size", 16, "--ema", "0.9"]
    words += ["--save-every", 0]
    assert together(*words, "--out", tmp_path / "calm").returncode == 0
    words += ["--out", tmp_path / "o"]
    with open(tmp_path / "log", "w") as log:
        launcher = subprocess.Popen(
            launched(*words), stdout=log, stderr=log, cwd=ROOT, env={**os.environ, **ALONE}, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 120
        while len(list((tmp_path / "o" / "state").glob("*.safetensors"))) < 2:
            assert time.monotonic() < deadline and launcher.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.01)
        both = list(members(psutil.Process(launcher.pid)))
        assert len(both) == 2
        victim = next(process for process in both if process.environ()["RANK"] == "1")
        victim.send_signal(signal.SIGKILL)
        assert launcher.wait(timeout=60) != 0
        assert not any(process.is_running() and process.status() != "zombie" for process in both)
        assert not (tmp_path / "o" / "report.json").exists()
    finally:
        if launcher.poll() is None:
            os.killpg(launcher.pid, signal.SIGKILL)
    done = together(*words)
    assert done.returncode == 0 and "lr 0.001 seed 0: epoch" not in done.stderr, done.stderr
    for name in ("model.safetensors", "predictions.parquet"):
        assert (tmp_path / "o" / name).read_bytes() == (tmp_path / "calm" / name).read_bytes()
