"""Writes the option tables of the documentation from the declarations: `python docs/generate.py [--check]`.

An option that at least three commands declare alike stands once, in docs/options.md; a command's page has its own
options and the names of the shared ones. The tables stand between two markers, and everything else on a page is written
by hand. With `--check` nothing is written, and the exit code is 1 when a page is out of date.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from ftcli.cli.help import ARGUMENTS, Row, rows
from ftcli.commands import COMMANDS, options_class
from ftcli.config.declare import PANELS

DOCS = Path(__file__).parent
SHARED_PAGE = "options.md"
BEGIN, END = "<!-- options -->", "<!-- /options -->"
SHARED_BY = 3  # commands that declare an option alike make it a shared one


def option_rows(command: str) -> list[Row]:
    """The arguments and options of a command, in the order of their declarations."""
    return list(rows(options_class(command)))


def shared_options() -> dict[Row, list[str]]:
    """Every shared option, with its commands."""
    commands: dict[Row, list[str]] = {}
    for command in COMMANDS:
        for row in option_rows(command):
            commands.setdefault(row, []).append(command)
    return {row: names for row, names in commands.items() if len(names) >= SHARED_BY and row.panel != ARGUMENTS}


def shared_section(shared: dict[Row, list[str]]) -> str:
    """The tables of docs/options.md, one for each panel of the help."""
    panels = {panel: [row for row in shared if row.panel == panel] for panel in PANELS}
    return "\n\n".join(
        f"## {panel}\n\n"
        + table([*heading(panel), "commands"], ([*cells(row), groups(shared[row])] for row in entries))
        for panel, entries in panels.items()
        if entries
    )


def section(command: str, shared: Iterable[Row]) -> str:
    """The options of one command: tables of its own, arguments first, then the names of the shared ones."""
    own = {row: row.panel for row in option_rows(command) if row not in shared}
    tables = [
        f"### {panel}\n\n" + table(heading(panel), (cells(row) for row in own if own[row] == panel))
        for panel in (ARGUMENTS, *PANELS)
        if panel in own.values()
    ]
    common = [row for row in option_rows(command) if row in shared]
    names = {panel: [f"`{row.name}`" for row in common if row.panel == panel] for panel in PANELS}
    lines = [f"- {panel}: {', '.join(entries)}" for panel, entries in names.items() if entries]
    link = f"### Shared options\n\nDescribed on the page of the [shared options](../{SHARED_PAGE}):\n\n"
    return "\n\n".join([*tables, link + "\n".join(lines)])


def heading(panel: str) -> list[str]:
    return ["argument" if panel == ARGUMENTS else "option", "meaning", "default"]


def cells(row: Row) -> list[str]:
    names = f"{row.name}, {row.short}" if row.short else row.name
    return [f"`{f'{names} {row.value}'.strip()}`", row.help, row.default]


def groups(names: Sequence[str]) -> str:
    """The commands by their panel in `ftcli --help`: "all", "*Train*, *Measure* but predict, blocks"."""
    if len(names) == len(COMMANDS):
        return "all"
    parts = []
    for panel in dict.fromkeys(command.panel for command in COMMANDS.values()):
        members = [name for name, command in COMMANDS.items() if command.panel == panel]
        missing = [name for name in members if name not in names]
        if not missing:
            parts.append(f"*{panel}*")
        elif len(missing) == 1 and len(members) > 2:
            parts.append(f"*{panel}* except {missing[0]}")
        else:
            parts += [name for name in members if name in names]
    return ", ".join(parts)


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in line] for line in body)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def updated(page: str, name: str, tables: str) -> str:
    """The page with these tables. Raises ValueError where the markers are not there once."""
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"{name} needs the markers {BEGIN} and {END}, once each")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{tables}\n{END}{rest.partition(END)[2]}"


def stale(docs: Path = DOCS) -> dict[Path, str]:
    """The pages that are out of date, with the text they should have."""
    shared = shared_options()
    tables = {docs / "commands" / f"{command}.md": section(command, shared) for command in COMMANDS}
    tables[docs / SHARED_PAGE] = shared_section(shared)
    fresh = {path: updated(path.read_text(encoding="utf-8"), path.name, text) for path, text in tables.items()}
    return {path: text for path, text in fresh.items() if text != path.read_text(encoding="utf-8")}


def main(arguments: Sequence[str], docs: Path = DOCS) -> int:
    """Bring the pages up to date, or with `--check` only name those that are not. Returns the exit code."""
    outdated = stale(docs)
    if "--check" in arguments:
        for path in outdated:
            print(f"{path.name} is out of date: run python docs/generate.py", file=sys.stderr)
        return 1 if outdated else 0
    for path, text in outdated.items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
