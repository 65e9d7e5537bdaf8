"""Completion in a shell: what is asked through the environment, what is installed, and that it stays fast."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ftcli.commands import COMMANDS
from ftcli.presets import preset_names
from tests.helpers.program import inside


def completed(line: str) -> list[str]:
    """What bash is told about the last word of a line."""
    words = line.split(" ")
    return inside(_FTCLI_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1)).stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ftcli ", list(COMMANDS)),
        ("ftcli lp", ["lpft"]),
        ("ftcli lpft --sch", ["--schedule"]),
        ("ftcli lpft --schedule ", ["cosine", "constant"]),
        ("ftcli probe --solver s", ["sgd"]),
        ("ftcli probe --preset di", ["digits"]),
        ("ftcli presets ", preset_names()),
        ("ftcli lpft --train ", []),  # left to the shell, which completes files
    ],
)
def test_a_shell_completes_what_can_be_typed(line: str, words: list[str]) -> None:
    assert completed(line) == words


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_answered_in_their_form(shell: str) -> None:
    asked = {"_TYPER_COMPLETE_ARGS": "ftcli lpft --bn ", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    shown = inside(_FTCLI_COMPLETE=f"complete_{shell}", **asked).stdout
    assert re.findall(r"\b(?:train|eval)\b", shown) == ["train", "eval"]


def test_completing_imports_nothing_heavy() -> None:
    code = (
        "import sys, contextlib, ftcli.cli.main\n"
        "with contextlib.suppress(SystemExit):\n    ftcli.cli.main.main()\n"
        "print(sorted({'torch', 'timm', 'datasets', 'numpy', 'pyarrow'} & set(sys.modules)))"
    )
    asked = {"_FTCLI_COMPLETE": "complete_bash", "COMP_WORDS": "ftcli lp", "COMP_CWORD": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | asked)
    assert done.stdout.split() == ["lpft", "[]"], done.stderr


@pytest.mark.parametrize(
    ("shell", "file"),
    [("bash", ".bash_completions/ftcli.sh"), ("zsh", ".zfunc/_ftcli"), ("fish", ".config/fish/completions/ftcli.fish")],
)
def test_completion_is_installed(tmp_path: Path, shell: str, file: str) -> None:
    named = {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # the shell is then typed
    done = inside("--install-completion", shell, **named)
    assert done.returncode == 0 and file in done.stdout
    script = (tmp_path / file).read_text(encoding="utf-8")
    assert f"_FTCLI_COMPLETE=complete_{shell}" in script
    assert inside("--show-completion", shell, **named).stdout.strip() == script.strip()
    for option in ("--install-completion", "--show-completion"):
        assert option in inside("--help").stdout
