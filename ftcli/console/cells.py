"""How a name, an accuracy and an interval are written, in every table."""

from collections.abc import Container, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from ftcli.text import printable

METHOD_NAMES = {"probe": "LP", "finetune": "FT", "lpft": "LP-FT", "surgical": "surgical", "evaluate": "as it is"}
GAP = 3  # characters between two columns
SET_NAMES = {"id_val": "ID-val", "id_test": "ID-test", "ood_mean": "OOD mean"}
INTERVALS = {
    "ci90": "90 % interval of the mean over seeds (Student's t)",
    "accuracy_ci95": "95 % Wilson interval of one run",
}


def text(name: str, style: str = "") -> Text:
    """A name from data: no markup is read in it, nothing in it paints, and it folds where it is too long."""
    return Text(printable(name), style=style, overflow="fold")


def percent(fraction: float) -> str:
    return f"{100 * fraction:z.1f}"  # z: never "-0.0"


def interval(bounds: Sequence[float]) -> str:
    return f"[{percent(bounds[0])}, {percent(bounds[1])}]"


def interval_of(entry: dict[str, Any]) -> tuple[str, Sequence[float]] | None:
    """The interval that says most about a figure: over seeds where there are several, else of the one run."""
    return next(((kind, entry[kind]) for kind in INTERVALS if entry.get(kind)), None)


def name_intervals(kinds: Container[str | None]) -> str:
    """What the brackets of a table hold; where two kinds stand in it, which is where."""
    named = [words for kind, words in INTERVALS.items() if kind in kinds]
    return " where there are several seeds, else ".join(named)


def new_table(title: str, caption: str = "") -> Table:
    """A table in the one style of the house: no vertical lines, title and caption at the left, which hold names too."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, title=text(title, style="bold"))
    table.caption = text(caption, style="dim") if caption else None
    return table


def table_width(heads: list[str], rows: list[list[Text]]) -> int:
    """Characters that a table with an unnamed first column takes."""
    columns = zip(["", *heads], *rows, strict=True)
    return sum(max(len(line) for one in column for line in str(one).split("\n")) + GAP for column in columns) - GAP
