"""What a command imports before it answers, and what a terminal shows while it imports: the program as a process."""

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ftcli.commands import COMMANDS
from tests.conftest import ROOT
from tests.helpers.program import Work, inside, work

# The command line as it is started, and at its end the names of all modules that were imported.
PROGRAM = (
    "import atexit, json, os, sys\n"
    "atexit.register(lambda: open(os.environ['MODULES'], 'w').write(json.dumps(sorted(sys.modules))))\n"
    "from ftcli.cli.main import process_entry\n"
    "process_entry()\n"
)
COMPUTING = {"torch", "torchvision", "timm", "datasets", "pandas", "scipy", "sklearn", "accelerate", "matplotlib"}
ARRAYS = {"numpy", "pyarrow"}


def imported(folder: Path, *words: Any, code: int = 0) -> set[str]:
    """The top names of all that a command imports. It must end with this exit code."""
    noted = folder / "modules.json"
    noted.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, words)],
        capture_output=True, text=True, timeout=300, cwd=ROOT, env={**os.environ, "MODULES": str(noted)},
    )  # fmt: skip
    assert done.returncode == code and "Traceback" not in done.stderr, done.stdout + done.stderr
    return {name.partition(".")[0] for name in json.loads(noted.read_text())}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return work(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def runs(tiny: Work, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Finished runs whose reports have everything that some report shows in tables of its own."""
    root = tmp_path_factory.mktemp("runs")
    training = ["--epochs", 1, "--lr", "1e-3"]
    more = {
        "probe": ["--confusion", "--per-class"],
        "lpft": [*training, "--seeds", 2, "--measure", "distortion"],
        "surgical": [*training, "--blocks", "first,last"],
    }
    for command, words in more.items():
        done = inside(command, *tiny.words, *words, "--out", root / command)
        assert done.returncode == 0, done.stderr
    adapting = ["--ood", f"far={tiny.far}", "--image-size", 32, "--batch-size", 16, "--threads", 1]
    done = inside("adapt", "--checkpoint", root / "probe", *adapting, "--out", root / "adapt")
    assert done.returncode == 0, done.stderr
    comparing = [root / "probe", root / "lpft", "--id-test", tiny.train, "--threads", 1, "--out", root / "agreement"]
    done = inside("agreement", *comparing)
    assert done.returncode == 0, done.stderr
    return {command: root / command for command in (*more, "adapt", "agreement")}


def test_the_light_commands_are_these() -> None:
    light = {"study", "compare", "report", "runs", "presets", "cache", "schema"}
    assert {name for name, row in COMMANDS.items() if row.light} == light


@pytest.mark.parametrize(
    "words",
    [
        ["schema"], ["presets"], ["presets", "digits", "--json"], ["cache"], ["cache", "clear", "--kind", "checked"],
        ["runs", "docs"],
        ["--version"], [], ["--help"], ["help", "compare"], *([command, "--help"] for command in COMMANDS),
        ["-h"], ["lpft", "-h"], ["compare", "-h"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_only_looks_imports_nothing_that_computes(words: list[str], tmp_path: Path) -> None:
    assert not imported(tmp_path, *words) & (COMPUTING | ARRAYS)


@pytest.mark.parametrize(
    "words",
    [
        ["prob"], ["--bad"], ["probe", "--bad"], ["lpft", "--epochs", "many"], ["surgical", "--auto", "magic"],
        ["finetune", "--lr", "0.1,x"], ["probe", "--preset", "digit"], ["adapt"], ["evaluate"], ["distortion", "one"],
        ["lpft", "--config", "missing.toml"], ["interpolate", "a", "b", "--ood", "far"], ["theory", "--seed", "-1"],
        ["blocks"], ["data"], ["presets", "digit"], ["cache", "burn"], ["report"], ["report", "missing"],
        ["compare", "missing"], ["compare", "missing", "--fail-if", "x"], ["runs", "missing"], ["schema", "more"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_wrong_request_imports_nothing_that_computes(words: list[str], tmp_path: Path) -> None:
    reads_predictions = ARRAYS if words[0] == "compare" else set()
    assert not imported(tmp_path, *words, code=2) & ((COMPUTING | ARRAYS) - reads_predictions)


@pytest.mark.parametrize("command", ["probe", "lpft", "surgical", "adapt", "agreement"])
def test_a_report_is_shown_without_what_made_it(command: str, runs: dict[str, Path], tmp_path: Path) -> None:
    for words in (["report"], ["report", "--json"], ["runs"], ["runs", "--format", "csv"]):
        assert not imported(tmp_path, words[0], runs[command], *words[1:]) & (COMPUTING | ARRAYS)


@pytest.mark.parametrize("format", ["csv", "markdown", "latex"])
def test_figures_are_printed_without_what_made_them(format: str, runs: dict[str, Path], tmp_path: Path) -> None:
    assert not imported(tmp_path, "report", runs["lpft"], "--format", format) & (COMPUTING | ARRAYS)


@pytest.mark.parametrize("format", ["table", "csv", "markdown", "latex"])
def test_runs_are_compared_without_what_made_them(format: str, runs: dict[str, Path], tmp_path: Path) -> None:
    """The predictions lie in tables of Arrow, which NumPy counts; nothing else is needed, for the tests neither."""
    names = imported(tmp_path, "compare", *(runs[name] for name in ("probe", "lpft", "surgical")), "--format", format)
    assert not names & COMPUTING and names >= ARRAYS
    shown = inside("compare", runs["probe"], runs["lpft"], "--json").report
    assert any(pair["only_first"] + pair["only_second"] for pair in shown["differences"])  # a test was made


def test_the_tables_of_every_command_need_nothing_that_computes() -> None:
    """`report` shows the reports of all commands, also of those that no run above has made."""
    names = [row.tables for row in COMMANDS.values() if row.tables] + ["ftcli.report.tables:tables"]
    code = (
        "import json, sys\nfrom ftcli.commands import import_named\n"
        f"for name in {names!r}: import_named(name)\nprint(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert not {name.partition(".")[0] for name in json.loads(done.stdout)} & (COMPUTING | ARRAYS)


def test_training_imports_only_what_it_uses(tiny: Work, tmp_path: Path) -> None:
    """A set in a folder needs no library of the hub; a table of predictions is written without pandas."""
    names = imported(tmp_path, "probe", *tiny.words, "--out", tmp_path / "run")
    assert names >= {"torch", "timm", "numpy", "pyarrow"}
    assert not names & {"datasets", "pandas", "sklearn", "matplotlib"}


def on_terminal(*words: Any) -> str:
    """What a command prints on a terminal, stdout and stderr."""
    here, there = pty.openpty()
    with subprocess.Popen([sys.executable, "-m", "ftcli", *map(str, words)], stdout=there, stderr=there, cwd=ROOT):
        os.close(there)
        printed = b""
        with contextlib.suppress(OSError):  # raised when the command has closed its end
            while part := os.read(here, 4096):
                printed += part
    os.close(here)
    return printed.decode()


LOADING = re.compile(r"ftcli (\w+): loading [^\r\n]*(\r) +\r")


def test_a_terminal_says_first_what_is_loaded() -> None:
    """It is the first that is printed, and erased before anything else is."""
    shown = on_terminal("blocks", "missing")
    found = LOADING.match(shown)
    assert found and found[1] == "blocks", shown
    width = shown.index("\r")
    assert found[0] == shown[:width] + f"\r{' ' * width}\r"
    assert shown[found.end() :].startswith("error: ")


def test_it_is_erased_before_an_error_in_the_options() -> None:
    shown = on_terminal("lpft", "--epochs", "many")
    found = LOADING.match(shown)
    assert found and shown[found.end() :].startswith("error: --epochs many"), shown


def test_the_line_is_printed_before_anything_heavy_is_imported() -> None:
    """Seen from the line itself: what the process has imported when it is printed."""
    code = (
        "import sys\n"
        "class Terminal:\n"
        "    encoding = 'utf-8'\n"
        "    def isatty(self): return True\n"
        "    def flush(self): pass\n"
        "    def write(self, text):\n"
        "        if 'loading' in text: print(sorted({'torch', 'timm', 'numpy', 'pyarrow'} & set(sys.modules)))\n"
        "sys.stderr = Terminal()\n"
        "from ftcli.cli.main import run\n"
        "run(['probe', '--train', 'missing', '--checkpoint', 'missing'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines() == ["[]"], done.stdout + done.stderr


@pytest.mark.parametrize(
    "words", [["presets"], ["schema"], ["probe", "-q", "--epochs", "many"], ["prob"]], ids=" ".join
)
def test_no_such_line_where_nothing_is_to_be_waited_for(words: list[str]) -> None:
    assert "loading" not in on_terminal(*words)


def test_no_such_line_in_a_pipe(ftcli: Any) -> None:
    done = ftcli("probe", "--epochs", "many")
    assert done.returncode == 2 and "loading" not in done.stderr and "\r" not in done.stderr
