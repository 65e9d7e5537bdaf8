"""What a report says about parts of a set, as tables: accuracy by group, recall by class, and which classes are taken
for which.
"""

from heapq import nsmallest

from msgspec import UNSET
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ftcli.console.cells import GAP, Layout, new_table, percent, set_name, text
from ftcli.measures.types import ClassFigures, FiguresBySet

MOST_CLASSES = 20  # a longer list shows its worst
MOST_GROUPS = 20
MOST_PAIRS = 10
WIDEST_MATRIX = 12  # classes
LEAST_NAME = 12  # characters that a class name beside the matrix may be folded to


def group_tables(results: FiguresBySet) -> list[RenderableType]:
    """A table for every set that has groups."""
    tables: list[RenderableType] = []
    for name, figures in results.by_set().items():
        if figures.groups is UNSET:
            continue
        shown = figures.groups
        if len(shown) > MOST_GROUPS:
            shown = sorted(shown, key=lambda group: group.accuracy)[:MOST_GROUPS]
        left_out = len(figures.groups) - len(shown)
        worst = f"worst: {percent(figures.worst_group_accuracy)}" if figures.worst_group_accuracy is not UNSET else ""
        caption = f"{worst}; the worst by accuracy, {left_out} more" if left_out else worst
        rows = [[text(group.name), text(f"{group.n:,}"), text(percent(group.accuracy))] for group in shown]
        layout = Layout(["group", "images", "accuracy"], rows)
        tables.append(layout.table(f"{set_name(name)}: groups, in per cent", caption, left=("group",)))
    return tables


def class_tables(results: FiguresBySet, width: int) -> list[RenderableType]:
    """The tables of every set that has them, for a terminal of `width` characters."""
    tables: list[RenderableType] = []
    for name, figures in results.by_set().items():
        shown = set_name(name)
        if figures.per_class is not UNSET:
            tables.append(per_class_table(shown, figures.per_class))
        if figures.confusion is not UNSET:
            classes, counts = figures.confusion.classes, figures.confusion.counts
            tables.append(pairs_table(shown, classes, counts))
            if len(classes) <= WIDEST_MATRIX and matrix_width(classes, counts) <= width:
                tables.append(matrix_table(shown, classes, counts))
    return tables


def per_class_table(name: str, classes: list[ClassFigures]) -> Table:
    """Recall of every class, or of the worst, and how many examples it is a share of."""
    shown = classes
    if len(classes) > MOST_CLASSES:
        shown = sorted(classes, key=lambda row: 2.0 if row.recall is None else row.recall)[:MOST_CLASSES]
    left_out = len(classes) - len(shown)
    rows = []
    for row in shown:
        rates = ["-" if rate is None else percent(rate) for rate in (row.recall, row.precision, row.f1)]
        rows.append([*map(text, (row.name, f"{row.n:,}", *rates))])
    caption = f"the worst by recall; {left_out} more" if left_out else ""
    layout = Layout(["class", "images", "recall", "precision", "F1"], rows)
    return layout.table(f"{name}: classes, in per cent", caption, left=("class",))


def pairs_table(name: str, classes: list[str], counts: list[list[int]]) -> Table:
    """The pairs of classes that are confused most, in falling order; of equal ones the first. counts [J][J]."""
    wrong = [(-n, i, j) for i, row in enumerate(counts) for j, n in enumerate(row) if n and i != j]
    largest = nsmallest(MOST_PAIRS, wrong)
    left_out = len(wrong) - len(largest)
    caption = f"{left_out} more {'pair' if left_out == 1 else 'pairs'}" if left_out else ""
    table = new_table(f"{name}: most frequent confusions", caption if largest else "nothing is misclassified")
    table.add_column("true → predicted", overflow="fold")
    table.add_column("images", justify="right")
    for negative, true, predicted in largest:
        table.add_row(text(f"{classes[true]} → {classes[predicted]}"), f"{-negative:,}")
    return table


def matrix_width(classes: list[str], counts: list[list[int]]) -> int:
    """Characters that the matrix needs at least."""
    names = min(LEAST_NAME, max(len(numbered_name(i, name)) for i, name in enumerate(classes)))
    return names + sum(
        max(len(str(max(column))), len(str(j))) + GAP for j, column in enumerate(zip(*counts, strict=True))
    )


def numbered_name(i: int, name: str) -> str:
    """A class as the matrix names its row: with the number that heads its column."""
    return name if name == str(i) else f"{i} {name}"


def matrix_table(name: str, classes: list[str], counts: list[list[int]]) -> Table:
    """The whole matrix; the columns bear the numbers of the classes, because names would not fit."""
    table = new_table(f"{name}: confusion matrix", "row: true class, column: predicted class")
    table.add_column("", overflow="fold")
    for j in range(len(classes)):
        table.add_column(str(j), justify="right", no_wrap=True)
    for i, true in enumerate(classes):
        cells = [Text(str(n) if n else "·", style="bold" if i == j else "") for j, n in enumerate(counts[i])]
        table.add_row(text(numbered_name(i, true)), *cells)
    return table
