"""A run that is stopped anywhere and gone on with ends in the very bytes of one that was not."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ftcli import __version__
from ftcli.engine.resume.checkpointer import checksum
from ftcli.run_folder.lock import LOCK
from ftcli.run_folder.names import REQUEST, STATE
from tests.helpers.program import inside, read
from tests.helpers.resumable import COMMANDS, FILES, lasting, make_place, words
from tests.helpers.stopped import stopped

EVERY = {
    "tent": (1, 4),
    "memo": (3,),
    "episodic": (1,),
    "criticality": (7, 20),
    "rgn": (3, 7),
    "halving": (9,),
    "averages": (5,),
    "policy": (3,),
    "lora-ma": (5,),
}  # states
EVERY |= {name: (3, 7) for name in COMMANDS if name not in EVERY}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_place(tmp_path_factory.mktemp("resume"))


@pytest.fixture(scope="module")
def undisturbed(place: Path) -> dict[str, Path]:
    for name in COMMANDS:
        done = inside(*words(place, name, place / name))
        assert done.returncode == 0, done.stderr
    return {name: place / name for name in COMMANDS}


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


def test_resume_shows_what_is_finished_and_begins_what_is_not(place: Path, undisturbed: dict[str, Path]) -> None:
    shown = inside(*words(place, "finetune", undisturbed["finetune"], "--resume", "--json"))
    assert shown.returncode == 0 and json.loads(shown.stdout) == read(undisturbed["finetune"])
    begun = inside(*words(place, "finetune", place / "new", "--resume"))
    assert begun.returncode == 0 and (place / "new" / "report.json").exists()


def test_a_request_that_fails_leaves_nothing(place: Path, tmp_path: Path) -> None:
    """All rates diverge: there is nothing to go on with."""
    done = inside(*words(place, "finetune", tmp_path / "o", "--lr", "1e30"))
    assert done.returncode == 1 and not (tmp_path / "o").exists()


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
