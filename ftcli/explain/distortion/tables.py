"""Feature distortion in a report: distances and similarity by block and set, subspaces, distances of weights."""

from collections.abc import Mapping

from msgspec import UNSET
from msgspec.structs import replace
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ftcli.commands import title_of
from ftcli.console.cells import Layout, first_fitting, set_name, text
from ftcli.explain.distortion.types import Matrix, ModelDistance
from ftcli.figures.panels import BarChart, HeatMap, Panel
from ftcli.model.names import PENULTIMATE
from ftcli.report.model_tables import letters
from ftcli.report.types import Report

NOTHING = "-"
ROUNDING = 1e-12  # what is left of 0
FEATURE_HEADS = ("", "set", "distance", "rms", "relative", "cosine", "CKA", "k", "d", "angle")
FEATURE_WORDS = {
    "distance": "distance: mean over the images of ‖φ(x) - φ₀(x)‖ ± its standard error",
    "rms": "rms: over √D",
    "relative": "relative: over ‖φ₀(x)‖",
    "d": "d: between the subspaces of the k directions that vary most, 0 to √2",
    "angle": "angle: the largest between them",
}
SUBSPACE = ("k", "d", "angle")
NARROWER = ((), SUBSPACE, (*SUBSPACE, "cosine", "relative"), (*SUBSPACE, "cosine", "relative", "rms"))  # left out
WEIGHTS = {"weights": "l2", "relative": "relative"}
RMS = "rms: mean distance over √C, by set"
CKA = "CKA: linear, by set"
MOVED = "weights: ‖θ - θ₀‖, and over ‖θ₀‖"


def compared(report: Report) -> list[ModelDistance]:
    """Each model that is compared with another, with its label."""
    first = ModelDistance(
        label=title_of(report.command, report.config) or report.command,
        distortion=report["distortion"],
        similarity=report["similarity"],
        parameters=report["parameters"],
    )
    if report.models is UNSET:
        return [first]
    labels = [
        f"{letter}  {model.label}" for letter, model in zip(letters(len(report.models)), report.models, strict=True)
    ]
    every = [first, *report.get("others", [])]
    return [replace(distance, label=label) for label, distance in zip(labels[1:], every, strict=True)]


def tables(report: Report, width: int) -> list[RenderableType]:
    """For each model: the features that reach the head, then every block, then the weights."""
    pairs = compared(report)
    reference = "its start" if report.models is UNSET else "A"
    shown: list[RenderableType] = [penultimate_table(pairs, reference, width)]
    for pair in pairs:
        shown += block_tables(pair, reference, width)
        for name, similarity in pair.similarity.items():
            if similarity.matrix is not UNSET:
                shown.append(matrix_table(str(pair.label), name, similarity.matrix))
    return shown


def penultimate_table(pairs: list[ModelDistance], reference: str, width: int) -> Table:
    """What reaches the head, a row for each model and set; fewer figures of it on a narrow terminal."""
    whole = Layout([*FEATURE_HEADS], [row for pair in pairs for row in penultimate_rows(pair)])
    layout = first_fitting(map(whole.without, NARROWER), width)
    caption = "; ".join(words for head, words in FEATURE_WORDS.items() if head in layout.heads)
    return layout.table(f"Features (the head's input), against {reference}", caption, left=("", "set"))


def penultimate_rows(pair: ModelDistance) -> list[list[Text]]:
    """A row for each set of one model."""
    rows, begins = [], str(pair.label)
    for name, blocks in pair.distortion.sets.items():
        features, subspace = blocks[PENULTIMATE], pair.distortion.subspace[name]
        angle = f"{max(subspace.angles):.1f}°" if subspace.angles else NOTHING
        figures = [features.rms, features.relative, features.cosine, pair.similarity[name].blocks[PENULTIMATE]]
        distance = f"{number(features.mean)} ± {number(features.se)}"
        cells = [begins, set_name(name), distance, *map(number, figures), str(subspace.k), number(subspace.d), angle]
        rows.append([*map(text, cells)])
        begins = ""
    return rows


def block_tables(pair: ModelDistance, reference: str, width: int) -> list[Table]:
    """Every block of one model: how far its features moved on each set, how alike they stayed, how far its weights
    moved; in one table, or in three where one is too wide.
    """
    sets, weights = pair.distortion.sets, pair.parameters
    blocks = list(dict.fromkeys([*next(iter(sets.values()), {}), *weights]))
    rms = {
        name: [number(found[block].rms if block in found else None) for block in blocks] for name, found in sets.items()
    }
    cka = {name: [number(pair.similarity[name].blocks.get(block)) for block in blocks] for name in sets}
    moved = {
        head: [number(weights[block][key] if block in weights else None) for block in blocks]
        for head, key in WEIGHTS.items()
    }
    title = f"Blocks of {pair.label}, against {reference}"
    whole = {f"rms {set_name(name)}": cells for name, cells in rms.items()}
    whole |= {f"CKA {set_name(name)}": cells for name, cells in cka.items()} | moved
    layout = block_layout(blocks, whole)
    if layout.width() <= width:
        return [layout.table(title, f"{RMS}; {CKA}; {MOVED}", left=("block",))]
    return [
        block_layout(blocks, {set_name(name): cells for name, cells in columns.items()}).table(
            f"{title}: {what}", caption, left=("block",)
        )
        for what, caption, columns in (("distance", RMS, rms), ("similarity", CKA, cka), ("weights", MOVED, moved))
    ]


def block_layout(blocks: list[str], columns: Mapping[str, list[str]]) -> Layout:
    """A row for each block that has a value in some column."""
    rows = [[*map(text, (block, *(cells[i] for cells in columns.values())))] for i, block in enumerate(blocks)]
    return Layout(["block", *columns], [row for row in rows if any(cell.plain != NOTHING for cell in row[1:])])


def matrix_table(label: str, name: str, matrix: Matrix) -> Table:
    """CKA of every block of A (rows) with every block of another model."""
    rows = [
        [text(row), *map(text, map(number, values))] for row, values in zip(matrix.rows, matrix.values, strict=True)
    ]
    return Layout(["", *matrix.columns], rows).table(f"CKA on {set_name(name)}: blocks of A (rows), of {label}")


def number(value: float | None) -> str:
    """Three digits; a dash for what has no value."""
    if value is None:
        return NOTHING
    value = 0.0 if abs(value) < ROUNDING else value
    return f"{value:.3f}" if 0.001 <= abs(value) < 10 or value == 0 else f"{value:#.3g}"


def panels(report: Report) -> list[Panel]:
    """RMS distance of every block, a bar for each set, a panel for each model; and CKA matrices where there are any."""
    drawn: list[Panel] = []
    labels = [""] if report.models is UNSET else letters(len(report.models))[1:]
    for pair, letter in zip(compared(report), labels, strict=True):
        name, reference = f"{letter} ({str(pair.label).removeprefix(letter).strip()})", "A"
        if not letter:
            name, reference = str(pair.label), "its start"
        sets = pair.distortion.sets
        blocks = list(next(iter(sets.values()), {}))
        series = {set_name(key): [found[block].rms for block in blocks] for key, found in sets.items()}
        drawn.append(BarChart(f"Distance of the features of {name} from {reference}", blocks, series, "RMS over √C"))
        for key, similarity in pair.similarity.items():
            if (matrix := similarity.matrix) is not UNSET:
                title, x = f"CKA of {name} with A on {set_name(key)}", f"block of {letter or 'B'}"
                drawn.append(
                    HeatMap(title, matrix.values, matrix.rows, matrix.columns, y="block of A", x=x, z="linear CKA")
                )
    return drawn
