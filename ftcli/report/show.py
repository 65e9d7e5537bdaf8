"""What goes to stdout when a command ends: the tables, or the JSON and nothing else."""

import sys
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ftcli.report.cells import text
from ftcli.report.folder import as_json as to_json
from ftcli.report.tables import tables


def console() -> Console:
    """stdout for tables: colour only on a terminal, 100 columns where nobody says how wide."""
    out = Console(highlight=False, markup=False, emoji=False)
    return (
        out
        if out.is_terminal or "COLUMNS" in out._environ
        else Console(highlight=False, markup=False, emoji=False, width=100)
    )


def show(report: dict[str, Any], folder: Path | None, as_json: bool) -> None:
    """A report on stdout, and below the tables where it was put."""
    if as_json:
        sys.stdout.write(to_json(report))
        return
    out = console()
    show_parts(out, tables(report, out.width))
    if folder:
        out.print(text(f"saved in {folder}"), soft_wrap=True)


def show_parts(out: Console, parts: list[RenderableType]) -> None:
    """One part after another. Words wrap at the edge of a terminal and stay whole lines in a pipe; so do a table's
    title and caption, which rich would fold to the width of the table.
    """
    whole = not out.is_terminal
    for part in parts:
        if not isinstance(part, Table):
            out.print(part, soft_wrap=whole and isinstance(part, Text))
            continue
        title, caption = part.title, part.caption
        part.title = part.caption = None
        out.print(title, soft_wrap=whole)
        out.print(part)
        if caption:
            out.print(caption, soft_wrap=whole)
        out.print()
