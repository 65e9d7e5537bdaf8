"""Figures as files: curves, heat maps and bars in one style that survives a black-and-white printer.

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
from ftcli.figures.drawing import (
    CHARACTER,
    LINE,
    NAME,
    TITLE,
    Legend,
    column_width,
    draw_bars,
    draw_curves,
    draw_heats,
    labels_of,
    longest,
    wrapped,
)
from ftcli.figures.panels import Bars, Curve, Heat, Panel
from ftcli.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Bars", "Curve", "Heat", "Panel", "check_plot", "save_panels"]

ENDINGS = (".svg", ".png")
INSTALL = "python -m pip install matplotlib, or in a clone of ftcli: python -m pip install '.[plots]'"
ACROSS = 3  # panels in a row

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
    """What can be known before any work. Raises RequestError for an ending other than .svg or .png, for a folder, and
    where matplotlib is not installed.
    """
    if path is None:
        return
    if path.suffix.lower() not in ENDINGS:
        raise RequestError(f"--plot {str(path)!r}: a figure is an SVG or a PNG.", "end its name with .svg or .png")
    if path.is_dir():
        raise RequestError(f"--plot {str(path)!r} is a folder.", "name a file")
    if find_spec("matplotlib") is None:
        raise RequestError("--plot needs matplotlib, which is not installed.", INSTALL)


def save_panels(path: Path, panels: Sequence[Panel | Heat | Bars]) -> None:
    """Write one figure with the panels side by side, three to a row; with their titles where there are several.

    A label has one style throughout and stands once, in one legend; heat maps of one `z` share their shades. The same
    panels give the same bytes. A PNG shows a box for a sign that DejaVu Sans lacks; an SVG leaves it to the viewer.
    Raises RequestError as `check_plot` does, and ValueError where there is no panel.
    """
    check_plot(path)
    if not panels:
        raise ValueError("a figure needs a panel")
    import matplotlib
    from matplotlib.figure import Figure

    kind = path.suffix.lower()[1:]
    unsigned: dict[str, Any] = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        matplotlib.rcdefaults()  # not what the user has set for figures of their own
        matplotlib.rcParams.update(STYLE)
        figure = Figure(layout="constrained")
        draw_all(figure, panels)
        write_atomically(path, lambda place: figure.savefig(place, format=kind, metadata=unsigned))


def draw_all(figure: "Figure", panels: Sequence[Panel | Heat | Bars]) -> None:
    """Lay the panels out, draw each, add what they share: the legend, and the shades of heat maps."""
    across = 2 if len(panels) == 4 else min(len(panels), ACROSS)  # four are two by two
    down = ceil(len(panels) / across)
    sizes = [size_of(panel) for panel in panels]
    width, height = across * max(size[0] for size in sizes), down * max(size[1] for size in sizes)
    grid = list(figure.subplots(down, across, squeeze=False).flat)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    labels = list(dict.fromkeys(chain.from_iterable(labels_of(panel) for panel in panels)))
    legend: Legend = {}
    heats: dict[str, list[tuple[Axes, Heat]]] = {}
    alike: dict[tuple[str, str], list[Axes]] = {}  # axes of one quantity, by its direction and name
    for axes, panel in zip(grid[: len(panels)], panels, strict=True):
        if len(panels) > 1:
            axes.set_title(wrapped(panel.title, TITLE), loc="left")
        same = [label for label in labels if label[0] is type(panel)]
        if isinstance(panel, Heat):
            heats.setdefault(panel.z, []).append((axes, panel))
        elif isinstance(panel, Bars):
            legend = draw_bars(axes, panel, same) | legend
            alike.setdefault(("x", panel.x), []).append(axes)
        else:
            legend = draw_curves(axes, panel, same) | legend
            alike.setdefault(("y", panel.y), []).append(axes)
    for (direction, _), group in alike.items():
        share_limits(direction, group)
    for maps in heats.values():
        draw_heats(figure, maps)
    beside, least = add_legend(figure, {label: legend[label] for label in labels if label[1]})
    figure.set_size_inches(width + beside, max(height, least))


def share_limits(direction: str, group: Sequence["Axes"]) -> None:
    """Give axes of one quantity the same limits, so that they compare by eye; those without values have no ticks."""
    shown = [axes for axes in group if len(getattr(axes, f"get_{direction}ticks")())]
    limits = [getattr(axes, f"get_{direction}lim")() for axes in shown]
    for axes in shown:
        axes.set(**{f"{direction}lim": (min(low for low, _ in limits), max(high for _, high in limits))})


def size_of(panel: Panel | Heat | Bars) -> tuple[float, float]:
    """Width and height of a panel in inches, with the names on its axes."""
    if isinstance(panel, Panel):
        return 4.2, 3.1
    names = panel.rows if isinstance(panel, Heat) else panel.labels
    beside = CHARACTER * longest(names)
    if isinstance(panel, Bars):
        return 3.4 + beside, 0.8 + 0.17 * len(names) * (len(panel.series) + 0.8)
    wide, below = column_width(panel), CHARACTER * longest(panel.columns)
    across = max(wide * len(panel.columns), 1.2)
    return 1.5 + beside + across, 0.9 + (below if below > wide else 0.1) + max(0.26 * len(names), 0.6)


def add_legend(figure: "Figure", legend: Legend) -> tuple[float, float]:
    """The legend, to the right of all panels, and its width and height in inches."""
    if not legend:
        return 0.0, 0.0
    names = [wrapped(name, NAME) for _, name in legend]
    shown = figure.legend(list(legend.values()), ["-"] * len(names), loc="outside right upper")
    for text, name in zip(shown.get_texts(), names, strict=True):
        text.set_text(name)  # handed to `legend` itself, a name that begins with "_" would be left out
    lines = [name.split("\n") for name in names]
    across = 0.7 + CHARACTER * max(len(line) for name in lines for line in name)
    return across, 0.2 + sum(0.06 + LINE * len(name) for name in lines)
