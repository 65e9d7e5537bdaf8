"""Resuming and the system: signals, locks, processes that die, start together or come late."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from ftcli.engine import train
from ftcli.engine.resume.checkpointer import Checkpointer
from ftcli.errors import RequestError, ResourceLimit, Stopped
from ftcli.log import Log
from ftcli.run_folder import resumable as unfinished
from ftcli.run_folder.lock import LOCK, check_unlocked, locked
from ftcli.run_folder.names import STATE
from tests.helpers.program import inside, read
from tests.helpers.resumable import make_place, words
from tests.helpers.stopped import stopped


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_place(tmp_path_factory.mktemp("resume"))


@pytest.fixture(scope="module")
def undisturbed(place: Path) -> Path:
    """The folder of the finetune command, run to its end at once."""
    done = inside(*words(place, "finetune", place / "undisturbed"))
    assert done.returncode == 0, done.stderr
    return place / "undisturbed"


def test_a_signal_saves_and_goes_on(place: Path, tmp_path: Path) -> None:
    """SIGUSR1 in the middle of a run has a state saved soon, although none is due, and changes nothing."""
    out, saved, plain = tmp_path / "o", list[float](), Checkpointer.save
    step, steps = train.train_step, [0]

    def save(checkpointer: Checkpointer, *what: Any) -> None:
        saved.append(steps[0])
        plain(checkpointer, *what)

    def counted_step(*arguments: Any) -> None:
        steps[0] += 1
        if steps[0] == 3:
            os.kill(os.getpid(), signal.SIGUSR1)
        step(*arguments)

    patches = mock.patch.object(Checkpointer, "save", save), mock.patch.object(train, "train_step", counted_step)
    with patches[0], patches[1], mock.patch.object(Checkpointer, "due_at_epoch", Checkpointer.due):
        assert inside(*words(place, "finetune", out)).returncode == 0
    assert saved[0] in (3, 4), saved


def test_one_process_to_a_folder(place: Path, tmp_path: Path) -> None:
    """The lock goes with the process that holds it, however that ends."""
    out = tmp_path / "o"
    out.mkdir()
    code = (
        f"import fcntl, sys; file = open({str(out / LOCK)!r}, 'w'); fcntl.flock(file, fcntl.LOCK_EX)\n"
        "file.write('4711'); file.flush(); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        refused = inside(*words(place, "finetune", out))
        assert refused.returncode == 2 and "4711" in refused.stderr and "try:" in refused.stderr
    finally:
        holder.kill()
        holder.wait()
    assert inside(*words(place, "finetune", out)).returncode == 0


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_said(number: int, place: Path, tmp_path: Path) -> None:
    """Lustre, some network shares and FUSE: the run goes on, and its report warns."""
    refusal = mock.patch("fcntl.flock", side_effect=OSError(number, os.strerror(number)))
    with refusal, mock.patch.object(Checkpointer, "due", lambda _: True):
        done = inside(*words(place, "finetune", tmp_path / "o"))
    assert done.returncode == 0 and "cannot lock" in done.stderr, done.stderr
    assert [warning["code"] for warning in read(tmp_path / "o")["warnings"] if warning["code"] == "no-lock"]
    with mock.patch("fcntl.flock", side_effect=OSError(errno.EIO, "broken")):
        assert inside(*words(place, "finetune", tmp_path / "p")).returncode == 1


def test_a_process_that_outlives_the_command_does_not_keep_its_lock(tmp_path: Path) -> None:
    """A worker, forked while the folder is locked."""
    read, write = os.pipe()
    begun, begin = os.pipe()
    with locked(tmp_path, Log()):
        if not (child := os.fork()):
            os.close(write)
            os.write(begin, b"1")
            os.read(read, 1)  # until the test is over
            os._exit(0)
        os.read(begun, 1)
        with pytest.raises(RequestError, match="in use"):
            check_unlocked(tmp_path)
    try:
        check_unlocked(tmp_path)
        with locked(tmp_path, Log()):
            pass
    finally:
        for end in (write, read, begun, begin):
            os.close(end)
        os.waitpid(child, 0)


def test_a_subprocess_does_not_inherit_the_lock(tmp_path: Path) -> None:
    with locked(tmp_path, Log()):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    try:
        check_unlocked(tmp_path)
    finally:
        child.communicate(b"\n")


def test_a_lock_of_a_moment_is_waited_for(tmp_path: Path) -> None:
    """Another command checks the folder just then."""
    with (tmp_path / LOCK).open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        threading.Timer(0.1, fcntl.flock, (other, fcntl.LOCK_UN)).start()
        with locked(tmp_path, Log()):
            assert (tmp_path / LOCK).read_text() == str(os.getpid())


def test_a_retry_at_once_after_a_kill_with_workers(place: Path, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    asked = words(place, "finetune", out, "--workers", 2)
    code = (
        "import os, signal, sys; from unittest import mock; from ftcli.cli.main import process_entry\n"
        "from ftcli.engine.resume.checkpointer import Checkpointer\n"
        f"sys.argv = ['ftcli', *{[str(word) for word in asked]!r}]\n"
        "kill = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "with mock.patch.multiple(Checkpointer, due=lambda _: True, check=kill):\n"
        "    process_entry()"
    )
    ended = subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert ended.returncode == -signal.SIGKILL
    done = inside(*asked)
    assert done.returncode == 0, done.stderr
    assert (out / "model.safetensors").read_bytes() == (undisturbed / "model.safetensors").read_bytes()


def test_a_step_that_never_ends_is_not_waited_for(tmp_path: Path) -> None:
    """SIGTERM, while a disk does not answer."""
    checkpointer = Checkpointer(tmp_path, 60.0, "ftcli again", in_steps=True)
    with (
        mock.patch("ftcli.engine.resume.checkpointer.GRACE_PERIOD", 1),
        checkpointer.handling_signals(),
        pytest.raises(Stopped) as stop,
    ):
        os.kill(os.getpid(), signal.SIGTERM)
        assert checkpointer.exit_code == 143
        time.sleep(120)
    assert stop.value.exit_code == 143 and stop.value.fix == "ftcli again"


@pytest.mark.parametrize("stop", [None, 143])
def test_a_killed_worker_leaves_the_state_and_says_how_to_go_on(stop: int | None, place: Path, tmp_path: Path) -> None:
    """Where the same signal has stopped the command, that is what is said."""
    out, saves = tmp_path / "o", [0]

    def check(checkpointer: Checkpointer) -> None:
        saves[0] += 1
        if saves[0] == 3:
            checkpointer.exit_code = stop
            raise ResourceLimit("a process was killed", "fewer --workers")

    with mock.patch.object(Checkpointer, "due", lambda _: True), mock.patch.object(Checkpointer, "check", check):
        done = inside(*words(place, "finetune", out))
    assert done.returncode == (stop or 1) and f"--out {out}" in done.stderr and "Traceback" not in done.stderr
    assert ("fewer --workers" in done.stderr) == (stop is None) and list((out / STATE).glob("*.safetensors"))


def test_two_that_start_together(place: Path, undisturbed: Path, tmp_path: Path) -> None:
    """One runs, and ends as if it were alone; the other ends with exit 2."""
    out = tmp_path / "o"
    children = []
    for number in range(2):
        if not (child := os.fork()):
            try:
                done = inside(*words(place, "finetune", out))
                (tmp_path / f"told{number}").write_text(done.stderr)
                os._exit(done.returncode)
            finally:
                os._exit(99)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert sorted(codes) == [0, 2]
    told = (tmp_path / f"told{codes.index(2)}").read_text()
    assert "in use by process" in told or "holds a finished run" in told
    assert (out / "model.safetensors").read_bytes() == (undisturbed / "model.safetensors").read_bytes()
    assert not (out / LOCK).exists() and not (out / STATE).exists()


def test_looking_at_a_lock_leaves_none(tmp_path: Path) -> None:
    """The other run may end, and remove its lock, while this one looks."""
    (tmp_path / LOCK).touch()
    check_unlocked(tmp_path)
    assert not (tmp_path / LOCK).exists()
    with locked(tmp_path, Log()):
        look = f"from ftcli.run_folder.lock import *; check_unlocked(Path({str(tmp_path)!r}))"
        ended = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=False)
        assert "is in use by process" in ended.stderr and (tmp_path / LOCK).exists()


def test_one_that_comes_late_keeps_what_is_finished(place: Path, undisturbed: Path, tmp_path: Path) -> None:
    """The other run ends between the first look at the folder and the lock."""
    out, plain = tmp_path / "o", unfinished.resumable_run

    def late(folder: Path, *rest: Any) -> Any:
        shutil.copytree(undisturbed, folder)
        return plain(folder, *rest)

    with mock.patch("ftcli.context.resumable_run", late):
        done = inside(*words(place, "finetune", out))
    assert done.returncode == 2 and "holds a finished run" in done.stderr
    assert (out / "report.json").read_bytes() == (undisturbed / "report.json").read_bytes()
    assert not (out / LOCK).exists()
    assert not (out / LOCK).exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_the_state_and_says_how_to_go_on(
    number: signal.Signals, code: int, place: Path, tmp_path: Path
) -> None:
    """In a process of its own, in the middle of a run of many epochs."""
    out = tmp_path / "o"
    asked = [str(word) for word in words(place, "finetune", out, "--epochs", 2000)]
    process = subprocess.Popen(
        [sys.executable, "-m", "ftcli", *asked], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        while process.poll() is None and not list((out / STATE).glob("*.safetensors")):
            time.sleep(0.1)
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code and "the state is saved" in told and f"--out {out}" in told
    assert list((out / STATE).glob("*.safetensors")) and not (out / "report.json").exists()


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_before_there_is_anything_to_save(number: signal.Signals, place: Path, tmp_path: Path) -> None:
    """While everything is loaded SIGUSR1 is passed over, and SIGTERM ends the command with a word."""
    asked = [str(word) for word in words(place, "finetune", tmp_path / "o")]
    code = (
        "import os, sys; from unittest import mock; import ftcli.context; from ftcli.cli.main import process_entry\n"
        f"signal = lambda *_: os.kill(os.getpid(), {int(number)})\n"
        f"sys.argv = ['ftcli', *{asked!r}]\n"
        "with mock.patch('ftcli.context.choose_output_folder', lambda *a, **b: signal() or plain(*a, **b)):\n"
        "    process_entry()"
    ).replace("import ftcli.context;", "import ftcli.context; plain = ftcli.context.choose_output_folder;")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if number == signal.SIGUSR1:
        assert done.returncode == 0 and (tmp_path / "o" / "report.json").exists(), done.stderr
    else:
        assert done.returncode == 143 and "error: terminated" in done.stderr and not (tmp_path / "o").exists()


def test_nobody_else_writes_into_a_folder_with_a_state(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    assert stopped(2, *words(place, "finetune", out)).returncode == 130
    for more in ((), ("--overwrite",)):
        done = inside(
            "evaluate", place / "start", "--id-test", place / "train", "--image-size", 32, "--out", out, *more
        )
        assert done.returncode == 2 and "holds an unfinished run" in done.stderr
    assert not (out / "report.json").exists() and inside(*words(place, "finetune", out)).returncode == 0
