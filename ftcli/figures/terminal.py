"""Curves and heat maps in a terminal, in plain characters and within a given width."""

from collections.abc import Sequence
from itertools import pairwise, zip_longest
from math import isfinite, log10

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.console import Group, RenderableType
from rich.constrain import Constrain
from rich.text import Text

from ftcli.console.cells import text
from ftcli.figures.panels import Heat, Panel, extent, filled, points, write_alike
from ftcli.text import printable

MARKS = "ox+*#@%&svzw"
LINE, SEVERAL, BLANK = "·", "=", " "
SHADES = "░▒▓█"
HEAD = 6  # characters that a line of a column's name has in any case
LEAST = 8  # columns of characters that curves have in the narrowest terminal

Point = tuple[float, float]


def sketch_curves(panel: Panel, width: int, height: int = 12) -> RenderableType:
    """The curves of a panel on `height` rows, one less where that is even and has no middle; no line is wider than
    `width` characters; bands are left out.

    Every curve has a letter of its own, dots lead from point to point, and `=` stands where points of several curves
    fall together. The numbers at the ends of an axis are the extremes of what is shown.
    """
    runs = [points(curve, panel) for curve in panel.curves]
    seen = [point for run in runs for point in run if isfinite(point[1])]
    if not seen:
        return Constrain(Group(*titles(panel.title), text(f"{panel.y}: nothing to show")), width)
    across, up = extent((x for x, _ in seen), panel.log_x), extent((y for _, y in seen), panel.log_y)
    marks_x, marks_y = ticks(across, panel.log_x), ticks(up, panel.log_y)
    margin = max(map(len, marks_y))
    columns, height = max(width - margin - 2, LEAST), max(height - 1 + height % 2, 3)
    places = [[place(point, across, up, panel, columns, height) for point in run] for run in runs]
    rows = paint(places, columns, height)
    at = dict(zip((height - 1, height // 2, 0), marks_y, strict=True))
    lines = [f"{at.get(i, ''):>{margin}} {'┤' if i in at else '│'}{row}" for i, row in enumerate(rows)]
    indent = " " * (margin + 2)
    shown = [
        text(named(panel.y, panel.log_y)),
        *(plain(line) for line in lines),
        plain(f"{' ' * margin} └{'─' * columns}"),
        plain(indent + spread(marks_x, columns)),
        plain(indent + printable(named(panel.x, panel.log_x)).center(columns)),
    ]
    legend = [f"{MARKS[i % len(MARKS)]} {curve.label}" for i, curve in enumerate(panel.curves) if curve.label]
    if any(SEVERAL in row for row in rows):
        legend.append(f"{SEVERAL} several")
    return Constrain(Group(*titles(panel.title), *shown, *packed(legend, width)), width)


def place(point: Point, across: Point, up: Point, panel: Panel, columns: int, height: int) -> tuple[int, int] | None:
    """The row and column of a point, counted from the upper left; None for one that is not shown."""
    if not isfinite(point[1]):
        return None
    right = share(point[0], across, panel.log_x)
    top = 1 - share(point[1], up, panel.log_y)
    return round(top * (height - 1)), round(right * (columns - 1))


def share(value: float, limits: Point, log: bool) -> float:
    """Where a value lies between the limits, from 0 to 1."""
    low, high = limits
    return log10(value / low) / log10(high / low) if log else (value - low) / (high - low)


def paint(curves: Sequence[Sequence[tuple[int, int] | None]], columns: int, height: int) -> list[str]:
    """The rows of characters: lines below, marks above them."""
    canvas = [[BLANK] * columns for _ in range(height)]
    for run in curves:
        for one, other in pairwise(run):
            if one and other:
                steps = max(abs(other[0] - one[0]), abs(other[1] - one[1]), 1)
                for i in range(steps + 1):
                    row, column = (round(a + (b - a) * i / steps) for a, b in zip(one, other, strict=True))
                    canvas[row][column] = LINE
    for i, run in enumerate(curves):
        mark = MARKS[i % len(MARKS)]
        for row, column in filter(None, run):
            canvas[row][column] = mark if canvas[row][column] in (BLANK, LINE, mark) else SEVERAL
    return ["".join(row) for row in canvas]


def ticks(limits: Point, log: bool) -> list[str]:
    """Both limits and what lies in the middle between them, as they are written."""
    low, high = limits
    if log:
        return [f"{value:.3g}" for value in (low, (low * high) ** 0.5, high)]
    return write_alike([low, (low + high) / 2, high])


def spread(marks: Sequence[str], columns: int) -> str:
    """Three numbers below an axis: at its left end, its middle, its right end; without the middle where it is short."""
    left, middle, right = marks
    if len(left) + len(middle) + len(right) + 4 > columns:
        return left + right.rjust(columns - len(left))
    start = max((columns - len(middle)) // 2, len(left) + 2)
    return (left.ljust(start) + middle).ljust(columns - len(right)) + right


def named(name: str, log: bool) -> str:
    return f"{name} (log)" if log else name


def titles(title: str) -> list[Text]:
    return [text(title, "bold")] if title else []


def plain(line: str) -> Text:
    """A line that is already as wide as it may be."""
    return Text(line.rstrip(), no_wrap=True, overflow="crop")


def packed(entries: Sequence[str], width: int) -> list[Text]:
    """Entries side by side, as many on a line as fit; one that is wider than a line folds."""
    lines: list[str] = []
    for entry in map(printable, entries):
        if lines and cell_len(lines[-1]) + 3 + cell_len(entry) <= width:
            lines[-1] += "   " + entry
        else:
            lines.append(entry)
    return [text(line) for line in lines]


def sketch_heat(heat: Heat, width: int) -> RenderableType:
    """A heat map as a table of shades, with the numbers where `width` has room for them; a blank cell stays blank.

    Shades are the four quarters of the range, which the last line tells. Where the columns do not fit side by side, the
    table goes on below.
    """
    margin = min(widest(heat.rows), max(width // 3, 1))
    cells = cells_within(heat, width - margin)
    heads = max((width - margin) // max(len(heat.columns), 1) - 1, HEAD)
    wide = max(widest([cell for row in cells for cell in row]), min(widest(heat.columns), heads), 1)
    fit = max((width - margin) // (wide + 1), 1)
    lines: list[str] = []
    for start in range(0, len(heat.columns), fit):
        part = slice(start, start + fit)
        lines += aligned("", heat.columns[part], margin, wide)
        for name, row in zip(heat.rows, cells, strict=True):
            lines += aligned(name, row[part], margin, wide)
    axes = text(f"↓ {heat.y}   → {heat.x}")
    key = text(f"{heat.z}: {scale(heat.shaded())}")
    return Constrain(Group(*titles(heat.title), axes, *(plain(line) for line in lines), key), width)


def cells_within(heat: Heat, room: int) -> list[list[str]]:
    """What stands in each cell: its shade with as many digits of its number as fit beside the others, or the shade
    alone, as wide as the columns' names.
    """
    found = heat.shaded()
    low, high = extent(found)
    shades = [SHADES[min(int(len(SHADES) * share(value, (low, high), log=False)), len(SHADES) - 1)] for value in found]
    for digits in (3, 2):
        drawn = [2 * sign + number for sign, number in zip(shades, write_alike(found, digits), strict=True)]
        if len(heat.columns) * (widest(drawn) + 1) <= room:
            break
    else:
        drawn = [max(min(widest(heat.columns), HEAD), 1) * sign for sign in shades]
    left = iter(drawn)
    return [[next(left) if filled(value) else "" for value in row] for row in heat.values]


def aligned(name: str, cells: Sequence[str], margin: int, wide: int) -> list[str]:
    """A row of a table: the name in `margin` characters, each cell in `wide` after a space, on as many lines as the
    longest of them takes.
    """
    parts = [chop_cells(printable(name), margin), *(chop_cells(printable(cell), wide) for cell in cells)]
    sizes = [margin, *(wide for _ in cells)]
    lines = zip_longest(*parts, fillvalue="")
    return [" ".join(set_cell_size(part, size) for part, size in zip(line, sizes, strict=True)) for line in lines]


def widest(names: Sequence[str]) -> int:
    """The characters of a terminal that the longest name takes."""
    return max((cell_len(printable(name)) for name in names), default=0)


def scale(found: Sequence[float]) -> str:
    """What the shades mean: the bounds of each, from the least value to the greatest."""
    if not found:
        return "nothing to show"
    low, high = min(found), max(found)
    if low == high:
        return f"{SHADES[len(SHADES) // 2]} {write_alike([low])[0]}"
    bounds = write_alike([low + (high - low) * i / len(SHADES) for i in range(len(SHADES) + 1)])
    return bounds[0] + "".join(f" {sign} {bound}" for sign, bound in zip(SHADES, bounds[1:], strict=True))
