"""Confusion matrices of a report as heat maps."""

from msgspec import UNSET

from ftcli.console.cells import set_name
from ftcli.figures.panels import HeatMap, Panel
from ftcli.measures.types import ConfusionMatrix
from ftcli.report.figures.sets import shown_of
from ftcli.report.types import Report

MOST_CLASSES = 12  # rows of a matrix; of more classes, those confused most
SHARE = "images of the true class (%)"


def confusion_panels(report: Report) -> list[Panel]:
    """A heat map for each set whose confusion matrix the report has, of many the least accurate: per cent of the images
    of each true class, [true class][predicted class]. With many classes the most confused ones, which the title says.
    ID-val is left out where there is ID-test.
    """
    found = {} if report.results is UNSET else report.results.by_set()
    matrices = {name: figures.confusion for name, figures in found.items() if figures.confusion is not UNSET}
    if "id_test" in matrices:
        matrices.pop("id_val", None)
    shown = shown_of(list(matrices), lambda name: found[name].accuracy)
    few = f"shown are the {len(shown)} least accurate of {len(matrices)} sets" if len(shown) < len(matrices) else ""
    return [confusion_panel(f"Confusion on {set_name(name)}", matrices[name], few) for name in shown]


def confusion_panel(title: str, matrix: ConfusionMatrix, note: str) -> HeatMap:
    """The heat map of one confusion matrix, counts [J][J]."""
    classes, kept = matrix.classes, most_confused(matrix.counts)
    if len(kept) < len(classes):
        title = f"{title}: the {len(kept)} most confused of {len(classes):,} classes"
    totals = [sum(row) for row in matrix.counts]
    values = [[100 * matrix.counts[i][j] / totals[i] if totals[i] else None for j in kept] for i in kept]
    names = [classes[i] for i in kept]
    return HeatMap(title, values, names, names, "true class", "predicted class", SHARE, note)


def most_confused(counts: list[list[int]], most: int = MOST_CLASSES) -> list[int]:
    """The classes of the most frequent confusions, in the order of the matrix; all of them where they are few. Classes
    join pair by pair, the most frequent pair first.
    """
    if len(counts) <= most:
        return list(range(len(counts)))
    pairs = sorted((-n, i, j) for i, row in enumerate(counts) for j, n in enumerate(row) if n and i != j)
    kept: dict[int, None] = {}
    for _, i, j in pairs:
        if len(kept.keys() | {i, j}) <= most:
            kept |= {i: None, j: None}
    return sorted(kept) or list(range(most))
