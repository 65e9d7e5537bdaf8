"""How a name, an accuracy and an interval are written, and how a table is laid out for the width of a terminal."""

from collections.abc import Container, Iterable, Sequence
from math import ceil
from typing import Any, NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

from ftcli.safe_text import printable

GAP = 3  # characters between two columns
FOLDED = 24  # characters at which the names of a table fold where it is too wide
SET_NAMES = {"id_val": "ID-val", "id_test": "ID-test", "ood_mean": "OOD mean"}
BETWEEN = (" ", "\n")  # an accuracy and its interval: on one line, or on two where one is too wide
INTERVALS = {
    "ci90": "90 % interval of the mean over seeds (Student's t)",
    "accuracy_ci95": "95 % Wilson interval of one run",
}


def text(name: str, style: str = "") -> Text:
    """A name from data: no markup is read in it, nothing in it paints, and it folds where it is too long."""
    return Text(printable(name), style=style, overflow="fold")


def set_name(name: str) -> str:
    """What tables call a set."""
    return SET_NAMES.get(name, name)


def percent(fraction: float) -> str:
    return f"{100 * fraction:z.1f}"  # z: never "-0.0"


def interval(bounds: Sequence[float]) -> str:
    return f"[{percent(bounds[0])}, {percent(bounds[1])}]"


def interval_of(entry: Any) -> tuple[str, Sequence[float]] | None:
    """The interval that says most about the figures of a set: over the seeds if there are several, else of the run."""
    return next(((kind, entry[kind]) for kind in INTERVALS if entry.get(kind)), None)


def name_intervals(kinds: Container[str | None]) -> str:
    """What the brackets of a table hold; with two kinds in it, which is where."""
    named = [words for kind, words in INTERVALS.items() if kind in kinds]
    return " where there are several seeds, else ".join(named)


def new_table(title: str, caption: str = "") -> Table:
    """A table in the one style of the house: no vertical lines, title and caption at the left, which hold names too."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, title=text(title, style="bold"))
    table.caption = text(caption, style="dim") if caption else None
    return table


class Layout(NamedTuple):
    """The columns and rows of a table. Columns are told apart by their heads."""

    heads: list[str]
    rows: list[list[Text]]

    def width(self) -> int:
        """Characters that the table takes."""
        columns = zip(self.heads, *self.rows, strict=True)
        return (
            sum(max(len(line) for cell in column for line in str(cell).split("\n")) + GAP for column in columns) - GAP
        )

    def without(self, heads: Container[str]) -> "Layout":
        """The same rows without some columns."""
        shown = [i for i, head in enumerate(self.heads) if head not in heads]
        return Layout([self.heads[i] for i in shown], [[row[i] for i in shown] for row in self.rows])

    def split(self, width: int, kept: int = 1) -> list["Layout"]:
        """The columns in as few layouts as a terminal of `width` characters allows, of nearly equal numbers of columns;
        each begins with the first `kept` columns, of names, which may fold.
        """
        others = self.heads[kept:]
        names = self.without(others).width()
        for count in range(1, len(others) + 1):
            share = ceil(len(others) / count)
            shares = [set(others[i : i + share]) for i in range(0, len(others), share)]
            found = [self.without(set(others) - shown) for shown in shares]
            if max(part.width() for part in found) - max(0, names - FOLDED * kept) <= width:
                break
        return found if others else [self]

    def tables(
        self, width: int, title: str, caption: str = "", left: Container[str] = ("",), kept: int = 1
    ) -> list[Table]:
        """As `table`, in several tables where `width` has no room for one; the last has the caption."""
        *before, last = self.split(width, kept)
        return [*(layout.table(title, "", left) for layout in before), last.table(title, caption, left)]

    def table(self, title: str, caption: str = "", left: Container[str] = ("",)) -> Table:
        """`left`: heads of the columns of words; numbers are at the right."""
        table = new_table(title, caption)
        for head in self.heads:
            table.add_column(text(head), justify="left" if head in left else "right", overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        return table


def first_fitting(layouts: Iterable[Layout], width: int) -> Layout:
    """The first of these layouts that a terminal of `width` characters has room for, else the last."""
    for layout in layouts:
        if layout.width() <= width:
            break
    return layout
