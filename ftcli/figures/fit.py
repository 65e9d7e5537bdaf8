"""Text of a drawn figure made to fit: once axes have their size, titles and names are broken to it, names and numbers
of ticks thinned out, and cells numbered where there is room.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from ftcli.figures.blocks import NAME_LINES, NAMES_WIDTH, Block, columns_flat
from ftcli.figures.panels import BarChart, HeatMap, is_number
from ftcli.figures.style import LINE_HEIGHT, fitted, text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAP = 3.0  # points between two names or numbers of an axis at least
NUMBERED = 400  # cells of a heat map that are still written out


def name_axes(axes: "Axes", place: int, block: Block) -> None:
    """Title, names of axes, and of rows and columns, for the planned room of the panel at a place of a block."""
    panel = block.panels[place]
    axes.set_title(block.title(panel, block.title_width(panel)), loc="left")
    left = place % block.columns == 0
    lowest = place + block.columns >= len(block.panels)
    if isinstance(panel, HeatMap):
        flat = columns_flat(panel, block.panel_width)
        names = [fitted(name, NAMES_WIDTH) for name in panel.columns] if lowest or not block.shared else []
        axes.set_xticks([i + 0.5 for i in range(len(names))], names, rotation=0 if flat else 90)
        names = [fitted(name, NAMES_WIDTH) for name in panel.rows] if left or not block.shared else []
        axes.set_yticks([i + 0.5 for i in range(len(names))], names)
    elif isinstance(panel, BarChart):
        axes.set_yticks(range(len(panel.labels)), [fitted(name, NAMES_WIDTH) for name in panel.labels])
    axes.set_xlabel(panel.x if lowest or not block.shared else "")
    axes.set_ylabel("" if isinstance(panel, BarChart) or (block.shared and not left) else panel.y)


def fit_axes(figure: "Figure", axes: "Axes", place: int, block: Block) -> None:
    """Make the text of the panel at a place of a block fit its axes, whose size is known now."""
    panel = block.panels[place]
    box = axes.get_window_extent()
    width, height = box.width / figure.dpi, box.height / figure.dpi
    axes.set_title(block.title(panel, width), loc="left")
    axes.set_xlabel(fitted(axes.get_xlabel(), width + 0.2, NAME_LINES))
    axes.set_ylabel(fitted(axes.get_ylabel(), height + 0.3, NAME_LINES))
    for name in ("x", "y"):
        thin_ticks(axes, name)
    if isinstance(panel, HeatMap):
        number_cells(
            axes, panel, block.cell_numbers(place), width / max(len(panel.columns), 1), height / max(len(panel.rows), 1)
        )


def thin_ticks(axes: "Axes", name: Literal["x", "y"]) -> None:
    """Leave out ticks, every second, every third and so on, until no name or number of an axis touches another."""
    axis: Any = axes.xaxis if name == "x" else axes.yaxis
    low, high = sorted(axis.get_view_interval())
    shown = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high and tick.label1.get_text()]
    boxes = [tick.label1.get_window_extent() for tick in shown]
    gap = GAP * axes.get_figure(root=True).dpi / 72
    ends = sorted((box.x0, box.x1) if name == "x" else (box.y0 + gap, box.y1) for box in boxes)
    step = 1
    while any(end + gap > start for (_, end), (start, _) in pairwise(ends[::step])):
        step += 1
    if step > 1:
        axis.set_ticks([tick.get_loc() for tick in shown[::step]], [tick.label1.get_text() for tick in shown[::step]])


def number_cells(axes: "Axes", heat_map: HeatMap, written: Sequence[str], width: float, height: float) -> None:
    """Write the numbers into cells of this size in inches, where all of them have room."""
    numbers = heat_map.numbers()
    room = height > 0.9 * LINE_HEIGHT and len(numbers) <= NUMBERED
    if not room or any(text_width(number) > width - 0.03 for number in written):
        return
    (mesh,) = axes.collections
    at = [(i, j) for i, row in enumerate(heat_map.values) for j, value in enumerate(row) if is_number(value)]
    for (i, j), value, number in zip(at, numbers, written, strict=True):
        ink = "white" if mesh.norm(value) > 0.45 else "black"
        axes.text(j + 0.5, i + 0.5, number, ha="center", va="center", color=ink)
