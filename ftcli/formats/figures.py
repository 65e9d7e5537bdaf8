"""The figures of one model as rows, one for each set: for CSV, Markdown and LaTeX."""

from typing import Any, get_args, get_type_hints

from msgspec import UNSET

from ftcli.console.cells import interval, percent, set_name
from ftcli.formats.csv_table import csv_table
from ftcli.formats.latex import escape_latex, latex_table
from ftcli.formats.markdown import markdown_table
from ftcli.measures.types import Figures, FiguresBySet
from ftcli.records import Interval

DETAILS = ("groups", "per_class", "confusion")  # lists of figures, which fit into no row
FIGURES = tuple(name for name in Figures.__struct_fields__ if name not in DETAILS)
INTERVALS = tuple(
    name for name, kind in get_type_hints(Figures, include_extras=True).items()
    if Interval in (kind, *get_args(kind))
)  # fmt: skip
PLAIN = ("n", "loss", "n_seeds")  # no fractions
UNITS = "Accuracies, rates and errors in per cent, loss in nats"


def sets_of(results: FiguresBySet) -> dict[str, dict[str, Any]]:
    """Every figure that is there, by set and name: ID sets, OOD sets, sets without labels, `ood_mean`."""
    entries: dict[str, Any] = {**results.by_set(), **results.without_labels()}
    entries |= {"ood_mean": results.ood_mean} if results.ood_mean else {}
    found = {}
    for name, entry in entries.items():
        figures = {key: getattr(entry, key, UNSET) for key in FIGURES}
        found[name] = {key: value for key, value in figures.items() if value is not UNSET and value is not None}
    return found


def figures_csv(results: FiguresBySet) -> str:
    """One line for each set, with the same columns for every report; fractions."""
    columns = ["set"]
    for name in FIGURES:
        columns += [f"{name}_low", f"{name}_high"] if name in INTERVALS else [name]
    rows = []
    for name, figures in sets_of(results).items():
        row = {"set": name}
        for key, value in figures.items():
            row |= {f"{key}_low": value[0], f"{key}_high": value[1]} if key in INTERVALS else {key: value}
        rows.append(row)
    return csv_table(columns, rows)


def figures_markdown(results: FiguresBySet) -> str:
    """One row for each set, a column for each figure that some set has; per cent."""
    heads, body = shown(results)
    return f"{UNITS}\n\n{markdown_table(heads, body, left=1)}\n"


def figures_latex(results: FiguresBySet) -> str:
    """As `figures_markdown`, as a tabular of LaTeX."""
    heads, body = shown(results)
    rows = [[escape_latex(cell) for cell in row] for row in (heads, *body)]
    return latex_table(rows[0], rows[1:], left=1, comments=[UNITS])


def shown(results: FiguresBySet) -> tuple[list[str], list[list[str]]]:
    """The heads and the rows for a reader."""
    sets = sets_of(results)
    names = [name for name in FIGURES if any(name in figures for figures in sets.values())]
    rows = [
        [set_name(name), *(figure_text(key, figures[key]) if key in figures else "-" for key in names)]
        for name, figures in sets.items()
    ]
    return ["set", *names], rows


def figure_text(name: str, value: Any) -> str:
    """One figure: per cent, unless it is a count or a loss."""
    if name in INTERVALS:
        return interval(value)
    return percent(value) if name not in PLAIN else f"{value:.3f}" if isinstance(value, float) else f"{value:,}"
