"""Writes the options of every command page from their declarations: `python docs/generate.py [--check]`.

A page holds the two markers below; what stands between them is replaced by one table per panel of the help. With
`--check` nothing is written, and the exit code is 1 when a page is out of date.
"""

import sys
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, OptionInfo

from ftcli.config import COMMANDS, Common
from ftcli.declare import PANELS

PAGES = Path(__file__).parent / "commands"
BEGIN, END = "<!-- options -->", "<!-- /options -->"
ARGUMENTS = "Arguments"  # they have no panel and come first


@dataclass(frozen=True)
class Row:
    """One option or argument: how it is typed, what it does, what stands for it when it is not typed."""

    panel: str
    name: str  # "--lr", or an argument's metavar
    value: str  # "A,B,…", "train|eval", or "" for a flag
    help: str
    default: str


def rows(options: type[Common]) -> Iterator[Row]:
    """Every option and argument of a command, in the order of their declarations."""
    hints = get_type_hints(options, include_extras=True)
    for field in fields(options):
        kind, declared = get_args(hints[field.name])[:2]
        if isinstance(declared, ArgumentInfo):
            yield Row(ARGUMENTS, str(declared.metavar), "", str(declared.help), default_of(field, declared))
            continue
        yield Row(
            str(declared.rich_help_panel),
            name_of(field, declared),
            value_of(kind, declared),
            str(declared.help).removesuffix(".") + limits(declared) + ".",
            default_of(field, declared),
        )


def name_of(field: "Field[Any]", declared: OptionInfo) -> str:
    """The option as typed. Inside `Annotated`, a name that is given stands where Typer otherwise has the default."""
    given = [name for name in (declared.default, *(declared.param_decls or ())) if str(name).startswith("--")]
    return str(given[0]) if given else f"--{field.name.replace('_', '-')}"


def value_of(kind: Any, declared: OptionInfo) -> str:
    """What is typed after an option's name: its choices, its metavar, or nothing."""
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    return "" if kind is bool else str(declared.metavar)


def limits(declared: OptionInfo) -> str:
    """The range that a number must keep to, in words."""
    parts = [f"{word} {bound:g}" for word, bound in (("at least", declared.min), ("at most", declared.max)) if bound]
    return "".join(f"; {part}" for part in parts)


def default_of(field: "Field[Any]", declared: OptionInfo | ArgumentInfo) -> str:
    """The default in words where the declaration has some, else the value itself."""
    if field.default is MISSING:
        return "required"
    if isinstance(declared.show_default, str):
        return declared.show_default
    return f"`{field.default:g}`" if isinstance(field.default, float) else f"`{field.default}`"


def table(panel: str, entries: list[Row]) -> str:
    """One Markdown table under its heading."""
    head = f"### {panel}\n\n| {'argument' if panel == ARGUMENTS else 'option'} | meaning | default |\n|---|---|---|\n"
    lines = [
        f"| `{escaped(f'{row.name} {row.value}'.strip())}` | {escaped(row.help)} | {escaped(row.default)} |"
        for row in entries
    ]
    return head + "\n".join(lines)


def escaped(words: str) -> str:
    """Words as a cell of a table may hold them."""
    return words.replace("|", "\\|")


def section(command: str) -> str:
    """All tables of a command."""
    found = list(rows(COMMANDS[command].options))
    panels = {panel: [row for row in found if row.panel == panel] for panel in (ARGUMENTS, *PANELS)}
    return "\n\n".join(table(panel, entries) for panel, entries in panels.items() if entries)


def updated(page: str, command: str) -> str:
    """The page with its options as they are declared now. Raises ValueError where the markers are not there once."""
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"the page of {command} needs the markers {BEGIN} and {END}, once each")
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{section(command)}\n{END}{after}"


def stale(pages: Path) -> dict[Path, str]:
    """The pages that are out of date, with the text they should have."""
    wanted = {}
    for command in COMMANDS:
        path = pages / f"{command}.md"
        text = path.read_text(encoding="utf-8")
        if (new := updated(text, command)) != text:
            wanted[path] = new
    return wanted


def main(words: list[str], pages: Path = PAGES) -> int:
    """Bring the pages up to date, or only say which are not; gives the exit code."""
    wanted = stale(pages)
    if "--check" in words:
        for path in wanted:
            print(f"{path.name} is out of date: run python docs/generate.py", file=sys.stderr)
        return 1 if wanted else 0
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
