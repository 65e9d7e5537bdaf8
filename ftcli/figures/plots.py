"""Figures as files, as wide as a column or a page of a paper: panels in one style that survives a black-and-white
printer.

matplotlib is the extra `plots` and is imported only when a figure is drawn; pyplot, which keeps state, never is.
"""

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import chain
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ftcli.errors import RequestError
from ftcli.figures.blocks import Block, row_height, rows_of_blocks
from ftcli.figures.fit import fit_axes, name_axes, number_cells
from ftcli.figures.matplotlib_panels import (
    DIAGONAL,
    Label,
    Legend,
    draw_bar_chart,
    draw_heat_maps,
    draw_line_plot,
    draw_scatter_plot,
    legend_labels,
)
from ftcli.figures.panels import BarChart, HeatMap, LinePlot, Panel
from ftcli.figures.style import LINE_HEIGHT, ONE_COLUMN, STYLE, TWO_COLUMNS, fitted, text_width
from ftcli.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

METADATA: dict[str, dict[str, str | None]] = {  # nothing that changes from one run to the next
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
}
INSTALL = "python -m pip install matplotlib, or in a clone of ftcli: python -m pip install '.[plots]'"
DECIMALS = 6  # of the place of axes, as a fraction of the figure
HANDLE = 0.55  # inches of the sign of a legend's entry, with the gaps around it


class Drawn(NamedTuple):
    """The axes of the panel at a place of a block, and the part of the figure that the block is in."""

    part: "SubFigure"
    axes: "Axes"
    block: Block
    place: int


def check_plot(path: Path | None) -> None:
    """Raises RequestError for another ending than .pdf, .svg or .png, for a folder, and where matplotlib is not
    installed.
    """
    if path is None:
        return
    if path.suffix.lower() not in METADATA:
        raise RequestError(
            f"--plot {str(path)!r}: a figure is a PDF, an SVG or a PNG.", "end its name with .pdf, .svg or .png"
        )
    if path.is_dir():
        raise RequestError(f"--plot {str(path)!r} is a folder.", "name a file")
    if find_spec("matplotlib") is None:
        raise RequestError("--plot needs matplotlib, which is not installed.", INSTALL)


def save_panels(path: Path, panels: Sequence[Panel]) -> None:
    """Write one figure, 3.4 inches wide where that is enough, else 7: panels of one kind side by side in rows, the
    kinds one below the other. All text is of 8 points.

    Of one kind a label has one style throughout and is in the legend once; heat maps of one `z` share a colour bar. The
    same panels give the same bytes. A character that DejaVu Sans lacks is a box in a PNG or PDF.
    Raises RequestError as `check_plot` does, and ValueError where there is no panel.
    """
    check_plot(path)
    if not panels:
        raise ValueError("a figure needs a panel")
    import matplotlib

    kind = path.suffix.lower()
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        matplotlib.rcdefaults()  # not what the user has set for figures of their own
        matplotlib.rcParams.update(STYLE)
        figure = draw_figure(panels)
        write_atomically(path, lambda temporary: figure.savefig(temporary, format=kind[1:], metadata=METADATA[kind]))


def draw_figure(panels: Sequence[Panel]) -> "Figure":
    """The figure, under the STYLE. It is laid out again once text is broken to the size of the axes."""
    from matplotlib.figure import Figure

    rows = rows_of_blocks(panels)
    plans = [[legend_plan(block) for block in row] for row in rows]
    heights = [
        max(block.height() + plan.height for block, plan in zip(*pair, strict=True))
        for pair in zip(rows, plans, strict=True)
    ]
    width = max(block.width for row in rows for block in row)
    figure = Figure((width if width <= ONE_COLUMN else TWO_COLUMNS, sum(heights)), layout="constrained")
    strips = figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0]
    drawn: list[Drawn] = []
    for strip, row, row_plans in zip(strips, rows, plans, strict=True):
        widths = [block.width for block in row]
        if (rest := figure.get_figwidth() - sum(widths)) > 0.1:
            widths.append(rest)
        parts = strip.subfigures(1, len(widths), width_ratios=widths, squeeze=False)[0]
        for part, block, plan in zip(parts, row, row_plans, strict=False):
            all_axes, legend = draw_block(part, block)
            add_legend(part, legend, plan)
            drawn += [Drawn(part, axes, block, place) for place, axes in enumerate(all_axes)]
    layout: Any = figure.get_layout_engine()
    for _ in range(2):  # names on more lines make the axes smaller
        layout.execute(figure)
        for one in drawn:
            fit_axes(figure, one.axes, one.place, one.block)
    layout.execute(figure)
    for one in drawn:
        number_cells(figure, one.axes, one.place, one.block)
    figure.set_layout_engine("none")
    round_layout(figure)
    for row in rows:
        if len(row) > 1:
            align([(one.part, one.axes) for one in drawn if any(one.block is block for block in row)])
    return figure


def round_layout(figure: "Figure") -> None:
    """Take from the places of axes and parts the rounding errors of the layout, which differ from time to time."""
    parts = list(figure.subfigs)
    for part in parts:
        parts += part.subfigs
        part.bbox_relative.set_points(part.bbox_relative.get_points().round(DECIMALS))
    for axes in figure.axes:
        x, y, width, height = (round(float(side), DECIMALS) for side in axes.get_position().bounds)
        axes.set_position((x, y, width, height))


def align(row: Sequence[tuple["SubFigure", "Axes"]]) -> None:
    """Give axes side by side in several parts of a figure the same top and bottom, and the legends of these parts the
    same top, whatever titles and legends take.
    """
    boxes = [axes.get_window_extent() for _, axes in row]
    low, high = max(box.y0 for box in boxes), min(box.y1 for box in boxes)
    for (part, axes), box in zip(row, boxes, strict=True):
        (x0, y0), (x1, y1) = in_part(part, [(box.x0, low), (box.x1, high)])
        x, y, width, height = (round(side, DECIMALS) for side in (x0, y0, x1 - x0, y1 - y0))
        axes.set_position((x, y, width, height))
    parts = dict.fromkeys(part for part, _ in row)
    legends = [(part, legend, legend.get_window_extent()) for part in parts for legend in part.legends]
    top = max((box.y1 for _, _, box in legends), default=0.0)
    for part, legend, box in legends:
        ((x0, y0),) = in_part(part, [(box.x0, top - box.height)])
        legend.set_loc((x0, y0))


def in_part(part: "SubFigure", points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points (x, y) in pixels as fractions of a part of the figure."""
    return [(float(x), float(y)) for x, y in part.transSubfigure.inverted().transform(points)]


def draw_block(figure: "SubFigure", block: Block) -> tuple[list["Axes"], Legend]:
    """The axes of the panels of a block, drawn, and what is in its legend."""
    grid = list(figure.subplots(block.rows, block.columns, squeeze=False, height_ratios=block.row_heights()).flat)
    for axes in grid[len(block.panels) :]:
        axes.set_axis_off()
    labels = block_labels(block)
    legend: Legend = {}
    heat_maps: list[tuple[Axes, HeatMap]] = []
    same_quantity: dict[tuple[str, str], list[Axes]] = {}  # axes by their direction and name
    all_axes = grid[: len(block.panels)]
    for place, (axes, panel) in enumerate(zip(all_axes, block.panels, strict=True)):
        if isinstance(panel, HeatMap):
            heat_maps.append((axes, panel))
        elif isinstance(panel, BarChart):
            legend = draw_bar_chart(axes, panel, labels, row_height(panel)) | legend
            same_quantity.setdefault(("x", panel.x), []).append(axes)
        else:
            if isinstance(panel, LinePlot):
                legend = draw_line_plot(axes, panel, labels) | legend
            else:
                legend = draw_scatter_plot(axes, panel, labels) | legend
            same_quantity.setdefault(("y", panel.y), []).append(axes)
        name_axes(axes, place, block)
    for (direction, _), group in same_quantity.items():
        share_limits(direction, group)
    if heat_maps:
        draw_heat_maps(figure, heat_maps, block.height())
    ordered = [label for label in [*labels, *legend] if label in legend and label[1]]
    return all_axes, {label: legend[label] for label in dict.fromkeys(ordered)}


def block_labels(block: Block) -> list[Label]:
    return list(dict.fromkeys(chain.from_iterable(map(legend_labels, block.panels))))


def share_limits(direction: str, group: Sequence["Axes"]) -> None:
    """Give axes of one quantity the same limits, so that they compare by eye; those without values have no ticks."""
    shown = [axes for axes in group if len(getattr(axes, f"get_{direction}ticks")())]
    limits = [getattr(axes, f"get_{direction}lim")() for axes in shown]
    for axes in shown:
        axes.set(**{f"{direction}lim": (min(low for low, _ in limits), max(high for _, high in limits))})


class LegendPlan(NamedTuple):
    """The legend below a block: width and height in inches, the columns of its entries, and the notes above them."""

    width: float
    height: float
    columns: int
    note: str


def legend_plan(block: Block) -> LegendPlan:
    names = [fitted(name, block.width - HANDLE, 2) for _, name in block_labels(block) if name]
    names += [DIAGONAL] if any(getattr(panel, "diagonal", False) for panel in block.panels) else []
    notes = dict.fromkeys(panel.note for panel in block.panels if not isinstance(panel, BarChart) and panel.note)
    note = fitted("; ".join(notes), block.width - 0.2, 4) if notes else ""
    note_height = LINE_HEIGHT * (note.count("\n") + 1) if note else 0.0
    if not names:
        return LegendPlan(block.width, 0.1 + note_height, 1, note)
    entry = HANDLE + max(text_width(line) for name in names for line in name.split("\n"))
    columns = min(max(int(block.width / entry), 1), len(names))
    lines = ceil(len(names) / columns) * max(name.count("\n") + 1 for name in names)
    return LegendPlan(block.width, 0.15 + (LINE_HEIGHT + 0.06) * lines + note_height, columns, note)


def add_legend(figure: "SubFigure", legend: Legend, plan: LegendPlan) -> None:
    """The legend below the panels of a block, with the notes above it."""
    if not legend and not plan.note:
        return
    drawn = figure.legend(
        list(legend.values()), ["-"] * len(legend), loc="outside lower center", ncols=plan.columns,
        title=plan.note or None, columnspacing=1.2,
    )  # fmt: skip
    for text, (_, name) in zip(drawn.get_texts(), legend, strict=True):
        text.set_text(fitted(name, plan.width - HANDLE, 2))  # `legend` itself leaves out names that begin with "_"
