"""One page of HTML, complete in itself: no script, no network, its style and figures inside."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ftcli.figures.svg import figure
from ftcli.report.html.components import Cell, Column, DataTable, Figure, Section
from ftcli.safe_text import counted, printable, shortened

FOLDER = Path(__file__).parent
MOST_ROWS, MOST_COLUMNS = 100, 20  # of a table
MOST_CHARACTERS = 300  # of a name, a cell, a paragraph has more
MOST_CODE = 20_000  # characters
WIDE = 12  # columns of a table beyond which its words may be broken on paper
LONG = 24  # characters of a word that may be
OPTION = re.compile(r"((?<!\S)--?[A-Za-z][\w-]*)")


def page(title: str, sections: Sequence[Section], lead: str = "") -> str:
    """The HTML of a page with these sections, a list of them below its title, and `lead` between. The same content
    gives the same text.
    """
    shown = [section for section in sections if section.parts]
    style = (FOLDER / "style.css").read_text(encoding="utf-8") + figure.STYLE_SHEET.read_text(encoding="utf-8")
    return templates().get_template("page.html").render(title=title, lead=lead, sections=shown, style=Markup(style))


@cache
def templates() -> Environment:
    """The templates beside this file: every text is escaped and made printable, whatever it is."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=printable_text,
    )  # fmt: skip
    environment.filters |= {"name": lambda text: shortened(text, MOST_CHARACTERS), "code": code, "command": command}
    environment.globals |= {
        "drawn": drawn,
        "cut": cut,
        "span": span,
        "unexplained": unexplained,
        "classes": classes,
        "WIDE": WIDE,
        "MOST_ROWS": MOST_ROWS,
        "MOST_COLUMNS": MOST_COLUMNS,
    }
    return environment


def printable_text(value: Any) -> Any:
    """What an expression of a template shows: text made printable, markup as it is."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else lines(value)


def lines(text: str) -> str:
    """Printable text; a line end stays one."""
    return "\n".join(map(printable, text.split("\n")))


def code(text: str) -> str:
    return shortened(text, MOST_CODE)


def command(text: str) -> Markup:
    """A command as markup: a line does not end within the name of an option."""
    words = OPTION.split(lines(text))
    return Markup("").join(
        Markup('<span class="option">{}</span>').format(w) if i % 2 else w for i, w in enumerate(words)
    )


def classes(cell: Cell, column: Column) -> Markup:
    """The attribute of a cell of a table: words begin at the left, and a long one may be broken on paper too."""
    long = any(len(word) > LONG for word in cell.text.split())
    names = [name for name, is_so in (("words", column.words), ("code", cell.code), ("long", long)) if is_so]
    return Markup(f' class="{" ".join(names)}"') if names else Markup("")


def drawn(part: Figure) -> dict[str, list[dict[str, Any]]]:
    """The panels and the legend of a figure; their drawings are markup."""
    found = figure.draw(part.panels)
    return {
        "panels": [one._asdict() | {"svg": Markup(one.svg)} for one in found.panels],
        "legend": [{"swatch": Markup(one.swatch), "name": one.name} for one in found.legend],
    }


def cut(table: DataTable) -> str:
    """What of a large table is left out, in words; empty where all is shown."""
    rows, columns = len(table.rows) - MOST_ROWS, len(table.columns) - MOST_COLUMNS
    parts = [counted(rows, "more row", "more rows")] if rows > 0 else []
    parts += [counted(columns, "more column", "more columns")] if columns > 0 else []
    return f"{' and '.join(parts)} in report.json" if parts else ""


def unexplained(table: DataTable, seen: list[str]) -> list[Column]:
    """The columns of a table whose meaning its section has not told yet; their heads are added to `seen`."""
    found = [column for column in table.columns[:MOST_COLUMNS] if column.meaning and column.head not in seen]
    seen += [column.head for column in found]
    return found


def span(ends: tuple[float, float, float]) -> Markup:
    """An interval and its middle on an axis of 100 pixels, cut off at its ends."""
    low, value, high = (2 + 100 * min(max(end, 0.0), 1.0) for end in ends)
    return Markup(
        f'<svg class="span c0" width="104" height="14" aria-hidden="true"><path class="grid" d="M2 7H102"/>'
        f'<path class="line" d="M{low:z.1f} 7H{high:z.1f}"/><circle class="mark" cx="{value:z.1f}" cy="7" r="3"/></svg>'
    )
