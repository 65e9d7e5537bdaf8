"""What two models get wrong together and apart: as tables, and as pictures on a sheet."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ftcli.console.cells import SET_NAMES, interval, new_table, percent, table_width, text
from ftcli.data.task import Task
from ftcli.explain.agreement.measure import DISJOINT, Pair
from ftcli.figures.contact_sheet import MAX_ROWS, PER_ROW, Row
from ftcli.report.classes import MOST_CLASSES
from ftcli.report.models import letters

CAPTION = (
    "both, only: wrong answers of both models and of one alone; Jaccard: both, in per cent of all these; agree: same "
    "class predicted, in per cent; points: accuracy of the first minus the second [95 % paired bootstrap]; p Holm: "
    "McNemar's exact test, corrected over the sets of the pair"
)


def agreement_tables(report: dict[str, Any], width: int) -> list[RenderableType]:
    """Every pair on every set; where there is one pair only, its classes too. `width`: characters of the terminal."""
    pairs, labels = report["agreement"]["pairs"], [model["label"] for model in report["models"]]
    letter = dict(zip(labels, letters(len(labels)), strict=True))
    tables = [pair_table(pair, letter[pair["a"]], letter[pair["b"]], width) for pair in pairs]
    tables[-1].caption = Text(CAPTION, style="dim")
    return [*tables, *(class_tables(pairs[0], "A", "B") if len(pairs) == 1 else ())]


def pair_table(pair: dict[str, Any], a: str, b: str, width: int) -> Table:
    """A row per set; an interval stands below its difference where one line would be too wide. a, b: their letters."""
    heads = ["images", *mistake_heads(a, b), "Jaccard", "agree", "kappa", "points", "p Holm"]
    for between in (" ", "\n"):
        rows = [[text(SET_NAMES.get(name, name)), *cells(one, between)] for name, one in pair["sets"].items()]
        if table_width(heads, rows) <= width:
            break
    return filled(new_table(f"Mistakes of {a} and {b}"), "", heads, rows)


def mistake_heads(a: str, b: str) -> list[str]:
    """Names of the kinds in DISJOINT."""
    return ["both", f"only {a}", f"only {b}"]


def cells(entry: dict[str, Any], between: str) -> list[Text]:
    """The figures of one pair on one set; what is not defined is a dash."""
    jaccard, kappa = entry["jaccard"], entry["kappa"]
    words = [
        *(f"{entry[count]:,}" for count in ("n", *DISJOINT)),
        "-" if jaccard is None else percent(jaccard),
        percent(entry["agreement"]),
        "-" if kappa is None else f"{kappa:z.2f}",
        f"{100 * entry['difference']:+z.1f}{between}{interval(entry['ci95'])}",
        f"{entry['p_holm']:.2g}",
    ]
    return [Text(word) for word in words]


def class_tables(pair: dict[str, Any], a: str, b: str) -> list[Table]:
    """The mistakes of a pair by true class, a table per set; of many classes, those with the most mistakes."""
    tables = []
    for name, entry in pair["sets"].items():
        classes = entry["per_class"]
        most = sorted(classes, key=lambda row: -sum(row[kind] for kind in DISJOINT))[:MOST_CLASSES]
        rows = [
            [text(row["name"]), *(Text(f"{row[count]:,}") for count in ("n", *DISJOINT))]
            for row in classes
            if row in most
        ]
        left_out = len(classes) - len(rows)
        caption = f"those with the most mistakes; {left_out} more" if left_out else ""
        table = new_table(f"{SET_NAMES.get(name, name)}: mistakes by class", caption)
        tables.append(filled(table, "class", ["images", *mistake_heads(a, b)], rows))
    return tables


def filled(table: Table, first: str, heads: list[str], rows: list[list[Text]]) -> Table:
    """The table with its columns, numbers at the right, and its rows."""
    table.add_column(first, overflow="fold")
    for head in heads:
        table.add_column(head, justify="right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def mistake_rows(by_set: Mapping[str, Pair], task: Task, kind: str) -> Iterator[Row]:
    """Of a contact sheet of the mistakes of one kind: a row per set and true class, and below each picture what A and B
    take it for. Every set gets as many rows; where it has more classes, those with the most mistakes stay.
    """
    sets, most = task.sets(), max(1, MAX_ROWS // len(by_set))
    for name, one in by_set.items():
        wrong = one.mistakes(kind)
        counts = np.bincount(one.labels[wrong], minlength=len(task.classes))
        shown = [k for k in np.argsort(-counts, kind="stable")[:most] if counts[k]]
        for k in sorted(shown):
            examples = np.flatnonzero(wrong & (one.labels == k))[:PER_ROW].tolist()
            below = [[f"A: {task.classes[one.first[i]]}", f"B: {task.classes[one.second[i]]}"] for i in examples]
            yield Row([task.classes[k], f"({SET_NAMES.get(name, name)})"], sets[name], examples, below)
