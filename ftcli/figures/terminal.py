"""Line plots and heat maps in plain characters, for a terminal of a given width."""

from collections.abc import Sequence
from itertools import pairwise, zip_longest
from math import isfinite, log10

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.console import Group, RenderableType
from rich.constrain import Constrain
from rich.text import Text

from ftcli.console.cells import text
from ftcli.figures.panels import HeatMap, LinePlot, axis_limits, format_numbers, is_number
from ftcli.safe_text import printable

MARKERS = "ox+*#@%&svzw"
LINE, SEVERAL, BLANK = "·", "=", " "
SHADES = "░▒▓█"
MIN_HEAD = 6  # characters that a line of a column's name has in any case
MIN_COLUMNS = 8  # characters across the curves in the narrowest terminal

Pair = tuple[float, float]


def sketch_curves(plot: LinePlot, width: int, height: int = 12) -> RenderableType:
    """The curves of a plot on `height` rows, one less where that is even and has no middle; no line is wider than
    `width` characters; bands are left out.

    Every curve has a marker of its own, dots lead from point to point, and `=` marks where points of several curves
    coincide. The numbers at the ends of an axis are the extremes of what is shown.
    """
    all_points = plot.points()
    seen = [point for points in all_points for point in points if isfinite(point[1])]
    if not seen:
        return titled(plot.title, [text(f"{plot.y}: nothing to show")], width)
    x_limits, y_limits = axis_limits((x for x, _ in seen), plot.log_x), axis_limits((y for _, y in seen), plot.log_y)
    y_ticks = tick_labels(y_limits, plot.log_y)
    margin = max(map(len, y_ticks))
    columns, height = max(width - margin - 2, MIN_COLUMNS), max(height - 1 + height % 2, 3)

    def cell(point: Pair) -> tuple[int, int] | None:
        """The row and column of a point, counted from the upper left; None for one that is missing."""
        if not isfinite(point[1]):
            return None
        from_top = 1 - fraction_between(point[1], y_limits, plot.log_y)
        return round(from_top * (height - 1)), round(fraction_between(point[0], x_limits, plot.log_x) * (columns - 1))

    rows = paint([[cell(point) for point in points] for points in all_points], columns, height)
    ticks = dict(zip((height - 1, height // 2, 0), y_ticks, strict=True))  # by row
    indent = " " * (margin + 2)
    x_name, y_name = (f"{name} (log)" if log else name for name, log in ((plot.x, plot.log_x), (plot.y, plot.log_y)))
    lines = [
        text(y_name),
        *(unwrapped(f"{ticks.get(i, ''):>{margin}} {'┤' if i in ticks else '│'}{row}") for i, row in enumerate(rows)),
        unwrapped(f"{' ' * margin} └{'─' * columns}"),
        unwrapped(indent + x_tick_line(tick_labels(x_limits, plot.log_x), columns)),
        unwrapped(indent + printable(x_name).center(columns)),
    ]
    legend = [f"{MARKERS[i % len(MARKERS)]} {curve.label}" for i, curve in enumerate(plot.curves) if curve.label]
    if any(SEVERAL in row for row in rows):
        legend.append(f"{SEVERAL} several")
    return titled(plot.title, [*lines, *legend_lines(legend, width)], width)


def titled(title: str, lines: Sequence[Text], width: int) -> RenderableType:
    return Constrain(Group(*([text(title, "bold")] if title else []), *lines), width)


def fraction_between(value: float, limits: Pair, log: bool = False) -> float:
    """Where a value lies between the limits, from 0 to 1."""
    low, high = limits
    return log10(value / low) / log10(high / low) if log else (value - low) / (high - low)


def paint(curves: Sequence[Sequence[tuple[int, int] | None]], columns: int, height: int) -> list[str]:
    """The rows of characters: lines below, markers above them."""
    canvas = [[BLANK] * columns for _ in range(height)]
    for cells in curves:
        for start, end in pairwise(cells):
            if start and end:
                steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
                for i in range(steps + 1):
                    row, column = (round(a + (b - a) * i / steps) for a, b in zip(start, end, strict=True))
                    canvas[row][column] = LINE
    for i, cells in enumerate(curves):
        marker = MARKERS[i % len(MARKERS)]
        for row, column in filter(None, cells):
            canvas[row][column] = marker if canvas[row][column] in (BLANK, LINE, marker) else SEVERAL
    return ["".join(row) for row in canvas]


def tick_labels(limits: Pair, log: bool) -> list[str]:
    """Both limits and the middle between them."""
    low, high = limits
    if log:
        return [f"{value:.3g}" for value in (low, (low * high) ** 0.5, high)]
    return format_numbers([low, (low + high) / 2, high])


def x_tick_line(labels: Sequence[str], columns: int) -> str:
    """Three numbers below an axis: at its left end, its middle, its right end; without the middle where it is short."""
    left, middle, right = labels
    if len(left) + len(middle) + len(right) + 4 > columns:
        return left + right.rjust(columns - len(left))
    start = max((columns - len(middle)) // 2, len(left) + 2)
    return (left.ljust(start) + middle).ljust(columns - len(right)) + right


def unwrapped(line: str) -> Text:
    """A line that is cut, not wrapped, where it is too wide."""
    return Text(line.rstrip(), no_wrap=True, overflow="crop")


def legend_lines(entries: Sequence[str], width: int) -> list[Text]:
    """Entries side by side, as many on a line as fit; one that is wider than a line wraps."""
    lines: list[str] = []
    for entry in map(printable, entries):
        if lines and cell_len(lines[-1]) + 3 + cell_len(entry) <= width:
            lines[-1] += "   " + entry
        else:
            lines.append(entry)
    return [text(line) for line in lines]


def sketch_heat_map(heat_map: HeatMap, width: int) -> RenderableType:
    """A heat map as a table of shades, with the numbers where `width` has room for them.

    Shades are the four quarters of the range, which the last line tells. Where the columns do not fit side by side, the
    table continues below.
    """
    margin = min(widest(heat_map.rows), max(width // 3, 1))
    cells = cell_texts(heat_map, width - margin)
    head = max((width - margin) // max(len(heat_map.columns), 1) - 1, MIN_HEAD)
    cell_width = max(widest([cell for row in cells for cell in row]), min(widest(heat_map.columns), head), 1)
    per_line = max((width - margin) // (cell_width + 1), 1)
    lines: list[str] = []
    for start in range(0, len(heat_map.columns), per_line):
        columns = slice(start, start + per_line)
        lines += table_row("", heat_map.columns[columns], margin, cell_width)
        for name, row in zip(heat_map.rows, cells, strict=True):
            lines += table_row(name, row[columns], margin, cell_width)
    axes, key = text(f"↓ {heat_map.y}   → {heat_map.x}"), text(f"{heat_map.z}: {shade_key(heat_map.numbers())}")
    return titled(heat_map.title, [axes, *map(unwrapped, lines), key], width)


def cell_texts(heat_map: HeatMap, width: int) -> list[list[str]]:
    """The text of each cell: its shade with as many digits of its number as fit in the `width` of all columns, or the
    shade alone, as wide as the columns' names.
    """
    numbers = heat_map.numbers()
    limits, top = axis_limits(numbers), len(SHADES) - 1
    shades = [SHADES[min(int(len(SHADES) * fraction_between(value, limits)), top)] for value in numbers]
    for digits in (3, 2):
        texts = [2 * shade + number for shade, number in zip(shades, format_numbers(numbers, digits), strict=True)]
        if len(heat_map.columns) * (widest(texts) + 1) <= width:
            break
    else:
        texts = [max(min(widest(heat_map.columns), MIN_HEAD), 1) * shade for shade in shades]
    remaining = iter(texts)
    return [[next(remaining) if is_number(value) else "" for value in row] for row in heat_map.values]


def table_row(name: str, cells: Sequence[str], margin: int, cell_width: int) -> list[str]:
    """A row of a table on as many lines as its longest text takes: the name in `margin` characters, each cell in
    `cell_width` after a space.
    """
    columns = [(name, margin), *((cell, cell_width) for cell in cells)]
    lines = zip_longest(*(chop_cells(printable(words), size) for words, size in columns), fillvalue="")
    return [
        " ".join(set_cell_size(words, size) for words, (_, size) in zip(line, columns, strict=True)) for line in lines
    ]


def widest(names: Sequence[str]) -> int:
    """The characters of a terminal that the longest name takes."""
    return max((cell_len(printable(name)) for name in names), default=0)


def shade_key(numbers: Sequence[float]) -> str:
    """The range of each shade."""
    if not numbers:
        return "nothing to show"
    low, high = min(numbers), max(numbers)
    if low == high:
        return f"{SHADES[len(SHADES) // 2]} {format_numbers([low])[0]}"
    bounds = format_numbers([low + (high - low) * i / len(SHADES) for i in range(len(SHADES) + 1)])
    return bounds[0] + "".join(f" {shade} {bound}" for shade, bound in zip(SHADES, bounds[1:], strict=True))
