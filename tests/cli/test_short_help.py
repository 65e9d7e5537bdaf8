"""`-h`: usage, examples that can be typed, the ten commonest options, and where the others are."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from ftcli.cli.help import ARGUMENTS, rows
from ftcli.cli.short_help import EXAMPLES, MAIN, OPTIONS, SHOWN, USES
from ftcli.commands import COMMANDS, options_class
from ftcli.config.shared import Common
from tests.helpers.program import inside


def shown_options(page: str) -> list[str]:
    """The options in the tables of a page, in order."""
    return re.findall(r"^│ (--[\w-]+)", page, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_two_examples_and_its_ten_commonest_options(command: str) -> None:
    done = inside(command, "-h", COLUMNS="100")
    assert done.returncode == 0 and f"Usage: ftcli {command} [OPTIONS]" in done.stdout
    assert len(USES[command].examples) == 2 and all(f"\n  {line}\n" in done.stdout for line in USES[command].examples)
    found = [row for row in rows(options_class(command)) if row.panel != ARGUMENTS]
    options = shown_options(done.stdout)
    assert len(options) == len(set(options)) == min(SHOWN, len(found))
    assert set(options) <= {row.name for row in found} and options[: len(USES[command].options)] == [
        *USES[command].options
    ]
    assert done.stdout.endswith(f"ftcli {command} --help shows all {len(found)} options.\n")
    assert shown_options(inside(command, "--help", COLUMNS="100").stdout) != options or len(found) <= SHOWN


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_examples_can_be_typed(command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every name and value passes the program's own parser; nothing is run."""
    from ftcli.cli.main import build_app

    monkeypatch.setattr("ftcli.presets.placing.check_there", lambda *_: None)  # data of a preset
    monkeypatch.chdir(tmp_path)
    for line in USES[command].examples if command else EXAMPLES:
        program, *words = shlex.split(line.partition(" > ")[0])
        understood: list[Common] = []
        build_app(lambda _, found=understood: found.append)(words, standalone_mode=False)
        assert program == "ftcli" and command in ("", words[0]) and len(understood) == 1, line


def test_the_commonest_options_are_options() -> None:
    declared = {row.name for command in COMMANDS for row in rows(options_class(command))}
    assert {*OPTIONS} <= declared and {*MAIN} <= {*COMMANDS} and len(MAIN) == SHOWN
    assert {*USES} == {*COMMANDS}


def test_the_program_has_a_short_page_too() -> None:
    done = inside("-h")
    assert done.returncode == 0 and all(f"\n  {line}\n" in done.stdout for line in EXAMPLES)
    assert [name for name in COMMANDS if f"│ {name} " in done.stdout] == sorted(MAIN, key=[*COMMANDS].index)
    assert f"ftcli --help shows all {len(COMMANDS)} commands" in done.stdout
    assert "│ schema " in inside("--help").stdout


@pytest.mark.parametrize("words", [["-h", "lpft"], ["lpft", "--lr", "1", "-h"]])
def test_it_is_asked_for_anywhere(words: list[str]) -> None:
    assert inside(*words).stdout == inside("lpft", "-h").stdout


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("command", ["", "lpft", "surgical", "predict", "theory"])
def test_it_fits_the_width_without_colour(width: int, command: str) -> None:
    words: list[Any] = [command, "-h"] if command else ["-h"]
    for colour in ({}, {"NO_COLOR": "1"}):
        page = inside(*words, terminal=True, COLUMNS=str(width), TERM="xterm", **colour).stdout
        plain = re.sub(r"\x1b\[[0-9;]*m", "", page)
        assert not re.search(r"\x1b\[[0-9;]*3\d", page) if colour else page != plain
        tables = [line for line in plain.splitlines() if line.startswith(("│", "╭", "╰"))]
        assert tables and {len(line) for line in tables} == {width}


def test_a_new_row_of_the_registry_has_a_short_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "other", COMMANDS["evaluate"])
    page = inside("other", "-h").stdout
    assert "Examples" not in page and len(shown_options(page)) == SHOWN


def test_the_short_page_of_no_command() -> None:
    done = inside("evalute", "-h")
    assert done.returncode == 2 and 'did you mean "evaluate"?' in done.stderr and done.stdout == ""
