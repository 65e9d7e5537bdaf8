"""A run that is stopped anywhere and gone on with ends in the very bytes of one that was not."""

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ftcli import __version__
from ftcli.engine import train
from ftcli.engine.resume.checkpointer import Checkpointer, checksum
from ftcli.errors import RequestError, ResourceLimit, Stopped
from ftcli.log import Log
from ftcli.model.loading.save import save_model
from ftcli.run_folder import resumable as unfinished
from ftcli.run_folder.lock import LOCK, check_unlocked, locked
from ftcli.run_folder.names import REQUEST, STATE
from tests.helpers.program import SMALL, checkpoint, inside, read
from tests.helpers.stopped import stopped
from tests.helpers.worlds import coloured, loaded

TIMES = ("created", "argv", "timing", "seconds", "out", "workers", "resume", "overwrite", "save_every")
COMMANDS: dict[str, list[Any]] = {
    "finetune": ["finetune", "--epochs", 2, "--lr", "1e-3,1e-2"],
    "adam": [
        "lpft",
        "--epochs",
        2,
        "--lr",
        "1e-2",
        "--optimizer",
        "adamw",
        "--ema",
        "0.9",
        "--warmup",
        1,
        "--seeds",
        2,
    ],
    "mixup": [
        "finetune",
        "--epochs",
        2,
        "--lr",
        "1e-3,1e-2",
        "--mixup",
        0.7,
        "--schedule",
        "step:1",
        "--augment",
        "flip",
    ],
    "halving": ["finetune", "--epochs", 4, "--lr", "1e-6,1e-5,1e-4,1e-3,1e-2", "--budget", "halving", "--ema", "0.9"],
    "audit": ["lpft", "--epochs", 2, "--lr", "1e-5,1e-3,1e-1", "--budget", "audit", "--optimizer", "adam"],
    "averages": [
        "finetune",
        "--epochs",
        2,
        "--lr",
        "1e-3,3e-3",
        "--seeds",
        2,
        "--average",
        "wise,uniform,greedy,stock",
        "--lines",
        "0.5",
        "--save",
        "average:wise-0.5",
    ],
    "rgn": ["surgical", "--blocks", "last,none", "--auto", "rgn,gradual-last", "--epochs", 2, "--lr", "1e-2"],
    "tent": ["adapt", "--blocks", "all,first,none", "--steps", 2, "--lr", "1e-2"],
    "memo": ["adapt", "--method", "memo", "--blocks", "all", "--augmentations", 2, "--mode", "online"],
    "episodic": ["adapt", "--mode", "episodic", "--lr", "1e-2"],
    "criticality": ["criticality", "--alphas", "0,0.5", "--sigmas", "0.01,0.1", "--draws", 2, "--images", 20],
}
EVERY = {"tent": (1, 4), "memo": (3,), "episodic": (1,), "criticality": (7, 20), "rgn": (2, 7)}  # states
EVERY |= {"averages": (5,)}
EVERY |= {name: (2, 7) for name in COMMANDS if name not in EVERY}
FILES = {"model.safetensors", "predictions.parquet", "config.json", "README.md"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("resume")
    coloured(root / "train", each=16, noise=150)
    coloured(root / "far", each=4, seed=2, noise=200)
    checkpoint(root / "start", classes=3)
    other = loaded("test_resnet", 3)
    generator = torch.Generator().manual_seed(1)
    for parameter in other.model.parameters():
        parameter.data.add_(torch.randn(parameter.shape, generator=generator), alpha=0.02)
    save_model(root / "other", other, other.model, None)
    return root


def words(place: Path, name: str, out: Path, *more: Any) -> list[Any]:
    command, *given = COMMANDS[name]
    models = [place / "start", place / "other"] if command == "criticality" else ["--checkpoint", place / "start"]
    sets = ["--ood", f"far={place / 'far'}"] + (["--train", place / "train"] if command != "adapt" else [])
    plain = name in ("adam", "mixup", "criticality") or command == "adapt"
    options = [one for one in SMALL if one not in ("--augment", "none")] if plain else SMALL
    return [
        command,
        *models,
        *given,
        *sets,
        *options,
        "--batch-size",
        2 if command == "adapt" else 8,
        "--out",
        out,
        *more,
    ]


@pytest.fixture(scope="module")
def undisturbed(place: Path) -> dict[str, Path]:
    for name in COMMANDS:
        done = inside(*words(place, name, place / name))
        assert done.returncode == 0, done.stderr
    return {name: place / name for name in COMMANDS}


def lasting(value: Any) -> Any:
    """A report without what may differ between two runs of one command."""
    if isinstance(value, dict):
        return {key: lasting(one) for key, one in value.items() if key not in TIMES}
    return [lasting(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("name", "every"), [(name, every) for name in COMMANDS for every in EVERY[name]])
def test_stopped_again_and_again(
    name: str, every: int, place: Path, undisturbed: dict[str, Path], tmp_path: Path
) -> None:
    """Every time after so many states, within epochs and between them, until the command gets through."""
    asked, times = words(place, name, tmp_path / "o"), 0
    while (done := stopped(every, *asked)).returncode == 130:
        times += 1
        assert "--out" in done.stderr and not (tmp_path / "o" / "report.json").exists() and times < 200
    assert done.returncode == 0 and times > 1, done.stderr
    for file in {path.name for path in undisturbed[name].iterdir()} & FILES:
        assert (tmp_path / "o" / file).read_bytes() == (undisturbed[name] / file).read_bytes(), file
    assert lasting(read(tmp_path / "o")) == lasting(read(undisturbed[name]))
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == sorted(
        path.name for path in undisturbed[name].iterdir()
    )


def test_beaten_runs_keep_no_weights(place: Path, tmp_path: Path) -> None:
    """Of a grid that is nearly through, one state per seed holds weights, or the disk would fill with losers."""
    asked = words(place, "finetune", tmp_path / "o", "--lr", "1e-4,1e-3,1e-2", "--epochs", 1)
    with mock.patch("ftcli.run.results_of", side_effect=KeyboardInterrupt):
        assert inside(*asked).returncode == 130
    sizes = sorted(path.stat().st_size for path in (tmp_path / "o" / STATE).glob("*.safetensors"))
    assert len(sizes) == 3 and sizes[1] < 10_000 < sizes[2]
    assert inside(*asked).returncode == 0
    alone = inside(*words(place, "finetune", tmp_path / "p", "--lr", "1e-4,1e-3,1e-2", "--epochs", 1))
    assert alone.returncode == 0 and lasting(read(tmp_path / "o")) == lasting(read(tmp_path / "p"))
    assert (tmp_path / "o" / "model.safetensors").read_bytes() == (tmp_path / "p" / "model.safetensors").read_bytes()


def test_another_request_is_refused_and_overwrite_begins_anew(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    assert stopped(2, *words(place, "finetune", out)).returncode == 130
    before = {path.name: path.read_bytes() for path in (out / STATE).iterdir()}
    other = inside(*words(place, "finetune", out, "--momentum", 0.5))
    assert other.returncode == 2 and "--momentum 0.9, and this one has 0.5" in other.stderr
    assert {path.name: path.read_bytes() for path in (out / STATE).iterdir()} == before
    assert inside(*words(place, "finetune", out, "--momentum", 0.5, "--overwrite")).returncode == 0
    assert read(out)["config"]["momentum"] == 0.5 and not (out / STATE).exists()


def change_version(state: Path) -> None:
    request = json.loads((state / REQUEST).read_text())
    (state / REQUEST).write_text(json.dumps(request | {"version": "0.0.9"}))


def change_weights(state: Path) -> None:
    request = json.loads((state / REQUEST).read_text())
    (state / REQUEST).write_text(json.dumps(request | {"weights": ["f" * 64]}))


def lose_request(state: Path) -> None:
    (state / REQUEST).unlink()


def break_request(state: Path) -> None:
    (state / REQUEST).write_text("[[]")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (change_version, f"version 0.0.9, and this one has {__version__}"),
        (change_weights, "other weights"),
        (lose_request, "a request that cannot be read"),
        (break_request, "a request that cannot be read"),
    ],
)
def test_a_state_of_another_version_or_request_is_left_alone(
    change: Callable[[Path], None], told: str, place: Path, tmp_path: Path
) -> None:
    asked = words(place, "finetune", tmp_path / "o")
    assert stopped(2, *asked).returncode == 130
    change(tmp_path / "o" / STATE)
    before = {path.name: path.read_bytes() for path in (tmp_path / "o" / STATE).iterdir()}
    done = inside(*asked)
    assert done.returncode == 2 and told in done.stderr and "--overwrite" in done.stderr, done.stderr
    assert {path.name: path.read_bytes() for path in (tmp_path / "o" / STATE).iterdir()} == before


@pytest.mark.parametrize("name", ["finetune", "tent", "criticality"])
@pytest.mark.parametrize("damage", ["cut", "emptied", "other tensors", "no header"])
def test_a_damaged_state_is_named_and_kept(
    name: str, damage: str, place: Path, undisturbed: dict[str, Path], tmp_path: Path
) -> None:
    """Without that file its run begins anew, and ends as it should."""
    asked = words(place, name, tmp_path / "o")
    assert stopped(2, *asked).returncode == 130
    (state,) = (tmp_path / "o" / STATE).glob("*.safetensors")
    if damage in ("cut", "emptied"):
        state.write_bytes(state.read_bytes()[: state.stat().st_size // 2 if damage == "cut" else 0])
    else:
        save_file({"a": torch.zeros(3)}, state, {"state": "[1]"} if damage == "other tensors" else None)
    content = state.read_bytes()
    done = inside(*asked)
    assert done.returncode == 2 and str(state) in done.stderr and "begins anew" in done.stderr, done.stderr
    assert state.read_bytes() == content and not (tmp_path / "o" / "report.json").exists()
    state.unlink()
    assert inside(*asked).returncode == 0
    assert lasting(read(tmp_path / "o")) == lasting(read(undisturbed[name]))


def flipped(content: bytes) -> bytes:
    """One bit of the last number."""
    return content[:-1] + bytes([content[-1] ^ 64])


def zeroed(content: bytes) -> bytes:
    return content[:-400] + bytes(400)


@pytest.mark.parametrize("name", ["finetune", "tent"])
@pytest.mark.parametrize("spoil", [flipped, zeroed])
def test_a_state_whose_numbers_have_changed_is_named(
    spoil: Callable[[bytes], bytes], name: str, place: Path, tmp_path: Path
) -> None:
    asked = words(place, name, tmp_path / "o")
    assert stopped(2, *asked).returncode == 130
    (state,) = (tmp_path / "o" / STATE).glob("*.safetensors")
    state.write_bytes(spoil(state.read_bytes()))
    done = inside(*asked)
    assert done.returncode == 2 and str(state) in done.stderr and "not what was saved" in done.stderr, done.stderr


def test_imported_code_that_has_changed_is_another_request(place: Path, tmp_path: Path) -> None:
    code = tmp_path / "own.py"
    code.write_text("one = 1\n")
    asked = words(place, "finetune", tmp_path / "o", "--import", code)
    assert stopped(2, *asked).returncode == 130
    code.write_text("one = 2\n")
    assert "other imported code" in inside(*asked).stderr


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


def test_resume_shows_what_is_finished_and_begins_what_is_not(place: Path, undisturbed: dict[str, Path]) -> None:
    shown = inside(*words(place, "finetune", undisturbed["finetune"], "--resume", "--json"))
    assert shown.returncode == 0 and json.loads(shown.stdout) == read(undisturbed["finetune"])
    begun = inside(*words(place, "finetune", place / "new", "--resume"))
    assert begun.returncode == 0 and (place / "new" / "report.json").exists()


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


def test_a_retry_at_once_after_a_kill_with_workers(place: Path, undisturbed: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "o"
    asked = words(place, "finetune", out, "--workers", 2)
    if not (child := os.fork()):
        try:
            with (
                mock.patch.object(Checkpointer, "due", lambda _: True),
                mock.patch.object(Checkpointer, "check", killed),
            ):
                inside(*asked)
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    done = inside(*asked)
    assert done.returncode == 0, done.stderr
    assert (out / "model.safetensors").read_bytes() == (undisturbed["finetune"] / "model.safetensors").read_bytes()


def killed(_: Checkpointer) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


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


def test_two_that_start_together(place: Path, undisturbed: dict[str, Path], tmp_path: Path) -> None:
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
    assert (out / "model.safetensors").read_bytes() == (undisturbed["finetune"] / "model.safetensors").read_bytes()
    assert not (out / LOCK).exists() and not (out / STATE).exists()


def test_one_that_comes_late_keeps_what_is_finished(place: Path, undisturbed: dict[str, Path], tmp_path: Path) -> None:
    """The other run ends between the first look at the folder and the lock."""
    out, plain = tmp_path / "o", unfinished.resumable_run

    def late(folder: Path, *rest: Any) -> Any:
        shutil.copytree(undisturbed["finetune"], folder)
        return plain(folder, *rest)

    with mock.patch("ftcli.context.resumable_run", late):
        done = inside(*words(place, "finetune", out))
    assert done.returncode == 2 and "holds a finished run" in done.stderr
    assert (out / "report.json").read_bytes() == (undisturbed["finetune"] / "report.json").read_bytes()
    assert not (out / LOCK).exists()


def test_a_request_that_fails_leaves_nothing(place: Path, tmp_path: Path) -> None:
    """All rates diverge: there is nothing to go on with."""
    done = inside(*words(place, "finetune", tmp_path / "o", "--lr", "1e30"))
    assert done.returncode == 1 and not (tmp_path / "o").exists()


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


def test_links_and_pipes_in_the_folder_are_not_followed(place: Path, tmp_path: Path) -> None:
    """What somebody has put there in place of the lock or the state is refused, and what it leads to is untouched."""
    precious, out = tmp_path / "precious", tmp_path / "o"
    for make in (
        lambda: (out / LOCK).symlink_to(precious),
        lambda: os.mkfifo(out / LOCK),
        lambda: (out / LOCK).mkdir(),
        lambda: (out / STATE).symlink_to(tmp_path / "elsewhere"),
        lambda: (out / STATE).write_text("a file"),
    ):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        (tmp_path / "elsewhere" / ".mine.part").write_text("mine")
        precious.write_text("precious")
        make()
        for more in ((), ("--overwrite",)):
            done = inside(*words(place, "finetune", out, *more))
            assert (done.returncode == 2 and "no regular file" in done.stderr) or "no folder" in done.stderr, (
                done.stderr
            )
        assert precious.read_text() == "precious"
        assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == [".mine.part"]


def test_nobody_else_writes_into_a_folder_with_a_state(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    assert stopped(2, *words(place, "finetune", out)).returncode == 130
    for more in ((), ("--overwrite",)):
        done = inside(
            "evaluate", place / "start", "--id-test", place / "train", "--image-size", 32, "--out", out, *more
        )
        assert done.returncode == 2 and "holds an unfinished run" in done.stderr
    assert not (out / "report.json").exists() and inside(*words(place, "finetune", out)).returncode == 0


@pytest.mark.parametrize("more", [["--momentum", 0.5], ["--train", "elsewhere"]])
def test_resume_shows_no_other_run(more: list[Any], place: Path, undisturbed: dict[str, Path]) -> None:
    done = inside(*words(place, "finetune", undisturbed["finetune"], "--resume", *more))
    assert done.returncode == 2 and f"holds a finished run with {more[0]}" in done.stderr
    other = inside(*words(place, "rgn", undisturbed["finetune"], "--resume"))
    assert other.returncode == 2 and "command finetune, and this one has surgical" in other.stderr


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"position": {"updates": 2.5}}, "position"),
        ({"position": {"epochs": 99}}, "position"),
        ({"position": {"updates": -5}}, "position"),
        ({"position": {"losses": ["x"], "updates": 1}}, "losses"),
        ({"history": [{"id_val": {"accuracy": 7.5}}]}, "history"),
        ({"candidate": {"accuracy": 2.0}}, "candidate"),
        ({"position": {"finished": True}, "candidate": None}, "weights"),
        ({"updater": {"ceiling": "x"}}, "ceiling"),
    ],
    ids=str,
)
def test_a_state_that_lies_is_named(change: dict[str, Any], what: str, place: Path, tmp_path: Path) -> None:
    asked = words(place, "finetune", tmp_path / "o")
    assert stopped(4, *asked).returncode == 130
    (state,) = (tmp_path / "o" / STATE).glob("*.safetensors")
    with safe_open(state, "pt") as file:
        said, tensors = json.loads(file.metadata()["state"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name, value in change.items():
        said[name] = said[name] | value if isinstance(value, dict) and said[name] else value
    save_file(tensors, state, {"state": json.dumps(said), "checksum": checksum(tensors, json.dumps(said))})
    done = inside(*asked)
    assert done.returncode == 2 and str(state) in done.stderr and "please report" not in done.stderr, done.stderr
    assert "not what was saved" not in done.stderr
