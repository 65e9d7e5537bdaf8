"""Following a run: trackers, history.jsonl while it grows, progress as JSON lines."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from accelerate.tracking import TensorBoardTracker

from ftcli.console.json_lines import JsonLog
from ftcli.engine.resume.checkpointer import Checkpointer
from ftcli.run_folder.names import STATE
from ftcli.tracking.trackers import Trackers
from tests.helpers.events import events_in, expected_points
from tests.helpers.program import SMALL, checkpoint, inside, read
from tests.helpers.stopped import stopped
from tests.helpers.worlds import coloured

COMMANDS: dict[str, list[Any]] = {
    "finetune": ["finetune", "--lr", "1e-3,1e-2", "--epochs", 2, "--seeds", 2, "--epoch-zero", "--ood-every-epoch"],
    "lpft": ["lpft", "--lr", "1e-3", "--epochs", 2, "--warmup", 1],
    "surgical": ["surgical", "--blocks", "last,none", "--auto", "rgn", "--lr", "1e-3,1e-2", "--epochs", 2],
    "sgd": ["probe", "--solver", "sgd", "--lr", "1e-2,1e-1", "--epochs", 2],
    "exact": ["probe", "--path-points", 5],
}
TRACKED = ["--log-with", "tensorboard"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("following")
    coloured(root / "train", each=16, noise=150)
    coloured(root / "far", each=4, seed=2, noise=200)
    checkpoint(root / "start", classes=3)
    return root


def words(place: Path, name: str, out: Path, *more: Any) -> list[Any]:
    command, *given = COMMANDS[name]
    sets = ["--train", place / "train", "--ood", f"far={place / 'far'}"]
    return [command, "--checkpoint", place / "start", *given, *sets, *SMALL, "--out", out, *more]


@pytest.fixture(scope="module")
def tracked(place: Path) -> dict[str, Path]:
    """A finished run of every command, with its event files."""
    for name in COMMANDS:
        done = inside(*words(place, name, place / name, *TRACKED))
        assert done.returncode == 0, done.stderr
    return {name: place / name for name in COMMANDS}


def history(folder: Path) -> list[dict[str, Any]]:
    """The lines of history.jsonl, each of them whole."""
    text = (folder / "history.jsonl").read_text()
    assert text.endswith("\n") or not text
    return [json.loads(line) for line in text.splitlines()]


def without_seconds(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_epoch_of_every_run_is_in_the_event_files(name: str, tracked: dict[str, Path]) -> None:
    found, expected = events_in(tracked[name]), expected_points(history(tracked[name]))
    assert (name == "exact") == (not expected)
    for run, points in expected.items():
        assert {tag: points for tag, points in found[run].items() if tag != "learning_rate"} == points
    assert set(found) - set(expected) == {run for run in found if run.endswith("results")}


@pytest.mark.parametrize(("name", "parts"), [("finetune", [""]), ("lpft", ["", "probe", "finetune"])])
def test_the_final_figures_are_those_of_the_report(name: str, parts: list[str], tracked: dict[str, Path]) -> None:
    found, report = events_in(tracked[name]), read(tracked[name])
    for part in parts:
        results = (report["stages"][part] if part else report)["results"]
        points = found[f"{part} results".strip()]
        for tag, figures in (("id_test", results["id_test"]), ("ood/far", results["ood"]["far"])):
            for key in ("accuracy", "loss", "ece"):
                assert [value for _, value in points[f"{tag}/{key}"]] == [np.float32(figures[key])]
        assert [value for _, value in points["ood_mean/accuracy"]] == [np.float32(results["ood_mean"]["accuracy"])]


def test_every_choice_has_its_figures(tracked: dict[str, Path]) -> None:
    found, report = events_in(tracked["surgical"]), read(tracked["surgical"])
    for choice, part in report["choices"].items():
        accuracy = part["results"]["ood"]["far"]["accuracy"]
        assert [value for _, value in found[f"{choice} results"]["ood/far/accuracy"]] == [np.float32(accuracy)]


def test_the_rate_is_that_of_the_last_step_of_an_epoch(tracked: dict[str, Path]) -> None:
    """38 images in batches of 16: 3 steps. A rise over one epoch, then a cosine over the second."""
    points = events_in(tracked["lpft"])["lr 0.001 seed 0"]["learning_rate"]
    expected = [(1, 1e-3 * 3 / 4), (2, 1e-3 * 0.5 * (1 + np.cos(np.pi * 2 / 3)))]
    assert points == [(epoch, pytest.approx(rate, rel=1e-6)) for epoch, rate in expected]


def test_trackers_change_nothing_else(place: Path, tracked: dict[str, Path], tmp_path: Path) -> None:
    assert inside(*words(place, "finetune", tmp_path / "o")).returncode == 0
    for file in ("model.safetensors", "predictions.parquet", "config.json"):
        assert (tmp_path / "o" / file).read_bytes() == (tracked["finetune"] / file).read_bytes()
    assert without_seconds(history(tmp_path / "o")) == without_seconds(history(tracked["finetune"]))
    shown = inside(*words(place, "finetune", tracked["finetune"], "--resume", "--json"))
    assert shown.returncode == 0 and read(tracked["finetune"])["config"]["log_with"] == ["tensorboard"]


def killed_in_a_process(asked: list[Any], patched: type, method: str, count: int) -> None:
    """Run a command in a process of its own, which is killed as it calls a method for the `count`th time."""
    plain, calls = getattr(patched, method), [0]

    def call(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(*arguments, **options)

    if not (child := os.fork()):
        try:
            with mock.patch.object(Checkpointer, "due", lambda _: True), mock.patch.object(patched, method, call):
                inside(*asked)
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("name", "patched", "method", "counts"),
    [
        ("finetune", Checkpointer, "save", (3, 9)),
        ("finetune", Checkpointer, "check", (5,)),
        ("finetune", Trackers, "note", (5, 2)),  # logged, and not yet noted
        ("finetune", TensorBoardTracker, "log", (3,)),
        ("surgical", Checkpointer, "save", (9, 4)),
    ],
)
def test_killed_and_resumed_every_epoch_is_there_once(
    name: str,
    patched: type,
    method: str,
    counts: tuple[int, ...],
    place: Path,
    tracked: dict[str, Path],
    tmp_path: Path,
) -> None:
    out = tmp_path / "o"
    asked = words(place, name, out, *TRACKED)
    for count in counts:
        killed_in_a_process(asked, patched, method, count)
        unfinished = without_seconds(history(out))
        assert all(line in without_seconds(history(tracked[name])) for line in unfinished)
        assert len({json.dumps(line) for line in unfinished}) == len(unfinished) > 0
        assert "unfinished run" in inside("report", out).stderr
        time.sleep(1.1)  # TensorBoard reads its files in the order of their names, which have the second
    done = inside(*asked)
    assert done.returncode == 0, done.stderr
    assert without_seconds(history(out)) == without_seconds(history(tracked[name]))
    expected = events_in(tracked[name])
    for run, points in events_in(out).items():
        assert {tag: points for tag, points in points.items() if tag != "seconds"} == {
            tag: points for tag, points in expected[run].items() if tag != "seconds"
        }
        expected.pop(run)
    assert not expected


def seen_at_every_save(asked: list[Any], path: Path) -> list[int]:
    """The number of lines of a growing file at every saved state of a command."""
    seen = []

    def check(_: Checkpointer) -> None:
        seen.append(len(path.read_text().splitlines()))

    with mock.patch.object(Checkpointer, "due", lambda _: True), mock.patch.object(Checkpointer, "check", check):
        done = inside(*asked)
    assert done.returncode == 0, done.stderr
    return seen


def test_history_grows_by_a_line_an_epoch(place: Path, tracked: dict[str, Path], tmp_path: Path) -> None:
    """3 steps, the end of the epoch: 4 states; after the last epoch of a run, its end."""
    seen = seen_at_every_save(words(place, "lpft", tmp_path / "o"), tmp_path / "o" / "history.jsonl")
    assert seen == [0, 0, 0, 1, 1, 1, 1, 2, 2]
    assert without_seconds(history(tmp_path / "o")) == without_seconds(history(tracked["lpft"]))


def test_a_finished_history_stays_until_another_is(place: Path, tmp_path: Path) -> None:
    """With --overwrite the new lines grow beside the state."""
    out = tmp_path / "o"
    assert inside(*words(place, "lpft", out)).returncode == 0
    before = (out / "history.jsonl").read_bytes()
    asked = words(place, "lpft", out, "--lr", "1e-4", "--overwrite")
    assert stopped(5, *asked).returncode == 130
    assert (out / "history.jsonl").read_bytes() == before and len((out / STATE / "history.jsonl").read_bytes()) > 0
    assert inside(*asked).returncode == 0
    assert [line["lr"] for line in history(out)] == [1e-4, 1e-4] and not (out / STATE).exists()


def test_a_run_that_fails_leaves_no_history(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    with mock.patch("ftcli.run.save", side_effect=ValueError("no")):
        assert inside(*words(place, "lpft", out)).returncode == 1
    assert (out / "history.jsonl").exists()  # with the states, which an unknown error leaves
    assert inside(*words(place, "finetune", tmp_path / "p", "--lr", "1e30", "--no-epoch-zero")).returncode == 1
    assert not (tmp_path / "p").exists()


def test_a_link_in_the_place_of_the_history_is_not_followed(place: Path, tmp_path: Path) -> None:
    out, precious = tmp_path / "o", tmp_path / "precious"
    out.mkdir()
    precious.write_text("precious")
    (out / "history.jsonl").symlink_to(precious)
    assert inside(*words(place, "lpft", out)).returncode == 0
    assert precious.read_text() == "precious" and len(history(out)) == 2


def test_curves_of_a_run_that_is_replaced_go(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    assert inside(*words(place, "lpft", out, *TRACKED)).returncode == 0
    asked = words(place, "lpft", out, *TRACKED, "--epochs", 1, "--warmup", 0, "--overwrite")
    assert inside(*asked).returncode == 0
    assert [step for step, _ in events_in(out)["lr 0.001 seed 0"]["loss"]] == [1]


def test_a_tracker_that_is_not_installed_is_refused_before_anything_is_read(place: Path, tmp_path: Path) -> None:
    with mock.patch("ftcli.tracking.kinds.find_spec", lambda name: None):
        done = inside(*words(place, "lpft", tmp_path / "o", "--log-with", "wandb", "--train", "nowhere"))
    assert done.returncode == 2 and not (tmp_path / "o").exists()
    assert "wandb is not installed" in done.stderr and "try: pip install wandb" in done.stderr
    unknown = inside(*words(place, "lpft", tmp_path / "o", "--log-with", "tensorbord"))
    assert unknown.returncode == 2 and "tensorboard" in unknown.stderr


@pytest.mark.parametrize("method", ["start", "log", "finish", "store_init_configuration"])
def test_a_tracker_that_fails_is_a_warning(method: str, place: Path, tracked: dict[str, Path], tmp_path: Path) -> None:
    message = "refused by user@host"
    patch: Callable[..., Any] = mock.patch.object(TensorBoardTracker, method, side_effect=OSError(message))
    with patch:
        done = inside(*words(place, "lpft", tmp_path / "o", *TRACKED))
    assert done.returncode == 0, done.stderr
    warnings = [one for one in read(tmp_path / "o")["warnings"] if one["code"] == "tracker-failed"]
    assert len(warnings) == (method in ("start", "log"))
    assert ("tensorboard failed (OSError)" in done.stderr) == (
        method != "store_init_configuration"
    )  # which is not used
    assert message not in (tmp_path / "o" / "report.json").read_text()
    assert (tmp_path / "o" / "model.safetensors").read_bytes() == (tracked["lpft"] / "model.safetensors").read_bytes()


def test_no_file_says_which_trackers_are_used(place: Path, tracked: dict[str, Path], tmp_path: Path) -> None:
    """Neither somebody else's options nor their report: a tracker may send data away."""
    options = tmp_path / "options.toml"
    options.write_text('log_with = "tensorboard"\n')
    refused = inside(*words(place, "lpft", tmp_path / "o", "--config", options))
    assert refused.returncode == 2 and "--log-with" in refused.stderr
    done = inside(*words(place, "lpft", tmp_path / "o", "--config", tracked["lpft"] / "report.json"))
    assert done.returncode == 0 and not (tmp_path / "o" / "trackers").exists()


def events(stderr: str) -> list[dict[str, Any]]:
    """The progress as JSON lines, and nothing besides."""
    return [json.loads(line) for line in stderr.splitlines()]


def test_progress_as_json_lines(place: Path, tmp_path: Path) -> None:
    done = inside(*words(place, "finetune", tmp_path / "o", "--progress", "json", "--json"))
    found = events(done.stderr)
    assert done.report == read(tmp_path / "o")
    [start] = [one for one in found if one["event"] == "start"]
    assert start == {"event": "start", "runs": 4, "epochs": 8}
    epochs = [one for one in found if one["event"] == "epoch"]
    keys = ("seed", "lr", "epoch", "loss", "id_val", "ood", "seconds")
    lines = [{key: one[key] for key in keys} for one in epochs]
    assert sorted(lines, key=lambda line: (line["seed"], line["lr"])) == history(tmp_path / "o")
    assert [one["epochs_done"] for one in epochs] == [0, 1, 2, 2, 3, 4, 4, 5, 6, 6, 7, 8]
    assert all(one["epochs"] == 8 and one["of"] == 2 for one in epochs) and epochs[-1]["eta_s"] >= 0
    assert [(one["run"], one["number"]) for one in found if one["event"] == "run"] == [
        ("lr 0.001 seed 0", 1), ("lr 0.01 seed 0", 2), ("lr 0.001 seed 1", 3), ("lr 0.01 seed 1", 4),
    ]  # fmt: skip
    said = [{"code": one["code"], "text": one["text"]} for one in found if one["event"] == "warning"]
    assert said == done.report["warnings"]
    assert [one["name"] for one in found if one["event"] == "stage"] == ["evaluation"]
    assert found[-1]["event"] == "end" and found[-1]["ok"]


def test_a_resumed_command_counts_the_epochs_before(place: Path, tmp_path: Path) -> None:
    asked = words(place, "finetune", tmp_path / "o", "--progress", "json")
    ended = stopped(12, *asked)  # after 3 steps and an end for each of 2 epochs, and an end of the run
    last = [line for line in ended.stderr.splitlines() if line.startswith("{")][-1]
    assert ended.returncode == 130 and json.loads(last)["event"] == "end" and not json.loads(last)["ok"]
    found = events(inside(*asked).stderr)
    first, second = [one for one in found if one["event"] == "run"][:2]
    assert first["finished"] and (second["done"], second["resumed"]) == (0, True)
    assert next(one for one in found if one["event"] == "epoch")["epochs_done"] == 3


def test_quiet_leaves_only_warnings(place: Path, tmp_path: Path) -> None:
    found = events(inside(*words(place, "lpft", tmp_path / "o", "--progress", "json", "--quiet")).stderr)
    assert {one["event"] for one in found} == {"warning"}


def test_other_commands_show_json_lines_too(place: Path, tracked: dict[str, Path], tmp_path: Path) -> None:
    asked = ["--ood", f"far={place / 'far'}", "--image-size", 32, "--progress", "json"]
    adapted = inside("adapt", "--checkpoint", tracked["lpft"], *asked, *TRACKED, "--out", tmp_path / "a")
    found = events(adapted.stderr)
    assert next(one for one in found if one["event"] == "start") == {"event": "start", "streams": 1}
    assert next(one for one in found if one["event"] == "run")["unit"] == "batch"
    points = events_in(tmp_path / "a")["all results"]["ood/far/accuracy"]
    accuracy = read(tmp_path / "a")["choices"]["all"]["results"]["ood"]["far"]["accuracy"]
    assert [value for _, value in points] == [np.float32(accuracy)]
    evaluated = inside("evaluate", tracked["lpft"], *asked, "--out", tmp_path / "e")
    assert events(evaluated.stderr)[-1]["event"] == "end"


def test_lines_are_shown_on_a_terminal_where_they_are_asked_for(place: Path, tmp_path: Path) -> None:
    shown = inside(*words(place, "lpft", tmp_path / "o", "--progress", "lines"), terminal=True).stderr
    assert "lr 0.001 seed 0: epoch 2/2" in shown and "━" not in shown


def test_a_run_that_pauses_counts_its_epochs_only() -> None:
    """Where the state of a halved grid is found again, a paused run is not counted as whole."""
    log = JsonLog()
    log.begin_run(1, 9, finished=True, until=1, name="paused")
    log.begin_run(0, 9, finished=True, until=9, name="whole")
    assert log.done == {"paused": 1, "whole": 9}
