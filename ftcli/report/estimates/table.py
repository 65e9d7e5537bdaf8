"""Estimates of the accuracy on each set, the default first, beside the accuracy where there are labels."""

from collections.abc import Iterator

from msgspec import UNSET
from rich.table import Table
from rich.text import Text

from ftcli.config.details.estimates import ON_THE_LINE
from ftcli.console.cells import BETWEEN, Layout, first_fitting, percent, set_name, text
from ftcli.measures.estimates.types import Estimate, Estimates
from ftcli.measures.types import Figures, FiguresBySet, Unlabelled

HEADS = {  # in the order of the columns
    "cott": "COTT",
    "cot": "COT",
    "atc_entropy": "ATC-NE",
    "atc": "ATC",
    "average_confidence": "confidence",
    "doc": "DoC",
    "nuclear": "nuclear",
    "dis2": "Dis²",
    "gde": "GDE",
    "aline_slope": "ALine-S",
    "aline_difference": "ALine-D",
}
LABELLED = "accuracy"


def estimates_table(results: FiguresBySet, width: int) -> Table | None:
    """A row for each set, or a column where the terminal is narrow; None where nothing was estimated."""
    by_set = estimates_by_set(results)
    if not by_set:
        return None
    names = [name for name in HEADS if any(name in estimates for estimates in by_set.values())]
    accuracies = {name: figures.accuracy for name, figures in results.by_set().items() if name in by_set}
    captions = ["made without labels of the set, from the errors on ID-val; the first is the default"]
    captions += ["+, -: estimate minus accuracy, in points"] if accuracies else []
    captions += ["Dis²: a lower bound"] if "dis2" in names else []
    off_the_line = any(is_off_the_line(estimate) for of in by_set.values() for estimate in of.values())
    captions += [f"*: agreements do not lie on a line, R² below {ON_THE_LINE}"] if off_the_line else []
    layout = first_fitting(_layouts(by_set, names, accuracies), width)
    return layout.table("Estimated accuracy, in per cent", "; ".join(captions))


def estimates_by_set(results: FiguresBySet) -> dict[str, Estimates]:
    """The estimates of every set that has some."""
    of_all: dict[str, Figures | Unlabelled] = {**results.by_set(), **results.without_labels()}
    return {name: entry.estimates for name, entry in of_all.items() if entry.estimates is not UNSET and entry.estimates}


def _layouts(by_set: dict[str, Estimates], names: list[str], accuracies: dict[str, float]) -> Iterator[Layout]:
    """Sets as rows, an estimate and its error on one line or on two; then sets as columns."""
    heads = [HEADS[name] for name in names]
    known = {one: text(percent(accuracies[one])) if one in accuracies else text("-") for one in by_set}
    for between in BETWEEN:
        cells = {one: [_cell(of.get(name), between) for name in names] for one, of in by_set.items()}
        added = [LABELLED] if accuracies else []
        rows = [[text(set_name(one)), *([known[one]] if added else []), *cells[one]] for one in by_set]
        yield Layout(["", *added, *heads], rows)
    for between in BETWEEN:
        cells = {one: [_cell(of.get(name), between) for name in names] for one, of in by_set.items()}
        columns = [[text(head), *(of[i] for of in cells.values())] for i, head in enumerate(heads)]
        first = [[text(LABELLED), *known.values()]] if accuracies else []
        yield Layout(["", *map(set_name, by_set)], first + columns)


def _cell(estimate: Estimate | None, between: str) -> Text:
    if estimate is None:
        return Text("")
    bound = "≥ " if estimate.accuracy is UNSET else ""
    error = "" if estimate.error is UNSET else f"{between}{100 * estimate.error:+.1f}"
    mark = "*" if is_off_the_line(estimate) else ""
    return Text.assemble((f"{bound}{percent(estimate.value)}{mark}", "bold"), error)


def is_off_the_line(estimate: Estimate) -> bool:
    """Whether an estimate rests on a line that its points do not lie on."""
    return estimate.r2 is not UNSET and estimate.r2 < ON_THE_LINE
