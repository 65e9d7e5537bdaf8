"""Disks that are full, folders that nobody may write in, processes that die in the middle of a save."""

import errno
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow.parquet as pq
import pytest
from safetensors import SafetensorError
from safetensors.torch import save_file

from ftcli.engine.resume.checkpointer import Checkpointer
from ftcli.files import PART
from ftcli.run_folder.names import STATE
from tests.helpers.program import SMALL, Ended, checkpoint, inside
from tests.helpers.worlds import coloured

FULL = "Error while serializing: I/O error: No space left on device (os error 28)"
OUTPUTS = ("model.safetensors", "predictions.parquet", "config.json")


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Any]]:
    root = tmp_path_factory.mktemp("room")
    coloured(root / "train", each=16, noise=150)
    checkpoint(root / "start", classes=3)

    def words(out: Path, *more: Any) -> list[Any]:
        sets = ["--checkpoint", root / "start", "--train", root / "train"]
        return ["finetune", *sets, *SMALL, "--epochs", 2, "--lr", "1e-3,1e-2", "--out", out, *more]

    return words


@pytest.fixture(scope="module")
def calm(asked: Callable[..., list[Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("calm") / "o"
    assert inside(*asked(out)).returncode == 0
    return out


def goes_on(asked: Callable[..., list[Any]], out: Path, calm: Path) -> None:
    """The same command again ends in the bytes of the undisturbed one, and leaves nothing else behind."""
    done = inside(*asked(out))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in calm.iterdir())
    for name in OUTPUTS:
        assert (out / name).read_bytes() == (calm / name).read_bytes(), name


@contextmanager
def every_state() -> Iterator[None]:
    """Every step and every epoch is saved."""
    with mock.patch.object(Checkpointer, "due", lambda _: True):
        yield


def full_after(writes: int, write: Callable[..., None], error: Exception) -> Callable[..., None]:
    """A writer that leaves half a file and fails, once so many are written."""
    done = [0]

    def fill(content: Any, path: Path, **more: Any) -> None:
        done[0] += 1
        if done[0] <= writes:
            return write(content, path, **more)
        Path(path).write_bytes(b"half")
        raise error

    return fill


@pytest.mark.parametrize("writes", [1, 4])
def test_no_space_while_a_state_is_saved(
    asked: Callable[..., list[Any]], calm: Path, tmp_path: Path, writes: int
) -> None:
    out, kept = tmp_path / "o", list[bytes]()
    plain = Checkpointer.save

    def save(checkpointer: Checkpointer, run: str, *what: Any) -> None:
        kept[:] = [path.read_bytes() for path in sorted(checkpointer.folder.glob("*.safetensors"))]
        plain(checkpointer, run, *what)

    fill = full_after(writes, save_file, SafetensorError(FULL))
    with (
        every_state(),
        mock.patch("ftcli.engine.resume.checkpointer.save_file", fill),
        mock.patch.object(Checkpointer, "save", save),
    ):
        done = inside(*asked(out))
    assert done.returncode == 1 and "No space left on device" in done.stderr, done.stderr
    assert "MB are needed" in done.stderr and "MB are free" in done.stderr and "make room" in done.stderr
    assert [path.read_bytes() for path in sorted((out / STATE).glob("*.safetensors"))] == kept != []
    assert not list(out.rglob(f"*{PART}")) and not (out / "report.json").exists()
    goes_on(asked, out, calm)


@pytest.mark.parametrize(
    ("where", "write", "error"),
    [
        ("ftcli.model.loading.save.save_file", save_file, SafetensorError(FULL)),
        ("ftcli.run_folder.folder.pq.write_table", pq.write_table, OSError(errno.ENOSPC, "No space left on device")),
    ],
    ids=["model", "predictions"],
)
def test_no_space_for_the_result(
    asked: Callable[..., list[Any]],
    calm: Path,
    tmp_path: Path,
    where: str,
    write: Callable[..., None],
    error: Exception,
) -> None:
    """The training is done, and is not done again when there is room."""
    out = tmp_path / "o"
    with mock.patch(where, full_after(0, write, error)):
        done = inside(*asked(out))
    assert done.returncode == 1 and "No space left on device" in done.stderr and "MB are needed" in done.stderr
    assert not (out / "report.json").exists() and not list(out.rglob(f"*{PART}"))
    assert len(list((out / STATE).glob("*.safetensors"))) == 2
    with mock.patch("ftcli.engine.train.train_step", side_effect=AssertionError("nothing is trained again")):
        goes_on(asked, out, calm)


def in_a_child(work: Callable[[], Ended]) -> int:
    """The exit code of a command in a process of its own, negative where a signal has ended it."""
    child = os.fork()
    if not child:
        try:
            os._exit(work().returncode)
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_limit_on_the_size_of_files(asked: Callable[..., list[Any]], calm: Path, tmp_path: Path) -> None:
    """The system's own refusal, half-way through a state."""
    out = tmp_path / "o"

    def limited() -> Ended:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        with every_state():
            done = inside(*asked(out, "--no-cache"))
        (tmp_path / "told").write_text(done.stderr)
        return done

    assert in_a_child(limited) == 1
    told = (tmp_path / "told").read_text()
    assert "File too large" in told and "MB are needed" in told and "Traceback" not in told
    assert not list(tmp_path.rglob(f"*{PART}")) and not (out / "report.json").exists()
    goes_on(asked, out, calm)


@pytest.mark.parametrize("moment", ["half-written", "before the rename", "after the rename"])
@pytest.mark.parametrize("what", ["state", "result"])
def test_killed_in_the_middle_of_a_save(
    asked: Callable[..., list[Any]], calm: Path, tmp_path: Path, what: str, moment: str
) -> None:
    """Power is cut while the fourth state, or the model, is on its way to the disk."""
    out = tmp_path / "o"
    replace, left = Path.replace, [4 if what == "state" else 1]

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def write(content: Any, path: Path, **more: Any) -> None:
        save_file(content, path, **more)
        left[0] -= 1
        if left[0] == 0 and moment == "half-written":
            os.truncate(path, os.path.getsize(path) // 2)
            die()

    def rename(part: Path, path: Path) -> Path:
        if left[0] == 0 and moment == "before the rename":
            die()
        found = replace(part, path)
        if left[0] == 0:
            die()
        return found

    def killed() -> Ended:
        place = (
            "ftcli.engine.resume.checkpointer.save_file" if what == "state" else "ftcli.model.loading.save.save_file"
        )
        with every_state(), mock.patch(place, write), mock.patch.object(Path, "replace", rename):
            return inside(*asked(out))

    assert in_a_child(killed) == -signal.SIGKILL
    if moment != "after the rename":
        assert list(out.rglob(f"*{PART}"))
    goes_on(asked, out, calm)


def test_a_folder_that_nobody_may_write_in(asked: Callable[..., list[Any]], tmp_path: Path) -> None:
    refused = [mock.patch("os.access", lambda *_: False), mock.patch("os.mkdir", side_effect=PermissionError(13, "no"))]
    for patch in refused:
        with patch:
            done = inside(*asked(tmp_path / "o"))
        assert done.returncode == 1 and "ermission" in done.stderr and "--out" in done.stderr, done.stderr
        assert not (tmp_path / "o").exists()
