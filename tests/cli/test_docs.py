"""The documentation keeps up with the program: options, commands, links and small captures."""

import importlib.util
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ftcli.cli.help import ARGUMENTS, rows
from ftcli.commands import COMMANDS, options_of
from ftcli.config.shared import Common
from ftcli.report.schema import report_schema

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
FENCE = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def generator() -> ModuleType:
    """docs/generate.py, which lies outside every package."""
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = generator()


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(path: Path) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """What links may point at: every heading, as GitHub writes it in an address."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def typed(path: Path) -> Iterator[list[str]]:
    """The words of every ftcli command in the code blocks of a page, up to a pipe or a redirection."""
    for block in FENCE.findall(path.read_text(encoding="utf-8")):
        for line in block.splitlines():
            if line.startswith("ftcli "):
                words = shlex.split(line)
                ends = [i for i, word in enumerate(words) if word in ("|", ">")]
                yield words[1 : min(ends, default=len(words))]


def test_options_are_those_declared() -> None:
    assert generate.stale(DOCS / "commands") == {}


def test_the_check_sees_an_old_page(tmp_path: Path) -> None:
    shutil.copytree(DOCS / "commands", tmp_path, dirs_exist_ok=True)
    page = tmp_path / "probe.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("`--epochs PASSES`", "`--epoch PASSES`"), encoding="utf-8")
    assert generate.main(["--check"], tmp_path) == 1
    assert "`--epoch PASSES`" in page.read_text(encoding="utf-8")
    assert generate.main([], tmp_path) == 0
    assert page.read_text(encoding="utf-8") == text
    assert generate.main(["--check"], tmp_path) == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_the_tables_name_what_the_program_understands(command: str) -> None:
    from typer.main import get_command

    from ftcli.cli.main import program

    understood = get_command(program()).commands[command].params  # type: ignore[attr-defined]
    options = {name for parameter in understood for name in parameter.opts if name.startswith("--")}
    shown = list(rows(options_of(command)))
    assert {row.name for row in shown if row.panel != ARGUMENTS} == options - {"--help"}
    assert len(shown) == len([parameter for parameter in understood if parameter.name != "help"])


def test_every_command_has_a_page_that_the_map_names() -> None:
    assert {path.stem for path in (DOCS / "commands").glob("*.md")} == set(COMMANDS)
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    pages = [path for path in DOCS.rglob("*.md") if path.name != "index.md" or path.parent != DOCS]
    assert [named(page) for page in pages if f"]({page.relative_to(DOCS)})" not in index] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        other = (page.parent / place).resolve() if place else page
        assert other.exists(), f"{named(page)} links to {target}, which is not there"
        assert not anchor or anchor in anchors(other), f"{named(page)} links to {target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_documented_commands_can_be_typed(page: Path) -> None:
    """Every name and value passes the program's own parser; nothing is run."""
    from ftcli.cli.main import program

    for words in typed(page):
        understood: list[Common] = []
        program(lambda _, found=understood: found.append)(words, standalone_mode=False)
        assert len(understood) == 1, f"{named(page)} shows ftcli {' '.join(words)}"


def keys(schema: Any) -> Iterator[str]:
    """The names of all properties in a JSON Schema."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for part in schema.values():
            yield from keys(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from keys(part)


def test_every_key_of_a_report_is_described() -> None:
    quoted = re.findall(r"`([^`]+)`", prose(DOCS / "report.md"))
    described = {word for text in quoted for word in (text, *re.findall(r"\w+", text))}
    assert set(keys(report_schema())) - described == set()


def test_every_warning_is_described() -> None:
    code = re.compile(r"\bwarn\(\s*\"([a-z-]+)\"")
    codes = {
        found for path in (ROOT / "ftcli").rglob("*.py") for found in code.findall(path.read_text(encoding="utf-8"))
    }
    assert len(codes) > 30
    quoted = set(re.findall(r"`([a-z-]+)`", (DOCS / "report.md").read_text(encoding="utf-8")))
    assert codes - quoted == set()


def test_the_readme_shows_what_the_page_of_compare_shows() -> None:
    shown = FENCE.findall((DOCS / "commands" / "compare.md").read_text(encoding="utf-8"))[1]
    assert shown in FENCE.findall((ROOT / "README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("command", ["blocks", "presets"])
def test_captures_are_what_is_printed(command: str, ftcli: Callable) -> None:
    page = DOCS / "commands" / f"{command}.md"
    shown = FENCE.findall(page.read_text(encoding="utf-8"))[1]
    printed = ftcli(*next(typed(page)), COLUMNS="100").stdout
    assert [line.rstrip() for line in printed.rstrip().splitlines()] == shown.splitlines()
