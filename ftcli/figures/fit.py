"""Text of a drawn figure made to fit: once axes have their size, titles and names are broken to it, names and numbers
of ticks thinned out, and cells numbered where there is room.
"""

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from ftcli.figures.blocks import NAME_LINES, NAMES_WIDTH, Block, columns_flat
from ftcli.figures.panels import BarChart, HeatMap, is_number
from ftcli.figures.style import LINE_HEIGHT, fitted, fitted_names, text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAP = 3.0  # points between two names or numbers of an axis at least
SLACK = 0.08  # inches: text drawn on pixels may be wider than measured
NUMBERED = 400  # cells of a heat map that are still written out


def name_axes(axes: "Axes", place: int, block: Block) -> None:
    """Title, names of axes, and of rows and columns, for the planned room of the panel at a place of a block."""
    panel = block.panels[place]
    axes.set_title(block.title(panel, block.title_width(panel)), loc="left")
    left = place % block.columns == 0
    lowest = place + block.columns >= len(block.panels)
    if isinstance(panel, HeatMap):
        flat = columns_flat(panel, block.panel_width)
        names = fitted_names(panel.columns, NAMES_WIDTH) if lowest or not block.shared else []
        axes.set_xticks([i + 0.5 for i in range(len(names))], names, rotation=0 if flat else 90)
        names = fitted_names(panel.rows, NAMES_WIDTH) if left or not block.shared else []
        axes.set_yticks([i + 0.5 for i in range(len(names))], names)
    elif isinstance(panel, BarChart):
        axes.set_yticks(range(len(panel.labels)), fitted_names(panel.labels, NAMES_WIDTH))
    axes.set_xlabel(panel.x if lowest or not block.shared else "")
    axes.set_ylabel("" if isinstance(panel, BarChart) or (block.shared and not left) else panel.y)


def fit_axes(figure: "Figure", axes: "Axes", place: int, block: Block) -> None:
    """Make the text around the panel at a place of a block fit its axes, whose size is known now."""
    panel = block.panels[place]
    width, height = size_of(axes, figure)
    axes.set_title(block.title(panel, width - SLACK), loc="left")
    if axes.get_xlabel():
        axes.set_xlabel(fitted(panel.x, width - SLACK, NAME_LINES))
    if axes.get_ylabel() and not isinstance(panel, BarChart):
        axes.set_ylabel(fitted(panel.y, height - SLACK, NAME_LINES))
    thin_ticks(axes, "x", GAP * figure.dpi / 72)
    thin_ticks(axes, "y", GAP * figure.dpi / 72)


def size_of(axes: "Axes", figure: "Figure") -> tuple[float, float]:
    """Width and height of axes in inches."""
    box = axes.get_window_extent()
    return box.width / figure.dpi, box.height / figure.dpi


def thin_ticks(axes: "Axes", name: Literal["x", "y"], gap: float) -> None:
    """Keep every tick, or every second, every third and so on, so that names and numbers of an axis are `gap` pixels
    apart. The ticks do not change any more when the axes do.
    """
    axis: Any = axes.xaxis if name == "x" else axes.yaxis
    low, high = sorted(axis.get_view_interval())
    labels = axis.get_majorticklabels()  # brings the ticks up to date with the length of the axis, so it comes first
    ticks = zip(axis.get_majorticklocs(), labels, strict=True)
    shown = [(place, label) for place, label in ticks if low <= place <= high and label.get_text()]
    boxes = [label.get_window_extent() for _, label in shown]
    ends = [(box.x0, box.x1) if name == "x" else (box.y0, box.y1) for box in boxes]
    gap = gap if name == "x" else 0.0  # lines of text have room between them
    step = 1
    while any(end + gap > start for (_, end), (start, _) in pairwise(sorted(ends[::step]))):
        step += 1
    axis.set_ticks([place for place, _ in shown[::step]], [label.get_text() for _, label in shown[::step]])


def number_cells(figure: "Figure", axes: "Axes", place: int, block: Block) -> None:
    """Write the numbers into the cells of the heat map at a place of a block, where all of them have room."""
    heat_map = block.panels[place]
    if not isinstance(heat_map, HeatMap):
        return
    width, height = size_of(axes, figure)
    width, height = width / max(len(heat_map.columns), 1), height / max(len(heat_map.rows), 1)  # of a cell
    numbers, written = heat_map.numbers(), block.cell_numbers(place)
    room = height > 0.9 * LINE_HEIGHT and len(numbers) <= NUMBERED
    if not room or any(text_width(number) > width - 0.03 for number in written):
        return
    mesh: Any = axes.collections[0]
    at = [(i, j) for i, row in enumerate(heat_map.values) for j, value in enumerate(row) if is_number(value)]
    for (i, j), value, number in zip(at, numbers, written, strict=True):
        ink = "white" if mesh.norm(value) > 0.45 else "black"
        axes.text(j + 0.5, i + 0.5, number, ha="center", va="center", color=ink).set_in_layout(False)
