"""Writes the options of every command page from their declarations: `python docs/generate.py [--check]`.

A page holds the two markers below; what stands between them is replaced by one table per panel of the help. With
`--check` nothing is written, and the exit code is 1 when a page is out of date.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from ftcli.cli.help import ARGUMENTS, Row, rows
from ftcli.commands import COMMANDS, options_of
from ftcli.config.declare import PANELS

PAGES = Path(__file__).parent / "commands"
BEGIN, END = "<!-- options -->", "<!-- /options -->"


def section(command: str) -> str:
    """All tables of a command, arguments first."""
    found = list(rows(options_of(command)))
    panels = {panel: [row for row in found if row.panel == panel] for panel in (ARGUMENTS, *PANELS)}
    return "\n\n".join(table(panel, entries) for panel, entries in panels.items() if entries)


def table(panel: str, entries: Sequence[Row]) -> str:
    """One Markdown table under its heading."""
    head = ["argument" if panel == ARGUMENTS else "option", "meaning", "default"]
    body = [[f"`{f'{row.name} {row.value}'.strip()}`", row.help, row.default] for row in entries]
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in line] for line in body)]
    return f"### {panel}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


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


def main(words: Sequence[str], pages: Path = PAGES) -> int:
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
