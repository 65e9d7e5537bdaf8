"""Where the panels of a figure stand: in blocks of one kind, each with a legend of its own; small blocks side by side,
others one below the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from ftcli.figures.panels import BarChart, HeatMap, LinePlot, Panel, ScatterPlot, format_numbers
from ftcli.figures.style import LINE_HEIGHT, ONE_COLUMN, TWO_COLUMNS, fitted, fitted_names, widest

MOST_COLUMNS = 3  # panels in a row; four of equal axes
PLOT_WIDTH, PLOT_HEIGHT = 2.2, 1.5  # inches: of a panel with curves or points at least, and of its axes
NAMES_WIDTH = 1.25  # inches that the names of rows take at most
CELL = 0.1  # inches: a cell of a heat map at least, where there is room
MOST_NUMBERED = 12  # columns of a heat map whose cells are wide enough for a number
TALLEST_MAP, TALLEST_CHART = 4.5, 8.0  # inches: the axes of a heat map, of a bar chart
MOST_LABELS = 8  # in the legend of a figure of one column
BAR = 0.085  # inches
AXES_NAME = 0.5  # inches that the name of an axis and the gaps around a panel take
COLOUR_BAR = 0.75  # inches
TITLE_LINES, NAME_LINES = 4, 2


@dataclass(frozen=True)
class Block:
    """Panels of one kind in rows of `columns`, which may have free places at the end. `width` of the block, in inches;
    `shared`: heat maps with the same axes, whose names stand at the left and at the bottom only.
    """

    panels: Sequence[Panel]
    columns: int
    width: float
    shared: bool = False

    @property
    def rows(self) -> int:
        return ceil(len(self.panels) / self.columns)

    @property
    def panel_width(self) -> float:
        colour_bar = COLOUR_BAR if isinstance(self.panels[0], HeatMap) else 0.0
        return (self.width - colour_bar) / self.columns

    def title_width(self, panel: Panel) -> float:
        """The inches above the axes of a panel."""
        return self.panel_width - AXES_NAME - (0.1 if isinstance(panel, LinePlot) else names_width(panel))

    def title(self, panel: Panel, width: float) -> str:
        return fitted(panel.title, max(width, 1.0), TITLE_LINES) if panel.title else ""

    def cell_numbers(self, place: int) -> list[str]:
        """The numbers in the cells of one heat map, written like those of the others."""
        counts = [len(panel.numbers()) for panel in self.panels if isinstance(panel, HeatMap)]
        begin = sum(counts[:place])
        return cell_numbers(self.panels)[begin : begin + counts[place]]

    def height(self) -> float:
        """The inches of all rows: axes, titles, names and numbers of axes."""
        return sum(self.row_heights())

    def row_heights(self) -> list[float]:
        rows = [self.panels[i : i + self.columns] for i in range(0, len(self.panels), self.columns)]
        return [max(self.panel_height(panel) for panel in row) for row in rows]

    def panel_height(self, panel: Panel) -> float:
        lines = self.title(panel, self.title_width(panel)).count("\n") + 1
        height = axes_height(panel) + LINE_HEIGHT * lines + AXES_NAME
        if isinstance(panel, HeatMap) and not columns_flat(panel, self.panel_width):
            height += column_names_height(panel)
        return height


def rows_of_blocks(panels: Sequence[Panel]) -> list[list[Block]]:
    """The blocks of a figure, row by row, in the order of their first panels; as wide as one column where that is
    enough. Up to three panels with curves or points make a row, of one block or of several.
    """
    kinds = kinds_of(panels)
    if all(map(fits_one_column, kinds)):
        return [[Block(found, 1, ONE_COLUMN)] for found in kinds]
    rows: list[list[list[Panel]]] = []
    for found in kinds:
        plots = not isinstance(found[0], HeatMap | BarChart)
        beside = rows and not isinstance(rows[-1][0][0], HeatMap | BarChart)
        if plots and beside and sum(map(len, rows[-1])) + len(found) <= MOST_COLUMNS:
            rows[-1].append(found)
        else:
            rows.append([found])
    return [row_of(found) for found in rows]


def fits_one_column(panels: Sequence[Panel]) -> bool:
    return (
        len(panels) == 1 and panel_width(panels, panels[0]) <= ONE_COLUMN and len(labels_of(panels[0])) <= MOST_LABELS
    )


def row_of(kinds: Sequence[list[Panel]]) -> list[Block]:
    """One block of the whole width, a single plot with a short legend of half of it; or several, each as wide as its
    panels need.
    """
    if len(kinds) > 1:
        total = sum(map(len, kinds))
        return [Block(found, len(found), TWO_COLUMNS * len(found) / total) for found in kinds]
    (found,) = kinds
    if len(found) == 1 and not isinstance(found[0], HeatMap | BarChart):
        return [Block(found, 1, TWO_COLUMNS / 2 if len(labels_of(found[0])) <= MOST_LABELS else TWO_COLUMNS)]
    return [block_of(found, TWO_COLUMNS)]


def kinds_of(panels: Sequence[Panel]) -> list[list[Panel]]:
    """Panels that belong together: of one class, and heat maps of one `z`, plots that have a label in common."""
    kinds: list[tuple[object, set[str], list[Panel]]] = []
    for panel in panels:
        apart = panel.z if isinstance(panel, HeatMap) else getattr(panel, "diagonal", False)
        labels = labels_of(panel)
        for kind, seen, found in kinds:
            if kind == (type(panel), apart) and (not labels or not seen or labels & seen):
                seen |= labels
                found.append(panel)
                break
        else:
            kinds.append(((type(panel), apart), labels, [panel]))
    return [found for _, _, found in kinds]


def labels_of(panel: Panel) -> set[str]:
    """The labels of a plot that are in a legend."""
    if isinstance(panel, HeatMap | BarChart):
        return set()
    names = [one.label for one in (panel.groups if isinstance(panel, ScatterPlot) else panel.curves)]
    return {name for name in names if name and name != panel.title}


def block_of(panels: Sequence[Panel], width: float) -> Block:
    """Panels of one kind, as many in a row as there is room for, the rows equally full."""
    first, shared = panels[0], False
    if isinstance(first, HeatMap):
        axes = {(*panel.rows, None, *panel.columns, panel.x, panel.y) for panel in panels if isinstance(panel, HeatMap)}
        shared = len(axes) == 1 and len(panels) > 1
    room = width - (COLOUR_BAR if isinstance(first, HeatMap) else 0)
    fits = max(int(room / max(panel_width(panels, panel) for panel in panels)), 1)
    columns = min(fits, MOST_COLUMNS + shared, len(panels))
    return Block(panels, ceil(len(panels) / ceil(len(panels) / columns)), width, shared)


def panel_width(block: Sequence[Panel], panel: Panel) -> float:
    """The inches that a panel of a block needs, with the colour bar of the block where it stands alone."""
    if isinstance(panel, BarChart):
        return AXES_NAME + names_width(panel) + 1.3
    if not isinstance(panel, HeatMap):
        return PLOT_WIDTH
    columns = len(panel.columns)
    cell = CELL
    if columns <= MOST_NUMBERED:
        cell = max(CELL, 0.04 + widest(cell_numbers(block)))
    return AXES_NAME + names_width(panel) + max(columns * cell, 0.8)


def cell_numbers(panels: Sequence[Panel]) -> list[str]:
    """The numbers in all cells of heat maps, written alike."""
    return format_numbers([number for panel in panels if isinstance(panel, HeatMap) for number in panel.numbers()])


def names_width(panel: Panel) -> float:
    """The inches of the names of rows, or of the numbers of an axis."""
    if not isinstance(panel, HeatMap | BarChart):
        return 0.3
    names = panel.rows if isinstance(panel, HeatMap) else panel.labels
    return widest(fitted_names(names, NAMES_WIDTH))


def row_height(panel: HeatMap | BarChart) -> float:
    """The inches of a row of a heat map, or of the group of bars of a label; smaller where there are many."""
    if isinstance(panel, HeatMap):
        wanted = 0.19 if len(panel.columns) <= MOST_NUMBERED else 0.15
        return min(wanted, TALLEST_MAP / max(len(panel.rows), 1))
    rows = max(len(panel.labels), 1)
    wanted = max(BAR * (len(panel.series) + 0.8), LINE_HEIGHT)
    return wanted if wanted * rows <= TALLEST_CHART else min(LINE_HEIGHT, TALLEST_CHART / rows)


def axes_height(panel: Panel) -> float:
    if not isinstance(panel, HeatMap | BarChart):
        return PLOT_HEIGHT
    rows = len(panel.rows if isinstance(panel, HeatMap) else panel.labels)
    return max(rows * row_height(panel), 0.4)


def columns_flat(panel: HeatMap, width: float) -> bool:
    """Whether the names of the columns fit side by side in a panel of this width."""
    room = (width - AXES_NAME - names_width(panel)) / max(len(panel.columns), 1)
    return widest(fitted_names(panel.columns, NAMES_WIDTH)) <= room - 0.05


def column_names_height(panel: HeatMap) -> float:
    """The inches of names of columns that stand upright."""
    return widest(fitted_names(panel.columns, NAMES_WIDTH))
