"""Heat maps and bar charts as SVG: rows with names at the left."""

from collections.abc import Sequence

from ftcli.figures.panels import BarChart, HeatMap, axis_limits, format_numbers, is_number
from ftcli.figures.svg.axis import Axis
from ftcli.figures.svg.plots import spaced
from ftcli.figures.svg.styles import bar_kind
from ftcli.figures.svg.text import FONT, LINE, label, lines_of, text_width

NAMES = 120  # pixels that the names of rows take at most, and those of columns that stand upright
CELL, ROW, HIGH_ROW = 30, 22, 28  # pixels; HIGH_ROW: with names on two lines
BAR_CHART = 340
FULL = 0.6  # of the range of shades, from which on numbers are in the colour of the page
MAX_NUMBERS = 900  # cells that still have numbers

Size = tuple[float, float]  # or a corner


def name_lines(names: Sequence[str], most: int = 2) -> tuple[list[list[str]], float]:
    """Each name on its lines, and the width of the widest line."""
    lines = [lines_of(name, NAMES, most) for name in names]
    return lines, max((text_width(line) for some in lines for line in some), default=0.0)


def heat_map(panel: HeatMap) -> tuple[str, Size]:
    """The content of the SVG of a heat map, and its size. Names of columns that are too wide stand upright."""
    rows, left = name_lines(panel.rows)
    columns, widest = name_lines(panel.columns, 1)
    numbers = panel.numbers()
    written = format_numbers(numbers) if len(numbers) <= MAX_NUMBERS else [""] * len(numbers)
    cell = max(CELL, 6 + max(map(text_width, written), default=0.0))
    upright, high = widest > cell - 4, HIGH_ROW if any(len(lines) > 1 for lines in rows) else ROW
    head = [*lines_of(f"rows: {panel.y}", 330, 1), *lines_of(f"columns: {panel.x}", 330, 1)]
    x0, y0 = left + 6, 4 + LINE * len(head) + (widest + 8 if upright else LINE + 4)
    drawn = [label(0, LINE - 2, head, "name")]
    for j, (name,) in enumerate(columns):
        x = x0 + cell * (j + 0.5)
        at = f'<g transform="translate({x + 4:z.1f} {y0 - 5:z.1f}) rotate(-90)">{label(0, 0, [name], "tick")}</g>'
        drawn.append(at if upright else label(x, y0 - 5, [name], "tick", "middle"))
    low, top = axis_limits(numbers)
    remaining = iter(zip(numbers, written, strict=True))
    for i, (lines, row) in enumerate(zip(rows, panel.values, strict=True)):
        middle = y0 + high * (i + 0.5)
        drawn.append(label(left, middle + 4 - LINE * (len(lines) - 1) / 2, lines, "tick", "end"))
        for j, value in enumerate(row):
            if is_number(value):
                number, words = next(remaining)
                share = (number - low) / (top - low)
                drawn.append(cell_markup((x0 + cell * j, y0 + high * i), (cell, high), share, words))
    bottom = y0 + high * len(panel.rows)
    key, key_size = shade_key(panel.z, low, top, bottom + 10) if numbers else ("", (0.0, 0.0))
    width = max(x0 + cell * len(panel.columns), *(text_width(line) for line in head), key_size[0], 120)
    return "".join([*drawn, key]), (width + 2, bottom + 10 + key_size[1])


def cell_markup(corner: Size, size: Size, share: float, words: str) -> str:
    """A cell and its number. share: of the range of shades."""
    (x, y), (width, height) = corner, size
    kind = "over" if share > FULL else "cell"
    number = label(x + width / 2, y + height / 2 + 4, [words], kind, "middle") if words else ""
    return (
        f'<rect class="heat" x="{x + 0.5:z.1f}" y="{y + 0.5:z.1f}" width="{width - 1:z.1f}" height="{height - 1:z.1f}"'
        f' fill-opacity="{0.06 + 0.94 * share:.2f}"/>{number}'
    )


def shade_key(name: str, low: float, high: float, top: float) -> tuple[str, Size]:
    """What the shades mean: five of them from the lowest to the highest value, and the name of the quantity."""
    ends = format_numbers([low, high])
    x, drawn = text_width(ends[0]) + 6, [label(0, top + FONT, [ends[0]], "tick")]
    for i in range(5):
        opacity = 0.06 + 0.94 * i / 4
        drawn.append(
            f'<rect class="heat" x="{x + 18 * i:z.1f}" y="{top + 1:z.1f}" width="18" height="{FONT + 1}"'
            f' fill-opacity="{opacity:.2f}"/>'
        )
    drawn.append(label(x + 96, top + FONT, [ends[1]], "tick"))
    lines = lines_of(name, 320)
    drawn.append(label(0, top + FONT + LINE + 4, lines, "name"))
    width = max(x + 96 + text_width(ends[1]), *(text_width(line) for line in lines))
    return "".join(drawn), (width, 22 + LINE * len(lines))


def bar_chart(panel: BarChart, styles: Sequence[int]) -> tuple[str, Size]:
    """The content of the SVG of a bar chart, and its size: a group of bars per label, the first at the top."""
    names, left = name_lines(panel.labels)
    values = [value for column in panel.series.values() for value in column if is_number(value)]
    axis = Axis.of([0.0, *values], left + 8, BAR_CHART - 12, margin=0.02)
    thickness = 16.0 if len(panel.series) == 1 else 9.0
    group = max(thickness * len(panel.series) + 8, LINE * max(map(len, names), default=1) + 4)
    bottom = 6 + group * len(panel.labels)
    drawn = []
    for value, words in spaced(axis, axis.ticks() if values else []):
        drawn.append(f'<path class="grid" d="M{axis.at(value):z.1f} 4V{bottom:z.1f}"/>')
        drawn.append(label(axis.at(value), bottom + 14, [words], "tick", "middle"))
    zero = axis.at(0.0)
    for i, lines in enumerate(names):
        middle = 6 + group * (i + 0.5)
        drawn.append(label(left, middle + 4 - LINE * (len(lines) - 1) / 2, lines, "tick", "end"))
        first = middle - thickness * len(panel.series) / 2
        for k, (column, style) in enumerate(zip(panel.series.values(), styles, strict=True)):
            drawn.append(bar_markup(zero, first + thickness * k, thickness, column[i], axis, style))
    drawn.append(f'<path class="axis" d="M{zero:z.1f} 4V{bottom:z.1f}"/>')
    x_name = lines_of(panel.x, BAR_CHART - left)
    drawn.append(label((left + BAR_CHART) / 2, bottom + 30, x_name, "name", "middle"))
    return "".join(drawn), (BAR_CHART, bottom + 22 + LINE * len(x_name))


def bar_markup(zero: float, top: float, thickness: float, value: float | None, axis: Axis, style: int) -> str:
    """A bar from zero to its value; a dash where there is none."""
    if not is_number(value):
        return label(zero + 4, top + thickness - 1, ["–"], "tick")
    begin, end = sorted((zero, axis.at(value)))
    return (
        f'<rect class="{bar_kind(style)}" x="{begin:z.1f}" y="{top + 1:z.1f}" width="{end - begin:z.1f}"'
        f' height="{thickness - 2:z.1f}"/>'
    )
