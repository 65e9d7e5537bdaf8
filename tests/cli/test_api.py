"""The commands from Python: what the command line does, without a word on the streams."""

import copy
import inspect
import json
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import ftcli
from ftcli.api import FUNCTIONS, to_argv
from ftcli.commands import COMMANDS, option_classes, options_class, python_names
from ftcli.config.training import Training
from ftcli.config.tuning import Lpft
from ftcli.console.answer import Answer
from ftcli.run_folder.folder import choose_output_folder, make_output_folder
from tests.helpers.program import Work, inside, lasting, read, same_threads, work

TINY_LOOK = {"image_size": 32, "threads": 1}
TINY = {"image_size": 32, "batch_size": 16, "augment": "none", "threads": 1}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return work(tmp_path_factory.mktemp("api"))


@pytest.fixture(autouse=True)
def silent(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Nothing here may print anything."""
    with same_threads():
        yield
    assert capfd.readouterr() == ("", "")


@pytest.fixture(scope="module")
def out(tiny: Work, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api") / "lpft"
    with same_threads():
        ftcli.lpft(
            checkpoint=tiny.checkpoint,
            train=tiny.train,
            ood={"far": tiny.far},
            lr=[1e-3, 1e-4],
            epochs=1,
            out=folder,
            **TINY,
        )
    return folder


def test_the_same_run_as_on_the_command_line(tiny: Work, out: Path, tmp_path: Path) -> None:
    inside("lpft", *tiny.words, "--lr", "1e-4,1e-3", "--epochs", 1, "--quiet", "--out", tmp_path / "typed")
    mine, typed = read(out), read(tmp_path / "typed")
    assert lasting(mine) == lasting(typed)
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "typed" / "model.safetensors").read_bytes()


def test_a_run_gives_its_report(tiny: Work, out: Path, tmp_path: Path) -> None:
    report = ftcli.evaluate(out, id_test=tiny.train, out=tmp_path / "e", image_size=32, threads=1)
    assert report == read(tmp_path / "e") and report["command"] == "evaluate"
    again = ftcli.evaluate(checkpoint=out, ood={"far": tiny.far}, out=tmp_path / "w", image_size=32, threads=1)
    assert [warning["code"] for warning in again["warnings"]] == ["classes-dropped", "classes-restricted"]


def test_a_configuration_is_run_as_it_is(tiny: Work, tmp_path: Path) -> None:
    config = ftcli.Probe(checkpoint=tiny.checkpoint, train=tiny.train, out=tmp_path / "a", **TINY)
    report = ftcli.probe(config)
    other = ftcli.probe(checkpoint=tiny.checkpoint, train=tiny.train, out=tmp_path / "b", **TINY)
    assert lasting(report) == lasting(other)
    for wrong in (lambda: ftcli.lpft(config), lambda: ftcli.probe(config, epochs=3)):
        with pytest.raises(ftcli.RequestError, match="one configuration"):
            wrong()


def test_options_become_what_they_are_when_typed(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text("epochs = 4\nepoch_zero = true\nlr = [1e-3, 1e-2]\n")
    config = ftcli.Lpft(preset="digits", config=file, batch_size=16, seed=(3, 1), ood={"a": "digits:photo", "b": "x=y"})
    assert isinstance(config, Lpft)
    assert (config.epochs, config.batch_size, config.image_size, config.lr) == (4, 16, 32, (1e-3, 1e-2))
    assert (config.seed, config.ood) == ((1, 3), ["a=digits:photo", "b=x=y"]) and config.epoch_zero and config.quiet
    assert not ftcli.Lpft(preset="digits", config=file, epoch_zero=False).epoch_zero
    assert ftcli.Lpft(train="x", lr=0.1234567890123).lr == (0.1234567890123,)
    assert ftcli.Lpft(train="-x", weight_decay=None).train == "-x"
    assert ftcli.Evaluate("-odd", id_test="x").checkpoint == "-odd"
    assert not ftcli.Lpft(train="x", quiet=False).quiet


@pytest.mark.parametrize("command", COMMANDS)
def test_words_come_back(command: str) -> None:
    """Every option of every command, given by its own default or by a plain value, is typed and read back."""
    values: dict[str, Any] = {"checkpoint": "c", "images": ["i"], "reports": ["r", "s"], "file": Path("f")}
    values |= {
        "source": "s",
        "blocks": ["first", "1..2"],
        "train": "t",
        "id_test": "x",
        "target": "t",
        "import_": Path("a.py"),
        "ood": {"n": "s"},
    }
    several = issubclass(options_class(command), Training) or command == "study"
    values |= {"seed": [2] if several else 2, "models": ["a", "b"]} | (
        {"images": 7}
        if command == "criticality"
        else {"images": True, "html": Path("p.html")}
        if command == "report"
        else {}
    )
    known = inspect.signature(FUNCTIONS[options_class(command).__name__]).parameters
    given = {name: one.default for name, one in known.items() if one.default not in (None, one.empty)}
    given |= {name: value for name, value in values.items() if name in known}
    config = FUNCTIONS[options_class(command).__name__](**given)
    for name, value in given.items():
        expected = [f"{key}={part}" for key, part in value.items()] if isinstance(value, dict) else value
        found = getattr(config, name)
        assert ([str(one) for one in found] if isinstance(found, list) else found) == (
            tuple(expected) if isinstance(found, tuple) else expected
        )


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"epochz": 3}, 'did you mean "epochs"?'),
        ({"json": True}, "no option 'json'"),
        ({"train": "x", "epochs": "ten"}, "--epochs ten"),
        ({"train": "x", "bn": "off"}, "train|eval"),
        ({"train": "x", "lr": [1e-3, -1]}, "not allowed"),
        ({"preset": "digit"}, '"digits"'),
        ({}, "--train"),
        ({"train": "no/such/folder", "checkpoint": "nothing.safetensors"}, "nothing.safetensors"),
    ],
)
def test_errors_are_raised(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ftcli.RequestError) as error:
        ftcli.lpft(**values)
    assert says in f"{error.value.problem} {error.value.fix}"


def test_too_many_values_without_a_name() -> None:
    with pytest.raises(ftcli.RequestError, match="takes checkpoint without a name, and got 2"):
        ftcli.evaluate("a", "b")


def test_divergence_is_raised(tiny: Work, tmp_path: Path) -> None:
    with pytest.raises(ftcli.RunError, match="diverged"):
        ftcli.finetune(checkpoint=tiny.checkpoint, train=tiny.train, lr=1e30, epochs=1, out=tmp_path / "o", **TINY)
    assert not (tmp_path / "o").exists()


def test_what_only_looks(tiny: Work, out: Path) -> None:
    rows = ftcli.predict(out, tiny.far, image_size=32, threads=1)
    assert len(rows) == 42 and set(rows[0]) == {"example", "predicted", "name", "probability"}
    assert ftcli.read_data(tiny.far)["n"] == 42
    assert ftcli.read_report(out) == read(out)
    assert [row["name"] for row in ftcli.compare([out, out], against=None)["rows"]]
    assert ftcli.blocks(tiny.checkpoint)["blocks"][-1]["index"] == "head"
    assert list(ftcli.read_presets("digits")) == ["digits"]
    assert ftcli.schema()["title"] == "Report of ftcli"
    plan = ftcli.lpft(checkpoint=tiny.checkpoint, train=tiny.train, dry_run=True, lr=[1e-3, 1e-2], seeds=3, **TINY)
    assert plan["runs"] == 6


def test_a_report_is_equal_to_its_copies(tiny: Work, out: Path) -> None:
    """Copied, pickled and read back from the folder that the run has left."""
    report = ftcli.evaluate(out, id_test=tiny.train, out=out.parent / "evaluated", **TINY_LOOK)
    assert report == copy.deepcopy(report) == pickle.loads(pickle.dumps(report))
    assert ftcli.read_report(out.parent / "evaluated") == report


def test_a_report_that_is_nested_too_deeply_is_refused(out: Path, tmp_path: Path) -> None:
    content = read(out)
    content["config"]["deep"] = json.loads("[" * 900 + "]" * 900)
    (tmp_path / "report.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ftcli.RequestError, match="nested too deeply"):
        ftcli.read_report(tmp_path)


def test_every_command_has_its_two_names() -> None:
    assert {*python_names(), *option_classes()} == set(FUNCTIONS)
    assert set(FUNCTIONS) < set(dir(ftcli))
    for name in FUNCTIONS:
        function = getattr(ftcli, name)
        assert callable(function) and function.__doc__ and "json" not in inspect.signature(function).parameters
    with pytest.raises(AttributeError, match="lptf"):
        _ = ftcli.lptf


def test_importing_it_is_light() -> None:
    shown = "print(sorted({'torch', 'numpy', 'timm', 'typer'} & set(sys.modules)))"
    for code, loaded in (
        (f"import sys, ftcli; {shown}", "[]"),
        (f"import sys, ftcli; ftcli.Lpft; {shown}", "['typer']"),
    ):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.strip() == loaded, done.stderr


def test_words() -> None:
    values = {"images": "s", "checkpoint": "c", "quiet": True, "overwrite": False, "no_cache": False, "compile": None}
    assert to_argv("predict", values) == [
        "predict", "--quiet", "--cache", "--no-overwrite", "--", "c", "s",
    ]  # fmt: skip


def test_several_arguments_come_one_after_the_other_or_as_a_list() -> None:
    for models in (("a", "b"), (["a", "b"],)):
        assert ftcli.Distortion(*models, id_test="x").models == ["a", "b"]
    with pytest.raises(ftcli.RequestError, match="without a name"):
        ftcli.Evaluate("a", "b", id_test="x")


def test_calls_in_threads_give_what_they_give_one_after_the_other(tiny: Work, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"checkpoint": tiny.checkpoint, "train": tiny.train, "epochs": 1, "lr": 1e-2, **TINY}
    calls = {
        "tuned": (ftcli.finetune, {"seed": 3, **asked}), "random": (ftcli.finetune, {"init": "random", **asked}),
        "probe": (ftcli.probe, {"solver": "sgd", **asked}),
    }  # fmt: skip
    with ThreadPoolExecutor(3) as pool:
        found = {name: pool.submit(call, out=tmp_path / name, **words) for name, (call, words) in calls.items()}
    for name, (call, words) in calls.items():
        assert lasting(found[name].result()) == lasting(call(out=tmp_path / f"alone-{name}", **words))


@pytest.mark.parametrize(
    ("name", "values"), [("evaluate", {"id_test": "t"}), ("blocks", {}), ("predict", {"images": "i"})]
)
def test_what_computes_waits_for_what_computes(name: str, values: dict[str, Any]) -> None:
    """And what only looks does not."""
    busy, together = threading.Event(), list[bool]()

    def work(_: Any) -> Answer:
        together.append(busy.is_set())
        busy.set()
        time.sleep(0.2)
        busy.clear()
        return Answer({}, lambda _: None)

    module, function = COMMANDS[name].function.split(":")
    with mock.patch(f"{module}.{function}", work), ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: FUNCTIONS[name](checkpoint="c", **values), range(4)))
    assert together == [False] * 4
    meeting = threading.Barrier(2, timeout=60)
    look = lambda _: Answer(meeting.wait() * 0, lambda _: None)  # noqa: E731
    with mock.patch("ftcli.look.schema", look), ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: ftcli.schema(), range(2))) == [0, 0]


@pytest.mark.parametrize("command", ["evaluate", "theory", "lpft"])
def test_folders_of_one_second_are_told_apart(
    command: str, tiny: Work, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has named them; the clock stands still, and of two that start together each has its own."""

    class Still(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Still":
            return cls(2026, 1, 2, 3, 4, 5)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ftcli.run_folder.folder.datetime", Still)
    values: dict[str, Any] = {
        "evaluate": {"checkpoint": out, "id_test": tiny.train, "image_size": 32, "threads": 1},
        "theory": {"worlds": 1, "sweep": "none"},
        "lpft": {"checkpoint": tiny.checkpoint, "train": tiny.train, "epochs": 1, "lr": 1e-3, **TINY},
    }[command]
    first = choose_output_folder(None, command, False)
    for _ in range(2):
        FUNCTIONS[command](**values)
    other = make_output_folder(first, None)
    names = [f"{command}-20260102-030405{end}" for end in ("", "-2", "-3")]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == names and other.name == names[2]
    assert all((tmp_path / "runs" / name / "report.json").exists() for name in names[:2])
    assert make_output_folder(other, other) == other  # of a name that somebody gave
