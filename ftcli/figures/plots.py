"""Figures as files: panels side by side, in one style that survives a black-and-white printer.

matplotlib is the extra `plots` and is imported only when a figure is drawn; pyplot, which keeps state, never is.
"""

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import chain
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.errors import RequestError
from ftcli.figures.matplotlib_panels import (
    CHARACTER_WIDTH,
    LINE_HEIGHT,
    NAME_WIDTH,
    TITLE_WIDTH,
    Legend,
    column_width,
    draw_bar_chart,
    draw_heat_maps,
    draw_line_plot,
    legend_labels,
    longest_line,
    wrap,
)
from ftcli.figures.panels import BarChart, HeatMap, LinePlot, Panel
from ftcli.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENDINGS = (".svg", ".png")
INSTALL = "python -m pip install matplotlib, or in a clone of ftcli: python -m pip install '.[plots]'"
MAX_COLUMNS = 3  # panels in a row

STYLE: Any = {
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same figure on every machine
    "font.size": 8,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "legend.handlelength": 3.6,  # long enough for one dash to be told from another
    "savefig.dpi": 160,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "ftcli",
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
}


def check_plot(path: Path | None) -> None:
    """Raises RequestError for another ending than .svg or .png, for a folder, and where matplotlib is not installed."""
    if path is None:
        return
    if path.suffix.lower() not in ENDINGS:
        raise RequestError(f"--plot {str(path)!r}: a figure is an SVG or a PNG.", "end its name with .svg or .png")
    if path.is_dir():
        raise RequestError(f"--plot {str(path)!r} is a folder.", "name a file")
    if find_spec("matplotlib") is None:
        raise RequestError("--plot needs matplotlib, which is not installed.", INSTALL)


def save_panels(path: Path, panels: Sequence[Panel]) -> None:
    """Write one figure with the panels side by side, three to a row; with their titles where there are several.

    A label has one style throughout and is in the one legend once; heat maps of one `z` share a colour bar. The same
    panels give the same bytes. A character that DejaVu Sans lacks is a box in a PNG.
    Raises RequestError as `check_plot` does, and ValueError where there is no panel.
    """
    check_plot(path)
    if not panels:
        raise ValueError("a figure needs a panel")
    import matplotlib
    from matplotlib.figure import Figure

    kind = path.suffix.lower()[1:]
    metadata: dict[str, str | None] = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        matplotlib.rcdefaults()  # not what the user has set for figures of their own
        matplotlib.rcParams.update(STYLE)
        figure = Figure(layout="constrained")
        draw_figure(figure, panels)
        write_atomically(path, lambda temporary: figure.savefig(temporary, format=kind, metadata=metadata))


def draw_figure(figure: "Figure", panels: Sequence[Panel]) -> None:
    """Lay the panels out, draw each, add what they share: the legend, and the colour bars of heat maps."""
    columns = 2 if len(panels) == 4 else min(len(panels), MAX_COLUMNS)  # four are two by two
    rows = ceil(len(panels) / columns)
    sizes = [panel_size(panel) for panel in panels]
    width, height = columns * max(size[0] for size in sizes), rows * max(size[1] for size in sizes)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    labels = list(dict.fromkeys(chain.from_iterable(legend_labels(panel) for panel in panels)))
    legend: Legend = {}
    heat_maps: dict[str, list[tuple[Axes, HeatMap]]] = {}
    same_quantity: dict[tuple[str, str], list[Axes]] = {}  # axes by their direction and name
    for axes, panel in zip(grid[: len(panels)], panels, strict=True):
        if len(panels) > 1:
            axes.set_title(wrap(panel.title, TITLE_WIDTH), loc="left")
        own_labels = [label for label in labels if label[0] is type(panel)]
        if isinstance(panel, HeatMap):
            heat_maps.setdefault(panel.z, []).append((axes, panel))
        elif isinstance(panel, BarChart):
            legend = draw_bar_chart(axes, panel, own_labels) | legend
            same_quantity.setdefault(("x", panel.x), []).append(axes)
        else:
            legend = draw_line_plot(axes, panel, own_labels) | legend
            same_quantity.setdefault(("y", panel.y), []).append(axes)
    for (direction, _), group in same_quantity.items():
        share_limits(direction, group)
    for maps in heat_maps.values():
        draw_heat_maps(figure, maps)
    legend_width, legend_height = add_legend(figure, {label: legend[label] for label in labels if label[1]})
    figure.set_size_inches(width + legend_width, max(height, legend_height))


def share_limits(direction: str, group: Sequence["Axes"]) -> None:
    """Give axes of one quantity the same limits, so that they compare by eye; those without values have no ticks."""
    shown = [axes for axes in group if len(getattr(axes, f"get_{direction}ticks")())]
    limits = [getattr(axes, f"get_{direction}lim")() for axes in shown]
    for axes in shown:
        axes.set(**{f"{direction}lim": (min(low for low, _ in limits), max(high for _, high in limits))})


def panel_size(panel: Panel) -> tuple[float, float]:
    """Width and height of a panel in inches, with the names on its axes."""
    if isinstance(panel, LinePlot):
        return 4.2, 3.1
    names = panel.rows if isinstance(panel, HeatMap) else panel.labels
    names_width = CHARACTER_WIDTH * longest_line(names)
    if isinstance(panel, BarChart):
        return 3.4 + names_width, 0.8 + 0.17 * len(names) * (len(panel.series) + 0.8)
    column, column_names = column_width(panel), CHARACTER_WIDTH * longest_line(panel.columns)
    width = 1.5 + names_width + max(column * len(panel.columns), 1.2)
    return width, 0.9 + (column_names if column_names > column else 0.1) + max(0.26 * len(names), 0.6)


def add_legend(figure: "Figure", legend: Legend) -> tuple[float, float]:
    """The legend, to the right of all panels, and its width and height in inches."""
    if not legend:
        return 0.0, 0.0
    names = [wrap(name, NAME_WIDTH) for _, name in legend]
    drawn = figure.legend(list(legend.values()), ["-"] * len(names), loc="outside right upper")
    for text, name in zip(drawn.get_texts(), names, strict=True):
        text.set_text(name)  # handed to `legend` itself, a name that begins with "_" would be left out
    lines = [name.split("\n") for name in names]
    width = 0.7 + CHARACTER_WIDTH * max(len(line) for name in lines for line in name)
    return width, 0.2 + sum(0.06 + LINE_HEIGHT * len(name) for name in lines)
