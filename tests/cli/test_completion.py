"""Completion in a shell: what is asked through the environment, what is installed, and that it stays fast."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ftcli.cli.completion import complete_model, tags
from ftcli.commands import COMMANDS
from ftcli.config.loop import BLOCK_WORDS
from ftcli.model.block_names import POSITIONS
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


def in_pieces(*words: str) -> list[str]:
    """As `completed`, the words cut at "=" and ":" as bash cuts them."""
    asked = {"_FTCLI_COMPLETE": "complete_bash", "COMP_WORDS": "\n".join(["ftcli", *words])}
    return inside(**asked, COMP_CWORD=str(len(words))).stdout.split()


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["lpft", "--schedule", "=", "cos"], ["cosine"]),
        (["lpft", "--schedule", "="], ["cosine", "constant"]),
        (["lpft", "--config", "ta"], []),  # paths are left to the shell
        (["lpft", "--train", "=", "ph"], []),
        (["lpft", "--ood", "art", "=", "ph"], []),
        (["lpft", "--ood", "=", "art", "=", "ph"], []),
        (["data", "photos?sh"], ["photos?shift=", "photos?shuffle="]),
        (["data", "photos?strea"], ["photos?streaming=true"]),
        (["data", "photos?lim"], []),  # a number follows, and a shell would put a space before it
        (["lpft", "--train", "a?limit", "=", "5", ":", "0&lab"], ["0&label=", "0&labels="]),
        (["lpft", "--train", "a?limit", "=", "5", ":", "0&exif", "="], ["apply", "ignore"]),
        (["lpft", "--ood", "art", "=", "a?shift", "=", "fr"], [f"frost:{i}" for i in range(1, 6)]),
        (["lpft", "--ood", "=", "art", "=", "a?shift", "=", "frost", ":"], list("12345")),
        (["lpft", "--ood", "art", "=", "a", "--bn", "tr"], ["train"]),
        (["surgical", "--blocks", "fi"], ["first"]),
        (["surgical", "--blocks", "each,first,m"], ["each,first,middle"]),
        (["surgical", "--auto", "=", "rgn,s"], ["rgn,snr", "rgn,snr-code"]),
        (["surgical", "--auto", "rgn,rg"], []),  # it is there already
        (["theory", "--sweep", "ep"], ["epsilon"]),
        (["lpft", "--model", "resnet18d"], ["resnet18d", "resnet18d.ra2_in1k", "resnet18d.ra4_e3600_r224_in1k"]),
        (["lpft", "--model", "no_such_n"], []),
        (["lpft", "--checkpoint", "resnet18d.ra2"], ["resnet18d.ra2_in1k"]),
        (["lpft", "--checkpoint", "./resnet18d.ra2"], []),
    ],
    ids=" ".join,
)  # fmt: skip
def test_bash_is_answered_behind_the_marks_at_which_it_cuts(words: list[str], answer: list[str]) -> None:
    assert in_pieces(*words) == answer


def test_a_file_is_completed_before_a_name_of_timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "resnet18.a1_in1k" in in_pieces("lpft", "--checkpoint", "resnet18.")
    (tmp_path / "resnet18.safetensors").touch()
    assert in_pieces("lpft", "--checkpoint", "resnet18.") == []


def test_the_names_of_timm_are_those_that_it_lists() -> None:
    import timm

    # Other tests register networks of their own.
    own = {name for name in timm.list_models() if timm.model_entrypoint(name).__module__.startswith("timm.")}
    assert set(complete_model("")) == own
    listed = set(timm.list_pretrained())
    assert len(listed - {*tags()}) < 0.05 * len(listed)  # whose names are made when timm is imported
    assert all(timm.is_model(tag.partition(".")[0]) for tag in tags())
    assert complete_model("resnet18d")[0] == "resnet18d" and "resnet18d.ra2_in1k" in complete_model("resnet18d.")


def test_the_words_of_blocks_are_those_that_are_understood() -> None:
    assert ("each", *POSITIONS) == BLOCK_WORDS


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
    for line, answer in (
        ("ftcli lp", "lpft"),
        ("ftcli lpft --model nasnetalarge", "nasnetalarge nasnetalarge.tf_in1k"),
    ):
        asked = {"_FTCLI_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | asked)
        assert done.stdout.split() == [*answer.split(), "[]"], done.stderr


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
