"""A comparison as CSV, Markdown, JSON and tables for a terminal. Fractions in CSV and JSON, per cent elsewhere."""

import csv
import io
import itertools
import math
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from ftcli.comparison.compare import Cell, Comparison, Difference, Row
from ftcli.console.cells import SET_NAMES, interval, name_intervals, new_table, percent, text
from ftcli.text import printable

SCHEMA = "ftcli/compare/1"
ALPHA = 0.05
GAP = 3  # characters that a column of a table takes beside its content
DIFFERENCES = "Paired differences of accuracy, in percentage points"
TEST = (
    "points and interval: means over the seeds, 95 % paired bootstrap over examples with the seeds as they are; "
    "p: McNemar's exact test on the two selected runs; p Holm: corrected over the sets of the pair; "
    f"* where p Holm < {ALPHA} and the interval leaves out 0"
)
FIELDS = [
    "kind", "name", "command", "minus", "set", "n", "accuracy", "low", "high", "interval", "seeds",
    "only_first", "only_second", "p", "p_holm",
]  # fmt: skip


def to_json(comparison: Comparison) -> dict[str, Any]:
    """The whole comparison in plain lists and dictionaries; accuracies are fractions."""
    plain = {key: list(value) for key, value in asdict(comparison).items()}
    for difference in plain["differences"]:
        difference |= {"interval": list(difference["interval"]), "seeds": list(difference["seeds"])}
    for cell in (cell for row in plain["rows"] for cell in row["cells"].values() if cell and cell["interval"]):
        cell["interval"] = list(cell["interval"])
    return {"schema": SCHEMA, **plain}


def to_csv(comparison: Comparison) -> str:
    """One line per report and set (kind accuracy), then one per pair and set (kind difference); fractions."""
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS, lineterminator="\n")
    writer.writeheader()

    def write(**cells: Any) -> None:
        writer.writerow({key: printable(cell) if isinstance(cell, str) else cell for key, cell in cells.items()})

    for row in comparison.rows:
        for name, cell in row.cells.items():
            if cell is not None:
                low, high = cell.interval or (None, None)
                write(
                    kind="accuracy", name=row.name, command=row.command, set=name,
                    accuracy=cell.accuracy, low=low, high=high, interval=cell.kind, seeds=row.seeds,
                )  # fmt: skip
    commands = {row.name: row.command for row in comparison.rows}
    for pair in comparison.differences:
        write(
            kind="difference", name=pair.first, command=commands[pair.first], minus=pair.second,
            set=pair.set, n=pair.n, accuracy=pair.difference, low=pair.interval[0],
            high=pair.interval[1], interval="bootstrap95", seeds=f"{pair.seeds[0]} {pair.seeds[1]}",
            only_first=pair.only_first, only_second=pair.only_second, p=pair.p, p_holm=pair.p_holm,
        )  # fmt: skip
    return out.getvalue()


def to_markdown(comparison: Comparison) -> str:
    """The two tables and the notes; names are escaped so that they stay text."""
    sets = comparison.sets
    body = [[_label(row), str(row.seeds), *(_accuracy(row.cells[name]) for name in sets)] for row in comparison.rows]
    heads = ["", "seeds", *(SET_NAMES.get(name, name) for name in sets)]
    parts = [_markdown(_accuracy_title(comparison)), _markdown_table(heads, body, left=1)]
    if comparison.differences:
        body = [
            [f"{pair.first} - {pair.second}", SET_NAMES.get(pair.set, pair.set), *_difference(pair)]
            for pair in comparison.differences
        ]
        parts += [DIFFERENCES, _markdown_table(["", "set", "points", "interval", "p", "p Holm"], body, left=2)]
        parts.append(_markdown(TEST))
    parts += ["\n".join(f"- {_markdown(note)}" for note in comparison.notes)] if comparison.notes else []
    return "\n\n".join(parts) + "\n"


def tables(comparison: Comparison, width: int = 100) -> list[Table]:
    """Rich tables for `width` characters: accuracies (in several tables where one is too wide), then differences.

    Names are Text, so that nothing in them is read as markup; long ones are folded, never cut.
    """
    names = max(len(_label(row)) for row in comparison.rows)
    room = width - min(24, names) - (0 if _common_seeds(comparison) else len("seeds") + GAP)
    one_line = len(comparison.sets) * (len("91.2 [90.1, 92.3]") + GAP) <= room
    most = len(comparison.sets) if one_line else max(1, room // (len("[90.1, 92.3]") + GAP))
    each = math.ceil(len(comparison.sets) / math.ceil(len(comparison.sets) / max(1, most)))  # of nearly equal width
    chunks = [comparison.sets[first : first + each] for first in range(0, len(comparison.sets), each)]
    result = [_accuracy_table(comparison, chunk, " " if one_line else "\n") for chunk in chunks]
    return [*result, _difference_table(comparison)] if comparison.differences else result


def _accuracy_table(comparison: Comparison, sets: tuple[str, ...], between: str) -> Table:
    """Some sets of the comparison; `between` stands between an accuracy and its interval."""
    rows, table = comparison.rows, new_table(_accuracy_title(comparison))
    table.add_column("", overflow="fold")
    if not _common_seeds(comparison):
        table.add_column("seeds", justify="right")
    for name in sets:
        table.add_column(text(SET_NAMES.get(name, name)), justify="right", overflow="fold")
    best = {name: max(cell.accuracy for row in rows if (cell := row.cells[name])) for name in sets}
    for row in rows:
        cells = [] if _common_seeds(comparison) else [Text(str(row.seeds))]
        for name in sets:
            cell = row.cells[name]
            # Bold for the best of several; the console leaves it out where there is no terminal.
            style = "bold" if cell and len(rows) > 1 and cell.accuracy == best[name] else ""
            cells.append(Text(_accuracy(cell, between), style=style))
        table.add_row(text(_label(row)), *cells)
    return table


def _difference_table(comparison: Comparison) -> Table:
    """A section for each pair, its sets below its name."""
    table = new_table(DIFFERENCES, TEST)
    table.add_column("", overflow="fold")
    for name in ("points", "interval", "p", "p Holm"):
        table.add_column(name, justify="right", overflow="fold")
    for (first, second), pairs in itertools.groupby(comparison.differences, key=lambda pair: (pair.first, pair.second)):
        table.add_section()
        table.add_row(text(f"{first} - {second}", "bold"))
        for pair in pairs:
            table.add_row(text(f"  {SET_NAMES.get(pair.set, pair.set)}"), *(Text(value) for value in _difference(pair)))
    return table


def _accuracy_title(comparison: Comparison) -> str:
    """Says how many seeds, where that is one number, and which interval the brackets hold."""
    seeds = _common_seeds(comparison)
    count = f", {seeds} {'seed' if seeds == 1 else 'seeds'}" if seeds else ""
    named = name_intervals({cell.kind for row in comparison.rows for cell in row.cells.values() if cell})
    return f"Accuracy in per cent{count}" + (f" [{named}]" if named else "")


def _common_seeds(comparison: Comparison) -> int | None:
    """The number of seeds that all reports have, None where they differ."""
    counts = {row.seeds for row in comparison.rows}
    return counts.pop() if len(counts) == 1 else None


def _accuracy(cell: Cell | None, between: str = " ") -> str:
    if cell is None:
        return "-"
    return percent(cell.accuracy) + (between + interval(cell.interval) if cell.interval else "")


def _difference(pair: Difference) -> list[str]:
    """Difference (starred where significant), interval, p and corrected p."""
    low, high = pair.interval
    star = "*" if pair.p_holm is not None and pair.p_holm < ALPHA and not low <= 0 <= high else ""
    return [f"{100 * pair.difference:+z.1f}{star}", interval(pair.interval), _p(pair.p), _p(pair.p_holm)]


def _p(value: float | None) -> str:
    return "-" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"


def _label(row: Row) -> str:
    """The row's name, with the method and the choice where the name does not tell them."""
    said = [one for one in (row.command, row.choice) if one and one not in row.name]
    return f"{row.name} ({', '.join(said)})" if said else row.name


def _markdown(words: str) -> str:
    return "".join(f"\\{sign}" if sign in "\\`|*[]<>&~" else sign for sign in printable(words))


def _markdown_table(heads: list[str], body: list[list[str]], left: int) -> str:
    """Pipe table; the first `left` columns are aligned left, the others right."""
    rule = ["---" if i < left else "---:" for i in range(len(heads))]
    lines = [[_markdown(cell) for cell in heads], rule, *([_markdown(cell) for cell in row] for row in body)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
