"""The accuracies of a comparison as a table of LaTeX: a row per report, a column per set, the best of a column bold."""

from ftcli.comparison.compare import Cell, Comparison
from ftcli.comparison.export import accuracy_title, best_accuracies, common_seeds, label, set_name
from ftcli.console.cells import interval, percent
from ftcli.formats.latex import bold, escape_latex, latex_table, small


def to_latex(comparison: Comparison) -> str:
    """A tabular; what its figures are, the notes and the verdict are comments above it."""
    best, seeds = best_accuracies(comparison), common_seeds(comparison)
    heads = ["", *([] if seeds else ["seeds"]), *(escape_latex(set_name(name)) for name in comparison.sets)]
    body = [
        [
            escape_latex(label(row)),
            *([] if seeds else [str(row.seeds)]),
            *(cell_latex(row.cells[name], best.get(name)) for name in comparison.sets),
        ]
        for row in comparison.rows
    ]
    comments = [accuracy_title(comparison), *(f"note: {note}" for note in comparison.notes)]
    comments += [comparison.verdict.sentence] if comparison.verdict else []
    return latex_table(heads, body, left=1, comments=comments)


def cell_latex(cell: Cell | None, best: float | None) -> str:
    """An accuracy in per cent, bold where it is the best, and its interval in small type."""
    if cell is None:
        return "--"
    accuracy = bold(percent(cell.accuracy)) if cell.accuracy == best else percent(cell.accuracy)
    return f"{accuracy} {small(interval(cell.interval))}" if cell.interval else accuracy
