"""What a person sees while a command runs, where it resumes, and what a dry run says that a run will do."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from ftcli.config.declare import Words
from ftcli.console.progress import ConsoleLog
from ftcli.engine import train
from ftcli.engine.device import Machine
from ftcli.errors import RequestError
from ftcli.log import EpochEnd
from ftcli.methods.surgical import surgical
from ftcli.model.loading.save import save_model
from ftcli.time_estimate import estimate
from ftcli.time_estimate import trial as trial_module
from ftcli.time_estimate.trial import Stopwatch, run_trial, size_of_trial
from ftcli.workload import EPOCH_PASS, EVALUATION, PASS
from tests.helpers.plain_loop import unbalanced
from tests.helpers.program import SMALL, checkpoint, inside
from tests.helpers.stopped import stopped
from tests.helpers.surgical_runs import knowing, setting_for
from tests.helpers.worlds import coloured, loaded

MOVES = re.compile(r"\x1b\[[0-9;?]*[A-Za-ln-z]")  # of the cursor, and what erases; not colours
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("progress")
    coloured(root / "train", each=30, noise=150)
    coloured(root / "far", each=8, seed=2, noise=200)
    checkpoint(root / "start", classes=3)
    network = loaded("test_resnet", 3)
    save_model(root / "other", network, network.model, ("class0", "class1", "class2"))
    return root


def words(place: Path, command: str, *more: Any) -> list[Any]:
    far, plain = ["--ood", f"far={place / 'far'}"], [word for word in SMALL if word not in ("--augment", "none")]
    if command == "criticality":
        return [command, place / "start", place / "other", "--train", place / "train", *far, *plain, *more]
    if command == "adapt":
        return [command, "--checkpoint", place / "other", "--id-test", place / "train", *far, *plain, *more]
    start = place / ("other" if command == "surgical" else "start")
    return [command, "--checkpoint", start, "--train", place / "train", *far, *SMALL, *more]


def on_terminal(asked: list[Any], columns: int) -> tuple[str, str]:
    """stderr of a command, as a terminal of this width gets it, and stdout, which is a pipe."""
    main, sub = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "ftcli", *map(str, asked)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sub, env=environment, stdin=subprocess.DEVNULL)
    os.close(sub)
    seen = b""
    while True:
        ready, _, _ = select.select([main], [], [], 0.1)
        try:
            seen += os.read(main, 1 << 16) if ready else b""
        except OSError:  # the command has ended
            break
    os.close(main)
    assert process.stdout is not None
    output = process.stdout.read().decode()
    assert process.wait() == 0, seen.decode()
    return COLOURS.sub("", MOVES.sub("\n", seen.decode())), output


@pytest.mark.parametrize("columns", [60, 92])
def test_the_line_of_a_whole_command_on_a_terminal(place: Path, tmp_path: Path, columns: int) -> None:
    asked = words(place, "finetune", "--lr", "1e-3,1e-2", "--epochs", 9, "--out", tmp_path / "o", "--json")
    seen, output = on_terminal(asked, columns)
    bars = [line for line in re.split(r"[\r\n]+", seen) if "━" in line]
    overall = [line for line in bars if re.match(r"run \d of 2 ", line)]
    assert {line[:10] for line in overall} == {"run 1 of 2", "run 2 of 2"}
    assert any(re.fullmatch(r"run \d of 2 [━╸╺]+ about \d+ (s|min) left *", line) for line in overall)
    assert max(map(len, bars)) <= columns and any("epoch 2/9" in line for line in bars)
    assert output.startswith("{") and " of 2" not in output


def test_a_pipe_and_a_quiet_command_have_no_bar(place: Path, tmp_path: Path) -> None:
    asked = words(place, "finetune", "--lr", "1e-3", "--epochs", 2, "--out", tmp_path / "o")
    done = inside(*asked)
    assert "run 1 of 1" not in done.stderr and "━" not in done.stderr and done.stderr.count("to go") <= 1
    assert inside(*asked, "--overwrite", "--quiet").stderr.count("\n") == done.stderr.count("warning")


def resumed_after(states: int, asked: list[Any]) -> str:
    """stderr of a command that goes on, stopped before when so many states were saved: one after every step or so."""
    assert stopped(states, *asked).returncode == 130
    done = inside(*asked)
    assert done.returncode == 0, done.stderr
    return done.stderr


# An epoch of 72 images in batches of 16 is 5 steps, each saved, and so are its end and that of a run: 5 + 1 for an
# epoch, 2 · 6 + 1 for a run of two.
FINETUNE = ["--lr", "1e-3,1e-2", "--epochs", 2]


@pytest.mark.parametrize(
    ("command", "more", "states", "line"),
    [
        ("finetune", FINETUNE, 3, "Resuming at epoch 1 of 2, run 1 of 2"),
        ("lpft", FINETUNE, 6, "Resuming at epoch 2 of 2, run 1 of 2"),
        ("finetune", FINETUNE, 13, "Resuming at epoch 1 of 2, run 2 of 2"),
        ("finetune", [*FINETUNE, "--seeds", 2], 27, "Resuming at epoch 1 of 2, run 3 of 4"),
        (
            "surgical", ["--blocks", "last,first", "--lr", "1e-3", "--epochs", 2], 19,
            "Resuming at epoch 2 of 2, run 2 of 2",
        ),
        ("adapt", ["--blocks", "first,all"], 8, "Resuming at batch 2 of 2, stream 2 of 4"),
        (
            "criticality", ["--alphas", "0,0.5", "--sigmas", "0.1", "--draws", 2, "--images", 20], 9,
            "Resuming at error count 3 of 6, block 2 of",
        ),
    ],
)  # fmt: skip
def test_a_resumed_command_says_where(
    place: Path, tmp_path: Path, command: str, more: list[Any], states: int, line: str
) -> None:
    told = resumed_after(states, words(place, command, *more, "--out", tmp_path / "o"))
    assert next(said for said in told.splitlines() if said.startswith("Resuming")).startswith(line)
    assert told.count("Resuming") == 1


def test_a_new_command_resumes_nothing(place: Path, tmp_path: Path) -> None:
    assert "Resuming" not in inside(*words(place, "finetune", *FINETUNE, "--out", tmp_path / "o")).stderr


class Counted:
    """What a real run does: items of its loops by kind and stage, and steps of the training loop."""

    def __init__(self) -> None:
        self.batches: Counter[tuple[str, str]] = Counter()
        self.images: Counter[tuple[str, str]] = Counter()
        self.steps = self.epochs = self.runs = 0

    def run(self, *asked: Any, **environment: str) -> Any:
        plain_timed, plain_step = ConsoleLog.timed, train.train_step
        plain_run, plain_epoch = ConsoleLog.begin_run, ConsoleLog.epoch

        def timed(log: ConsoleLog, items: Iterable[Any], kind: str) -> Iterator[Any]:
            stage = log.overall.stage
            for item in plain_timed(log, items, kind):
                self.batches[stage, kind] += 1
                self.images[stage, kind] += sum(item) if isinstance(item, list) else 0  # passes have batch sizes
                yield item

        def step(*arguments: Any) -> None:
            self.steps += 1
            plain_step(*arguments)

        def begin_run(*arguments: Any, **options: Any) -> None:
            self.runs += 1
            plain_run(*arguments, **options)

        def epoch(log: ConsoleLog, event: EpochEnd) -> None:
            self.epochs += event.line["epoch"] > 0
            plain_epoch(log, event)

        with (
            mock.patch.object(ConsoleLog, "timed", timed), mock.patch.object(train, "train_step", step),
            mock.patch.object(ConsoleLog, "begin_run", begin_run), mock.patch.object(ConsoleLog, "epoch", epoch),
        ):  # fmt: skip
            done = inside(*asked, **environment)
        assert done.returncode == 0, done.stderr
        return done


CASES = {
    "finetune": ["finetune", "--lr", "1e-3,1e-2", "--epochs", 3, "--seeds", 2, "--augment", "light"],
    "lpft": ["lpft", "--lr", "1e-3,1e-2", "--epochs", 2, "--epoch-zero", "--ood-every-epoch", "--augment", "light"],
    "suffix": ["finetune", "--lr", "1e-3", "--epochs", 3, "--tune", "no-embedding"],
    "sgd": ["probe", "--solver", "sgd", "--lr", "1e-2,1e-1", "--epochs", 4],
    "exact": ["probe"],
    "surgical": ["surgical", "--blocks", "first,last,none", "--auto", "rgn", "--lr", "1e-3,1e-2", "--epochs", 2],
    "bn": ["finetune", "--lr", "1e-3", "--epochs", 2, "--bn", "train", "--batch-size", 71],  # one image is left over
}
NAMES = ("training", "features", "evaluation", "evaluation after each epoch", "frozen part")


@pytest.mark.parametrize("case", CASES)
def test_a_dry_run_counts_what_a_run_does(place: Path, tmp_path: Path, case: str) -> None:
    command, *more = CASES[case]
    cache = {"FTCLI_CACHE": str(tmp_path / "cache")}
    asked = words(place, command, *more)
    planned = inside(*asked, "--dry-run", "--json", **cache)
    assert planned.returncode == 0, planned.stderr
    plan = planned.report["time"]
    counted = Counted()
    counted.run(*asked, "--out", tmp_path / "o", **cache)
    count = {name: sum(part["count"] for part in plan["parts"] if part["name"] == name) for name in NAMES}
    assert (plan["runs"], plan["runs"] * plan["epochs"]) == (counted.runs, counted.epochs)
    assert count["training"] == plan["runs"] * plan["epochs"] * plan["steps"] == counted.steps
    assert count["evaluation after each epoch"] == counted.images["", EPOCH_PASS]
    passes = sum(counted.images[stage, PASS] for stage in ("", "exact probe", EVALUATION))
    checked = min(16, planned.report["data"]["id_val"]["n"]) * (counted.batches["exact probe", PASS] > 0)
    assert count["features"] + count["evaluation"] == passes - checked  # one batch checks the head of a probe
    assert plan["low"] < plan["seconds"] < plan["high"] and plan["seconds"] > 0


def test_the_features_in_the_cache_are_not_estimated(place: Path, tmp_path: Path) -> None:
    asked, cache = words(place, "probe"), {"FTCLI_CACHE": str(tmp_path / "cache")}

    def names() -> set[str]:
        return {part["name"] for part in inside(*asked, "--dry-run", "--json", **cache).report["time"]["parts"]}

    assert {"decoding", "features", "exact probe"} <= names()
    assert inside(*asked, "--out", tmp_path / "o", **cache).returncode == 0
    assert names() == {"opening", "exact probe"}


def test_a_dry_run_says_the_time_in_words(place: Path) -> None:
    shown = " ".join(inside(*words(place, "lpft", *FINETUNE, "--measure", "distortion"), "--dry-run").stdout.split())
    assert re.search(
        r"about \d+ s \(between \d+ s and \d+ s\): 2 runs of 2 epochs of 5 steps at [\d.e-]+ s each, an exact probe,"
        r" 1 model evaluated on every set; measured on \d+ training images;"
        r" without loading of PyTorch and timm,? (and )?--measure distortion",
        shown,
    ), shown


@pytest.mark.parametrize("points", [20, 100])
def test_the_exact_probe_is_estimated_from_evaluations_with_all_examples(place: Path, points: int) -> None:
    asked = words(place, "probe", "--path-points", points, "--dry-run", "--json")
    with mock.patch.multiple(estimate, evaluation_seconds=lambda *_: 25.6, step_seconds=lambda *_: 100.0):
        planned = inside(*asked).report
    [found] = (part["seconds"] for part in planned["time"]["parts"] if part["name"] == "exact probe")
    each = planned["data"]["train"]["n"] / estimate.TIMED_ROWS * 25.6 + 100.0
    assert found == pytest.approx((150 + 2 * points) * each, rel=0.01)  # the trial itself takes less than that


def test_the_path_of_the_trial_counts_for_the_probe_and_passes_do_not() -> None:
    stopwatch = Stopwatch(Machine(torch.device("cpu"), "fp32", 0))
    stopwatch.begin_stage("exact probe")
    for seconds, kind in ((0.1, ""), (0.5, PASS)):
        for _ in stopwatch.track([0], "loop", 1, kind):
            time.sleep(seconds)
    stopwatch.begin_stage("evaluation")
    assert 0.1 <= stopwatch.stages["exact probe"] < 0.5


def test_a_slow_first_pass_is_not_taken_as_typical(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, config = setting_for("test_resnet", unbalanced(tmp_path / "set"), blocks=Words(["last"]))
    plain_predict, calls = trial_module.predict, list[int]()

    def predict(*arguments: Any) -> Any:
        calls.append(1)
        time.sleep(0.3 if len(calls) == 1 else 0)
        return plain_predict(*arguments)

    monkeypatch.setattr(trial_module, "predict", predict)
    monkeypatch.setattr(trial_module, "LONGEST", 6.0)  # seconds: 0.1 for a pass of one image
    assert size_of_trial(loaded("test_resnet"), inputs, config, 1)[0] > 1
    monkeypatch.setattr(trial_module, "LONGEST", 0.0)
    with pytest.raises(RequestError, match="more than a minute"):
        size_of_trial(loaded("test_resnet"), inputs, config, 1)


def test_a_trial_changes_nothing(tmp_path: Path) -> None:
    """Not the model, the random states or the options; and it runs the very method."""
    inputs, config = setting_for(
        "test_resnet", unbalanced(tmp_path / "set"), blocks=Words(["last", "first"]), epochs=7, batch_size=4,
        augment="standard",
    )  # fmt: skip
    network = knowing(loaded("test_resnet"))
    before = {name: tensor.clone() for name, tensor in network.model.state_dict().items()}
    trainable = [parameter.requires_grad for parameter in network.model.parameters()]
    random_state, files = torch.get_rng_state(), sorted(tmp_path.rglob("*"))
    trial = run_trial(surgical, network, inputs, config, 2)
    assert torch.equal(torch.get_rng_state(), random_state) and sorted(tmp_path.rglob("*")) == files
    assert all(tensor.equal(before[name]) for name, tensor in network.model.state_dict().items())
    assert [parameter.requires_grad for parameter in network.model.parameters()] == trainable
    assert trial.searches == ["last", "first"] and config.epochs == 7
    assert all(trial.step(choice) > 0 and trial.epoch_pass(choice) > 0 for choice in trial.searches)
