"""The documentation agrees with the program: options, commands, links, navigation and small captures."""

import ast
import contextlib
import importlib.util
import io
import re
import runpy
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ftcli.cli.help import ARGUMENTS, rows
from ftcli.commands import COMMANDS, options_class
from ftcli.config.shared import Common
from ftcli.engine.probe.path_solver import FINE, ROUGH
from ftcli.report.schema import report_schema
from tests.helpers.program import inside
from tests.helpers.worlds import coloured

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
FENCE = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SAVED = re.compile(r"[Ss]ave (?:it|this) as `([^`]+)`:\n\n```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BEFORE = r"(?:\w+=\S+ )*|.* && |.* -m |srun "  # what may stand on a line before a command of ftcli
AFTER = ("|", ">", "&", "&&", ";")  # what ends it
RUN_BY_CI = ("python -m pip install .", "python -m pip install '.[test]'", "python -m pytest -n auto --dist loadfile")


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
            if (command := re.match(rf"\s*(?:{BEFORE})ftcli (.*)", line)) and "$METHOD" not in line:
                words = shlex.split(re.sub(r"\$[a-z]+\b", "1", command[1]))  # the variable of a loop
                ends = [i for i, word in enumerate(words) if word in AFTER]
                yield words[: min(ends, default=len(words))]


def files_of(path: Path) -> list[tuple[str, str]]:
    """The files that a page tells its reader to save: name and content."""
    return SAVED.findall(path.read_text(encoding="utf-8"))


def test_options_are_those_declared() -> None:
    assert generate.stale() == {}


@pytest.mark.parametrize("page, option", [("commands/probe.md", "--solver"), ("options.md", "--epochs")])
def test_the_check_sees_an_old_page(page: str, option: str, tmp_path: Path) -> None:
    shutil.copytree(DOCS, tmp_path, dirs_exist_ok=True)
    path = tmp_path / page
    text = path.read_text(encoding="utf-8")
    old = text.replace(f"| `{option} ", f"| `{option[:-1]} ")
    assert old != text
    path.write_text(old, encoding="utf-8")
    assert generate.main(["--check"], tmp_path) == 1
    assert path.read_text(encoding="utf-8") == old
    assert generate.main([], tmp_path) == 0
    assert path.read_text(encoding="utf-8") == text
    assert generate.main(["--check"], tmp_path) == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_on_the_page_of_its_command_or_on_that_of_the_shared_ones(command: str) -> None:
    page, shared = ((DOCS / name).read_text(encoding="utf-8") for name in (f"commands/{command}.md", "options.md"))
    for row in rows(options_class(command)):
        cell = f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in generate.cells(row))} |"
        assert cell in page or (f"`{row.name}`" in page and cell.removesuffix("|") in shared)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_tables_name_what_the_program_understands(command: str) -> None:
    from typer.main import get_command

    from ftcli.cli.main import build_app

    understood = get_command(build_app()).commands[command].params  # type: ignore[attr-defined]
    options = {name for parameter in understood for name in parameter.opts if name.startswith("--")}
    shown = list(rows(options_class(command)))
    assert {row.name for row in shown if row.panel != ARGUMENTS} == options - {"--help"}
    assert len(shown) == len([parameter for parameter in understood if parameter.name != "help"])


def test_every_command_has_a_page_that_the_map_names() -> None:
    assert {path.stem for path in (DOCS / "commands").glob("*.md")} == set(COMMANDS)
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    pages = [path for path in DOCS.rglob("*.md") if path.name != "index.md" or path.parent != DOCS]
    assert [named(page) for page in pages if f"]({page.relative_to(DOCS)})" not in index] == []


def test_the_navigation_of_the_site_names_every_page_once() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("nav:")[2]
    linked = re.findall(r": (\S+\.md)$", navigation, re.MULTILINE)
    assert sorted(linked) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def test_pages_link_to_nothing_outside_the_site() -> None:
    for page in DOCS.rglob("*.md"):
        for target in re.findall(r"\]\(([^)\s#]+)", prose(page)):
            inside = re.match(r"[a-z]+:", target) or (page.parent / target).resolve().is_relative_to(DOCS)
            assert inside, f"{named(page)} links to {target}"


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
def test_documented_commands_can_be_typed(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name and value passes the program's own parser; nothing is run."""
    from ftcli.cli.main import build_app

    monkeypatch.setattr("ftcli.presets.placing.check_there", lambda *_: None)  # data of a preset
    monkeypatch.chdir(tmp_path)
    # task.toml and study.toml, which other pages name too
    for name, content in files_of(DOCS / "tutorial.md") + files_of(DOCS / "commands" / "study.md"):
        Path(name).write_text(content, encoding="utf-8")
    for words in typed(page):
        understood: list[Common] = []
        build_app(lambda _, found=understood: found.append)(words, standalone_mode=False)
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


def test_the_page_states_how_accurately_the_probe_is_solved() -> None:
    def written(number: float) -> str:
        factor, exponent = f"{number:.0e}".split("e")
        power = f"10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
        return power if factor == "1" else f"{factor}·{power}"

    page = " ".join((DOCS / "protocols.md").read_text(encoding="utf-8").split())
    assert f"to an estimated accuracy of {written(ROUGH.decrement)};" in page
    stated = page.partition("always solved finely.")[2].partition("float32")[0]
    goal = (FINE.weights_decrement, FINE.gap, FINE.gap_if_near, FINE.decrement)
    goal += (FINE.gap_if_settled, FINE.decrement, FINE.progress)
    assert re.findall(r"(?:\d·)?10⁻\S\b", stated) == [written(number) for number in goal]


def test_the_readme_shows_what_the_page_of_lpft_shows() -> None:
    shown = FENCE.findall((DOCS / "commands" / "lpft.md").read_text(encoding="utf-8"))[1]
    assert shown in FENCE.findall((ROOT / "README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("command", ["blocks", "presets"])
def test_captures_are_what_is_printed(command: str, ftcli: Callable) -> None:
    page = DOCS / "commands" / f"{command}.md"
    shown = FENCE.findall(page.read_text(encoding="utf-8"))[1]
    printed = ftcli(*next(typed(page)), COLUMNS="100").stdout
    assert [line.rstrip() for line in printed.rstrip().splitlines()] == shown.splitlines()


def run_page(page: Path) -> int:
    """Do in the current folder what a page says, in order: save files, run commands and Python; how many were run."""
    saved = {content: name for name, content in files_of(page)}
    count = 0
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        language, text = block["language"], block["text"]
        if text in saved:
            Path(saved[text]).write_text(text, encoding="utf-8")
        elif language == "python":
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(text, named(page), "exec"), {})
            count += 1
        elif not language and re.match(r"(ftcli|python) ", text):
            for command in (part for line in text.splitlines() for part in line.split(" && ")):
                count += run_command(command)
    return count


def run_command(command: str) -> bool:
    """Run one command as printed; False for those that `.ci/run` runs, in an environment of their own."""
    if command in RUN_BY_CI:
        return False
    program, *words = shlex.split(command)
    if program == "python":
        runpy.run_path(words[0])
    else:
        assert program == "ftcli"
        done = inside(*words)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    return True


def test_the_readme_runs_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "ftcli" / "presets" / "digits" / "checkpoint", "my-model")
    coloured(Path("photos"), each=12)
    coloured(Path("sketches"), each=4, seed=3)
    assert run_page(ROOT / "README.md") == 3
    assert Path("runs/mine/model.safetensors").exists()


def test_the_tutorial_and_the_page_on_pandas_run_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_page(DOCS / "tutorial.md") == 10
    blocks = [block["text"] for block in BLOCK.finditer((DOCS / "howto" / "pandas.md").read_text(encoding="utf-8"))]
    code = "\n".join(block for block in blocks if "print(" in block)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "pandas.md", "exec"), {})
    assert "finetune" in printed.getvalue()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_python_on_a_page_is_python(page: Path) -> None:
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        if block["language"] == "python":
            ast.parse(block["text"])
