"""The ranking of checkpoints as tables: what a head on their features reaches, the scores, the OOD sets."""

from collections.abc import Mapping, Sequence

from msgspec import UNSET
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ftcli.console.cells import BETWEEN, Layout, first_fitting, interval, percent, set_name, text
from ftcli.explain.rank.types import RankedCheckpoint, RankedSet
from ftcli.figures.panels import BarChart, Panel
from ftcli.report.estimates.table import HEADS
from ftcli.report.types import Report

NOTHING = "-"
NAME = "checkpoint"
SCORES = {
    "LogME": "logme", "NLEEP": "nleep", "H-score": "h_score", "GBC": "gbc", "TransRate": "transrate", "LEEP": "leep",
}  # fmt: skip
ORDER = (
    "sorted by probe: accuracy over five folds of the training set of the exact linear probe [95 % Wilson interval]; "
    "p Holm: McNemar's test against the first, corrected; k-NN: of the 20 nearest images of other folds, by cosine"
)
GROUPS = "; groups: the probe of the other groups on each group of the training set, mean and worst"
HIGHER = "higher is better, if a score is right: it is a guess, and the probe is the one to beat; LEEP: of its own head"
ORACLE = "oracle: accuracy of the probe of the training set; it needs labels that a choice of a checkpoint must not use"
ORACLE_TITLE = "OOD sets with labels: oracle, not for a choice"
ESTIMATES = (
    "not measured: the set has no labels; from the probe's answers there and for the images that it is not fitted to"
)
ESTIMATES_TITLE = "estimated accuracy of the probe"
NARROWER = ((), ("features",), ("features", "input"), ("features", "input", "parameters"))  # columns left out


def tables(report: Report, width: int) -> list[RenderableType]:
    """What a head reaches, the scores, and the OOD sets where there are any; the checkpoints in the same order."""
    rows: list[RankedCheckpoint] = report["ranking"]
    scores = Layout([NAME, *SCORES], [[text(row.label), *score_cells(row)] for row in rows])
    shown: list[RenderableType] = [
        accuracy_table(rows, width), *scores.tables(width, "Scores of the features", HIGHER, left=(NAME,)),
    ]  # fmt: skip
    if any(row.ood for row in rows if row.ood is not UNSET):
        shown += ood_tables(rows, width)
    return shown


def accuracy_table(rows: Sequence[RankedCheckpoint], width: int) -> Table:
    """The figures that are accuracies, in per cent, and the sizes."""
    with_groups = any(row.groups is not UNSET for row in rows)
    heads = [NAME, "parameters", "features", "input", "probe", "p Holm", "k-NN", *(["groups"] if with_groups else [])]
    layouts = (
        Layout(heads, [accuracy_cells(row, between, with_groups) for row in rows]).without(left_out)
        for between in BETWEEN
        for left_out in NARROWER
    )
    caption = ORDER + (GROUPS if with_groups else "")
    return first_fitting(layouts, width).table("Accuracy of a head on frozen features", caption, left=(NAME,))


def accuracy_cells(row: RankedCheckpoint, between: str, with_groups: bool) -> list[Text]:
    """`between`: an accuracy and its interval."""
    probe = NOTHING
    if row.probe is not None and row.probe_ci95 is not None:
        probe = f"{percent(row.probe)}{between}{interval(row.probe_ci95)}"
    groups = NOTHING if row.groups is UNSET else f"{percent(row.groups.mean)}, {percent(row.groups.worst)}"
    words = [
        f"{row.parameters:,}", str(row.features), "×".join(map(str, row.input)), probe,
        NOTHING if row.p_holm is None else f"{row.p_holm:.2g}", NOTHING if row.knn is None else percent(row.knn),
        *([groups] if with_groups else []),
    ]  # fmt: skip
    return [text(row.label), *map(Text, words)]


def score_cells(row: RankedCheckpoint) -> list[Text]:
    """Every score of SCORES; a dash where there is none."""
    values = [row.get(key) for key in SCORES.values()]
    return [Text(NOTHING if value is None else number(value)) for value in values]


def number(value: float) -> str:
    """Three digits after the point, fewer of larger values; of very small and very large ones three digits."""
    if abs(value) >= 1000 or 0 < abs(value) < 0.001:
        return f"{value:.3g}"
    return f"{value:z.3f}" if abs(value) < 10 else f"{value:.1f}"


def ood_tables(rows: Sequence[RankedCheckpoint], width: int) -> list[Table]:
    """A column for each set with labels, and one for each estimate on a set without."""
    by_row = [{} if row.ood is UNSET else row.ood for row in rows]
    known = {name: found for sets in by_row for name, found in sets.items()}
    shown = []
    if labelled := [name for name, found in known.items() if found.oracle is not UNSET]:
        cells = [[percent_or_nothing(sets, name, "oracle") for name in labelled] for sets in by_row]
        shown += tables_of(rows, [*map(set_name, labelled)], cells, width, ORACLE_TITLE, ORACLE)
    for name, found in known.items():
        if found.estimates is not UNSET:
            estimates = list(found.estimates)
            cells = [[percent_or_nothing(sets, name, "estimates", key) for key in estimates] for sets in by_row]
            heads = [HEADS[key] for key in estimates]
            shown += tables_of(rows, heads, cells, width, f"{set_name(name)}: {ESTIMATES_TITLE}", ESTIMATES)
    return shown


def tables_of(
    rows: Sequence[RankedCheckpoint], heads: list[str], cells: list[list[Text]], width: int, title: str, caption: str
) -> list[Table]:
    """Cells of each checkpoint under some heads."""
    layout = Layout([NAME, *heads], [[text(row.label), *of] for row, of in zip(rows, cells, strict=True)])
    return layout.tables(width, title, caption, left=(NAME,))


def percent_or_nothing(sets: Mapping[str, RankedSet], name: str, key: str, estimate: str = "") -> Text:
    """A figure on one set in per cent; a dash where a checkpoint has none."""
    value = sets[name].get(key) if name in sets else None
    if estimate and value:
        value = value[estimate].value if estimate in value else None
    return Text(NOTHING if value is None else percent(value))


def panels(report: Report) -> list[Panel]:
    """The accuracies of every checkpoint: of the probe, of the nearest neighbours, and on the labelled OOD sets."""
    rows: list[RankedCheckpoint] = report["ranking"]
    series = {"probe": [times_100(row.probe) for row in rows], "k-NN": [times_100(row.knn) for row in rows]}
    for name in {name: None for row in rows if row.ood is not UNSET for name in row.ood}:
        found = [None if row.ood is UNSET else row.ood.get(name) for row in rows]
        if any(one is not None and one.oracle is not UNSET for one in found):
            series[f"{set_name(name)} (oracle)"] = [
                None if one is None or one.oracle is UNSET else 100 * one.oracle for one in found
            ]
    return [BarChart("A head on frozen features", [row.label for row in rows], series, "accuracy (%)")]


def times_100(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction
