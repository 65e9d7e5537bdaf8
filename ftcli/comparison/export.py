"""A comparison as CSV, Markdown, JSON and tables for a terminal. Fractions in CSV and JSON, per cent elsewhere."""

import itertools
import json
import math
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from ftcli.comparison.compare import Cell, Comparison, Difference, Row
from ftcli.console.cells import GAP, SET_NAMES, interval, name_intervals, new_table, percent, text
from ftcli.formats.csv_table import csv_table
from ftcli.formats.markdown import escape_markdown, markdown_list, markdown_table

SCHEMA = "ftcli/compare/1"
ALPHA = 0.05
DIFFERENCES = "Paired differences of accuracy, in percentage points, the first minus the second"
POINTS = "points: means over the seeds"
TESTS = {
    "methods": (
        "methods: 95 % interval and p with seeds and examples both as chance; p Holm: corrected over all sets and "
        f"pairs of the table; * where p Holm < {ALPHA}"
    ),
    "runs": (
        "these two runs: 95 % paired bootstrap over examples with the seeds as they are; p: McNemar's exact test on "
        "the two selected runs; p Holm: corrected over the sets of the pair; "
        f"* where p Holm < {ALPHA} and the interval leaves out 0: of these two runs, not of the methods"
    ),
}
SCOPES = {"methods": "methods", "runs": "these two runs"}
DIFFERENCE_HEADS = ["points", "interval", "p", "p Holm"]
CSV_FIELDS = [
    "kind", "name", "command", "minus", "set", "n", "accuracy", "low", "high", "interval", "seeds",
    "only_first", "only_second", "p", "p_holm", "scope", "method_low", "method_high", "method_p", "method_p_holm",
]  # fmt: skip


def to_json(comparison: Comparison) -> dict[str, object]:
    """The whole comparison in plain lists and dictionaries; accuracies are fractions."""
    return {"schema": SCHEMA, **json.loads(json.dumps(asdict(comparison), allow_nan=False))}


def to_csv(comparison: Comparison) -> str:
    """One line per report and set (kind accuracy), then one per pair and set (kind difference); fractions."""
    lines: list[dict[str, Any]] = []

    def write(**fields: Any) -> None:
        lines.append(fields)

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
        method_low, method_high = pair.method_interval or (None, None)
        write(
            kind="difference", name=pair.first, command=commands[pair.first], minus=pair.second,
            set=pair.set, n=pair.n, accuracy=pair.difference, low=pair.interval[0],
            high=pair.interval[1], interval="bootstrap95", seeds=f"{pair.seeds[0]} {pair.seeds[1]}",
            only_first=pair.only_first, only_second=pair.only_second, p=pair.p, p_holm=pair.p_holm, scope=pair.scope,
            method_low=method_low, method_high=method_high, method_p=pair.method_p, method_p_holm=pair.method_p_holm,
        )  # fmt: skip
    return csv_table(CSV_FIELDS, lines)


def to_markdown(comparison: Comparison) -> str:
    """The two tables and the notes; names are escaped so that they stay text."""
    sets = comparison.sets
    body = [[label(row), str(row.seeds), *(cell_text(row.cells[name]) for name in sets)] for row in comparison.rows]
    heads = ["", "seeds", *map(set_name, sets)]
    blocks = [escape_markdown(accuracy_title(comparison)), markdown_table(heads, body, left=1)]
    if comparison.differences:
        body = [[pair_title(pair), set_name(pair.set), *difference_texts(pair)] for pair in comparison.differences]
        table = markdown_table(["", "set", *DIFFERENCE_HEADS], body, left=2)
        blocks += [DIFFERENCES, table, escape_markdown(tests_named(comparison))]
    if comparison.notes:
        blocks.append(markdown_list(comparison.notes))
    if comparison.verdict:
        blocks.append(escape_markdown(comparison.verdict.sentence))
    return "\n\n".join(blocks) + "\n"


def tables(comparison: Comparison, width: int = 100) -> list[Table]:
    """Rich tables for `width` characters: accuracies (in several tables where one is too wide), then differences.

    Names are Text, so that nothing in them is read as markup; long ones are folded, never cut.
    """
    sets = comparison.sets
    longest = max(len(label(row)) for row in comparison.rows)
    for_sets = width - min(24, longest) - (0 if common_seeds(comparison) else len("seeds") + GAP)
    one_line = len(sets) * (len("91.2 [90.1, 92.3]") + GAP) <= for_sets
    most = len(sets) if one_line else max(1, for_sets // (len("[90.1, 92.3]") + GAP))
    per_table = math.ceil(len(sets) / math.ceil(len(sets) / most))  # tables of nearly equal width
    result = [
        accuracy_table(comparison, sets[first : first + per_table], " " if one_line else "\n")
        for first in range(0, len(sets), per_table)
    ]
    return [*result, difference_table(comparison)] if comparison.differences else result


def accuracy_table(comparison: Comparison, sets: tuple[str, ...], separator: str) -> Table:
    """Some sets of the comparison; `separator` is between an accuracy and its interval."""
    rows, table, seeds = comparison.rows, new_table(accuracy_title(comparison)), common_seeds(comparison)
    table.add_column("", overflow="fold")
    if not seeds:
        table.add_column("seeds", justify="right")
    for name in sets:
        table.add_column(text(set_name(name)), justify="right", overflow="fold")
    best = best_accuracies(comparison)
    for row in rows:
        cells = [] if seeds else [Text(str(row.seeds))]
        for name in sets:
            cell = row.cells[name]
            # Bold for the best of several; the console leaves it out where there is no terminal.
            style = "bold" if cell and cell.accuracy == best.get(name) else ""
            cells.append(Text(cell_text(cell, separator), style=style))
        table.add_row(text(label(row)), *cells)
    return table


def best_accuracies(comparison: Comparison) -> dict[str, float]:
    """The highest accuracy on every set; empty where there is only one report."""
    rows = comparison.rows
    cells = {name: [cell.accuracy for row in rows if (cell := row.cells[name])] for name in comparison.sets}
    return {name: max(accuracies) for name, accuracies in cells.items()} if len(rows) > 1 else {}


def difference_table(comparison: Comparison) -> Table:
    """A section for each pair of reports, its sets below their names."""
    table = new_table(DIFFERENCES, tests_named(comparison))
    table.add_column("", overflow="fold")
    for head in DIFFERENCE_HEADS:
        table.add_column(head, justify="right", overflow="fold")
    for title, differences in itertools.groupby(comparison.differences, key=pair_title):
        table.add_section()
        table.add_row(text(title, "bold"))
        for difference in differences:
            table.add_row(text(f"  {set_name(difference.set)}"), *map(Text, difference_texts(difference)))
    return table


def pair_title(pair: Difference) -> str:
    """What is subtracted from what, and whether it is about the methods."""
    return f"{pair.first} - {pair.second} ({SCOPES[pair.scope]})"


def tests_named(comparison: Comparison) -> str:
    """What the figures of the differences are, and what a star means."""
    scopes = {pair.scope for pair in comparison.differences}
    return "; ".join([POINTS, *(words for scope, words in TESTS.items() if scope in scopes)])


def accuracy_title(comparison: Comparison) -> str:
    """Says how many seeds, where that is one number, and which interval the brackets hold."""
    seeds = common_seeds(comparison)
    count = f", {seeds} {'seed' if seeds == 1 else 'seeds'}" if seeds else ""
    named = name_intervals({cell.kind for row in comparison.rows for cell in row.cells.values() if cell})
    return f"Accuracy in per cent{count}" + (f" [{named}]" if named else "")


def common_seeds(comparison: Comparison) -> int | None:
    """The number of seeds that all reports have, None where they differ."""
    counts = {row.seeds for row in comparison.rows}
    return counts.pop() if len(counts) == 1 else None


def set_name(name: str) -> str:
    return SET_NAMES.get(name, name)


def cell_text(cell: Cell | None, separator: str = " ") -> str:
    if cell is None:
        return "-"
    return percent(cell.accuracy) + (separator + interval(cell.interval) if cell.interval else "")


def difference_texts(pair: Difference) -> list[str]:
    """Difference (starred where significant), interval, p and corrected p: of the methods, or of these two runs."""
    bounds, p, p_holm = pair.interval, pair.p, pair.p_holm
    if pair.method_interval:
        bounds, p, p_holm = pair.method_interval, pair.method_p, pair.method_p_holm
    star = "*" if p_holm is not None and p_holm < ALPHA and not bounds[0] <= 0 <= bounds[1] else ""
    p_values = ["-" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}" for p in (p, p_holm)]
    return [f"{100 * pair.difference:+z.1f}{star}", interval(bounds), *p_values]


def label(row: Row) -> str:
    """The row's name, with the command and the choice where the name does not contain them."""
    missing = [word for word in (row.command, row.choice) if word and word not in row.name]
    return f"{row.name} ({', '.join(missing)})" if missing else row.name
