"""Feature distortion in a report: distances and similarity by block and set, subspaces, distances of weights."""

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ftcli.console.cells import METHOD_NAMES, SET_NAMES, new_table, table_width, text
from ftcli.figures.panels import BarChart, HeatMap, Panel
from ftcli.model.block_outputs import PENULTIMATE
from ftcli.report.models import letters

NOT_SETS = ("ratio", "subspace")  # keys of `distortion` beside the sets
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


def compared(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Each model that is held against another: its `label`, `distortion`, `similarity` and `parameters`."""
    first = {key: report[key] for key in ("distortion", "similarity", "parameters")}
    if "models" not in report:
        return [{"label": METHOD_NAMES[report["command"]], **first}]
    labels = [
        f"{letter}  {one['label']}"
        for letter, one in zip(letters(len(report["models"])), report["models"], strict=True)
    ]
    return [{**one, "label": label} for label, one in zip(labels[1:], [first, *report.get("others", [])], strict=True)]


def sets_of(distortion: Mapping[str, Any]) -> dict[str, Any]:
    return {name: found for name, found in distortion.items() if name not in NOT_SETS}


def distortion_tables(report: dict[str, Any], width: int) -> list[RenderableType]:
    """For each model: the features that reach the head, then every block, then the weights."""
    pairs = compared(report)
    reference = "A" if "models" in report else "its start"
    parts: list[RenderableType] = [penultimate_table(pairs, reference, width)]
    for one in pairs:
        parts += block_tables(one, reference, width)
        if "matrix" in next(iter(one["similarity"].values()), {}):
            parts += [matrix_table(one["label"], name, found) for name, found in one["similarity"].items()]
    return parts


def penultimate_table(pairs: list[dict[str, Any]], reference: str, width: int) -> Table:
    """What reaches the head, a row for each model and set; fewer figures of it on a narrow terminal."""
    rows = [row for one in pairs for row in penultimate_rows(one)]
    for left_out in NARROWER:
        kept = [i for i, head in enumerate(FEATURE_HEADS) if head not in left_out]
        heads, cells = [FEATURE_HEADS[i] for i in kept], [[row[i] for i in kept] for row in rows]
        if table_width(heads[1:], cells) <= width:
            break
    said = "; ".join(words for head, words in FEATURE_WORDS.items() if head in heads)
    table = new_table(f"Features (the head's input), against {reference}", said)
    for head in heads:
        table.add_column(head, justify="left" if head in ("", "set") else "right", overflow="fold")
    for row in cells:
        table.add_row(*row)
    return table


def penultimate_rows(one: dict[str, Any]) -> list[list[Text]]:
    """A row for each set of one model."""
    rows, begins = [], one["label"]
    for name, blocks in sets_of(one["distortion"]).items():
        found, subspace = blocks[PENULTIMATE], one["distortion"]["subspace"][name]
        angle = f"{max(subspace['angles']):.1f}°" if subspace["angles"] else NOTHING
        figures = [number(found[key]) for key in ("rms", "relative", "cosine")]
        cells = [
            begins, SET_NAMES.get(name, name), f"{number(found['mean'])} ± {number(found['se'])}", *figures,
            number(one["similarity"][name][PENULTIMATE]), str(subspace["k"]), number(subspace["d"]), angle,
        ]  # fmt: skip
        rows.append([text(cell) for cell in cells])
        begins = ""
    return rows


def block_tables(one: dict[str, Any], reference: str, width: int) -> list[Table]:
    """Every block of one model: how far its features moved on each set, how alike they stayed, how far its weights
    moved; in one table, or in three where one is too wide.
    """
    sets, weights = sets_of(one["distortion"]), one["parameters"]
    blocks = list(dict.fromkeys([*next(iter(sets.values()), {}), *weights]))
    said = {name: SET_NAMES.get(name, name) for name in sets}
    rms = {name: [number(found.get(block, {}).get("rms")) for block in blocks] for name, found in sets.items()}
    cka = {name: [number(one["similarity"][name].get(block)) for block in blocks] for name in sets}
    moved = {what: [number(weights.get(block, {}).get(key)) for block in blocks] for what, key in WEIGHTS.items()}
    title = f"Blocks of {one['label']}, against {reference}"
    whole = (
        {f"rms {said[name]}": rms[name] for name in sets} | {f"CKA {said[name]}": cka[name] for name in sets} | moved
    )
    rows = [[text(block), *(text(cells[i]) for cells in whole.values())] for i, block in enumerate(blocks)]
    if table_width(list(whole), rows) <= width:
        return [table_of(title, f"{RMS}; {CKA}; {MOVED}", blocks, whole)]
    return [
        table_of(f"{title}: distance", RMS, blocks, {said[name]: rms[name] for name in sets}),
        table_of(f"{title}: similarity", CKA, blocks, {said[name]: cka[name] for name in sets}),
        table_of(f"{title}: weights", MOVED, blocks, moved),
    ]


def table_of(title: str, caption: str, blocks: list[str], columns: Mapping[str, list[str]]) -> Table:
    """A row for each block that has a value in some column."""
    table = new_table(title, caption)
    table.add_column("block", overflow="fold")
    for head in columns:
        table.add_column(text(head), justify="right", overflow="fold")
    for i, block in enumerate(blocks):
        if any(cells[i] != NOTHING for cells in columns.values()):
            table.add_row(text(block), *(cells[i] for cells in columns.values()))
    return table


def matrix_table(label: str, name: str, similarity: dict[str, Any]) -> Table:
    """CKA of every block of A (rows) with every block of another model."""
    matrix = similarity["matrix"]
    table = new_table(f"CKA on {SET_NAMES.get(name, name)}: blocks of A (rows), of {label}")
    table.add_column("", overflow="fold")
    for column in matrix["columns"]:
        table.add_column(text(column), justify="right", overflow="fold")
    for row, values in zip(matrix["rows"], matrix["values"], strict=True):
        table.add_row(text(row), *(number(value) for value in values))
    return table


def number(value: float | None) -> str:
    """Three digits; a dash for what has no value."""
    if value is None:
        return NOTHING
    value = 0.0 if abs(value) < ROUNDING else value
    return f"{value:.3f}" if 0.001 <= abs(value) < 10 or value == 0 else f"{value:#.3g}"


def distortion_panels(report: dict[str, Any]) -> list[Panel]:
    """RMS distance of every block, a bar for each set, a panel for each model; and CKA matrices where there are any."""
    panels: list[Panel] = []
    for one in compared(report):
        sets = sets_of(one["distortion"])
        blocks = list(next(iter(sets.values()), {}))
        series = {SET_NAMES.get(name, name): [found[block]["rms"] for block in blocks] for name, found in sets.items()}
        panels.append(BarChart(one["label"], blocks, series, "distance over √C"))
        for name, found in one["similarity"].items():
            if "matrix" in found:
                matrix = found["matrix"]
                panels.append(
                    HeatMap(
                        f"{one['label']}, {SET_NAMES.get(name, name)}", matrix["values"], matrix["rows"],
                        matrix["columns"], y="block of A", x=f"block of {one['label']}", z="linear CKA",
                    )
                )  # fmt: skip
    return panels
