"""The mistakes that two models share, and those of one alone, as tables."""

from msgspec import UNSET
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ftcli.console.cells import BETWEEN, Layout, first_fitting, interval, percent, set_name, text
from ftcli.explain.agreement.types import Agreement, PairMistakes, SharedMistakes, SharedPredictions
from ftcli.report.class_tables import MOST_CLASSES
from ftcli.report.model_tables import letters
from ftcli.report.types import Report

CAPTION = (
    "both, only: wrong answers of both models and of one alone; Jaccard: both, in per cent of all these; agree: same "
    "class predicted, in per cent; points: accuracy of the first minus the second [95 % paired bootstrap]; p Holm: "
    "McNemar's exact test, corrected over the sets of the pair"
)


def tables(report: Report, width: int) -> list[RenderableType]:
    """Every pair on every set; where there is one pair only, its classes too. `width`: characters of the terminal."""
    agreement: Agreement = report["agreement"]
    labels = [] if report.models is UNSET else [model.label for model in report.models]
    letter = dict(zip(labels, letters(len(labels)), strict=True))
    shown = [pair_table(pair, letter[pair.a], letter[pair.b], width) for pair in agreement.pairs]
    shown[-1].caption = Text(CAPTION, style="dim")
    return [*shown, *(class_tables(agreement.pairs[0], "A", "B") if len(agreement.pairs) == 1 else ())]


def pair_table(pair: PairMistakes, a: str, b: str, width: int) -> Table:
    """A row per set. a, b: letters of the two models."""
    heads = ["", "images", *mistake_heads(a, b), "Jaccard", "agree", "kappa", "points", "p Holm"]
    without = {} if pair.unlabelled is UNSET else pair.unlabelled
    ends = [[text(set_name(name)), *cells_without_labels(shared)] for name, shared in without.items()]
    layouts = (
        Layout(heads, [[text(set_name(name)), *cells(shared, between)] for name, shared in pair.sets.items()] + ends)
        for between in BETWEEN
    )
    return first_fitting(layouts, width).table(f"Mistakes of {a} and {b}")


def mistake_heads(a: str, b: str) -> list[str]:
    """Names of the kinds in DISJOINT."""
    return ["both", f"only {a}", f"only {b}"]


def cells(shared: SharedMistakes, between: str) -> list[Text]:
    """The figures of one pair on one set; what is not defined is a dash. `between`: a difference and its interval."""
    words = [
        *(f"{count:,}" for count in (shared.n, shared.common, shared.g1, shared.g2)),
        "-" if shared.jaccard is None else percent(shared.jaccard),
        percent(shared.agreement),
        "-" if shared.kappa is None else f"{shared.kappa:z.2f}",
        f"{100 * shared.difference:+z.1f}{between}{interval(shared.ci95)}",
        f"{shared.p_holm:.2g}",
    ]
    return [Text(word) for word in words]


def cells_without_labels(shared: SharedPredictions) -> list[Text]:
    """The same columns where no label says which prediction is right."""
    kappa = "-" if shared.kappa is None else f"{shared.kappa:z.2f}"
    return [Text(word) for word in (f"{shared.n:,}", *"----", percent(shared.agreement), kappa, *"--")]


def class_tables(pair: PairMistakes, a: str, b: str) -> list[Table]:
    """The mistakes of a pair by true class, a table per set; of many classes, those with the most mistakes."""
    shown = []
    for name, shared in pair.sets.items():
        classes = shared.per_class
        most = sorted(classes, key=lambda row: -(row.common + row.g1 + row.g2))[:MOST_CLASSES]
        rows = [
            [text(row.name), *(Text(f"{count:,}") for count in (row.n, row.common, row.g1, row.g2))]
            for row in classes
            if row in most
        ]
        left_out = len(classes) - len(rows)
        caption = f"those with the most mistakes; {left_out} more" if left_out else ""
        layout = Layout(["class", "images", *mistake_heads(a, b)], rows)
        shown.append(layout.table(f"{set_name(name)}: mistakes by class", caption, left=("class",)))
    return shown
