"""Each kind of panel drawn with matplotlib. Curves and bars are told apart without colour too."""

import textwrap
from collections.abc import Sequence
from math import isfinite, log10, nan
from typing import TYPE_CHECKING, Any, Literal

from ftcli.figures.panels import (
    BarChart,
    Curve,
    HeatMap,
    LinePlot,
    Panel,
    axis_limits,
    format_numbers,
    is_number,
    on_axis,
)
from ftcli.safe_text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Label = tuple[type, str]  # of a legend: the kind of its panel, and the name
Legend = dict[Label, Any]  # the matplotlib artist of each label

CHARACTER_WIDTH, LINE_HEIGHT = 0.075, 0.13  # inches
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
NAME_WIDTH, TITLE_WIDTH = 26, 48  # characters on a line of a name, and on one of a title or an axis
MAX_CELL_NUMBERS = 400  # cells of a heat map that are still written out
MARGIN = 0.04  # of an axis, free at both ends, so that no marker is cut
# Six styles tell curves apart without colour; the next six curves have them again, wider and hollow.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#a0447c", "#b87a00", "#333333")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 3)), (0, (6, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "X")
HATCHES = ("", "////", "....", "xxxx", "----", "\\\\\\\\")
SHADES = ("#e4ecf4", "#5a90c0", "#08264f")  # ever darker; a blank cell is white


def legend_labels(panel: Panel) -> list[Label]:
    """A label for each curve or series of a panel; the name is empty where the title says it already."""
    if isinstance(panel, HeatMap):
        return []
    names = panel.series if isinstance(panel, BarChart) else [curve.label for curve in panel.curves]
    return [(type(panel), "" if name == panel.title else name) for name in names]


def draw_line_plot(axes: "Axes", plot: LinePlot, labels: Sequence[Label]) -> Legend:
    """Curves, their bands and axes. `labels`: those of all line plots of the figure, which decide the styles."""
    all_points = plot.points()
    seen = [point for points in all_points for point in points if isfinite(point[1])]
    bands = [band_of(curve, points) for curve, points in zip(plot.curves, all_points, strict=True)]
    edges = [edge for band in bands for _, low, high in band for edge in (low, high) if on_axis(edge, plot.log_y)]
    set_axis(axes, "x", [x for x, _ in seen], plot.log_x)
    set_axis(axes, "y", [*(y for _, y in seen), *edges], plot.log_y)
    axes.set(xlabel=wrap(plot.x, TITLE_WIDTH), ylabel=wrap(plot.y, TITLE_WIDTH))
    if not seen:
        axes.text(0.5, 0.5, "nothing to show", transform=axes.transAxes, ha="center")
    legend: Legend = {}
    for label, curve, points, band in zip(legend_labels(plot), plot.curves, all_points, bands, strict=True):
        marked = list(range(len(points))) if curve.marker else isolated(points)
        cycle, style = divmod(labels.index(label), len(MARKERS))
        hollow, colour = cycle % 2 == 1, COLOURS[(style + cycle) % len(COLOURS)]
        (legend[label],) = axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            color=colour,
            linestyle=DASHES[style],
            linewidth=2.2 if hollow else 1.3,
            marker=MARKERS[style] if marked else "",
            markerfacecolor="white" if hollow else colour,
            markersize=4.5,
            markevery=marked,
        )
        draw_band(axes, band, colour)
    return legend


def band_of(curve: Curve, points: Sequence[tuple[float, float]]) -> list[tuple[float, float, float]]:
    """The band (x, low, high) about the points that are shown, (nan, nan, nan) about others; empty without a band."""
    if curve.low is None or curve.high is None:
        return []
    band = zip(points, curve.low, curve.high, strict=True)
    return [(x, low, high) if isfinite(x + low + high) else (nan, nan, nan) for (x, _), low, high in band]


def draw_band(axes: "Axes", band: Sequence[tuple[float, float, float]], colour: str) -> None:
    """The band about a curve, a vertical line about an isolated point."""
    bottom = axes.get_ylim()[0]  # where what reaches down to the zero of a logarithmic axis ends
    xs, lows, highs = [x for x, _, _ in band], [max(low, bottom) for _, low, _ in band], [high for _, _, high in band]
    axes.fill_between(xs, lows, highs, color=colour, alpha=0.15, linewidth=0)
    alone = isolated([(x, high) for x, _, high in band])
    axes.vlines([xs[i] for i in alone], [lows[i] for i in alone], [highs[i] for i in alone], colour, linewidth=1)


def isolated(points: Sequence[tuple[float, float]]) -> list[int]:
    """The points with a gap on both sides: no line goes through them, so they need a marker."""
    seen = [False, *(isfinite(y) for _, y in points), False]
    return [i for i in range(len(points)) if seen[i + 1] and not seen[i] and not seen[i + 2]]


def set_axis(axes: "Axes", name: Literal["x", "y"], values: Sequence[float], log: bool) -> None:
    """Limits, scale and ticks of an axis that shows these values; no ticks where there are none."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis = axes.xaxis if name == "x" else axes.yaxis
    low, high = axis_limits(values, log)
    margin = (high / low) ** MARGIN if log else (high - low) * MARGIN
    limits = (low / margin, high * margin) if log else (low - margin, high + margin)
    axes.set(**{f"{name}lim": limits, f"{name}scale": "log" if log else "linear"})
    if not values:
        axis.set_ticks([])
        axis.set_ticks([], minor=True)
    elif log:
        decades = log10(high / low)
        plain = low > 5e-4 and high < 2e4
        axis.set_major_locator(LogLocator(subs=(1.0,) if decades > 2 else (1.0, 2.0, 5.0), numticks=8))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}" if plain else power_of_ten(value)))
        axis.set_minor_formatter(NullFormatter())
    else:
        axes.ticklabel_format(axis=name, useOffset=False)


def power_of_ten(value: float) -> str:
    """A number in powers of ten: 10⁻³, 2×10⁵."""
    digits, exponent = f"{value:.3e}".split("e")
    ten = "10" + str(int(exponent)).translate(SUPERSCRIPT)
    return ten if float(digits) == 1 else f"{float(digits):g}×{ten}"


def draw_heat_maps(figure: "Figure", heat_maps: Sequence[tuple["Axes", HeatMap]]) -> None:
    """Heat maps of one `z`, with one colour bar."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    shades = LinearSegmentedColormap.from_list("shades", SHADES)
    scale = Normalize(*axis_limits(value for _, heat_map in heat_maps for value in heat_map.numbers()))
    for axes, heat_map in heat_maps:
        cells = [[value if is_number(value) else nan for value in row] for row in heat_map.values]
        axes.pcolormesh(cells, cmap=shades, norm=scale)
        axes.invert_yaxis()  # the first row is the upper one
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        for set_ticks, names in ((axes.set_xticks, heat_map.columns), (axes.set_yticks, heat_map.rows)):
            set_ticks([i + 0.5 for i in range(len(names))], [wrap(name, NAME_WIDTH) for name in names])
        axes.set(xlabel=wrap(heat_map.x, TITLE_WIDTH), ylabel=wrap(heat_map.y, TITLE_WIDTH))
        if CHARACTER_WIDTH * longest_line(heat_map.columns) > column_width(heat_map):
            axes.tick_params(axis="x", rotation=90)
        numbers = heat_map.numbers()
        if len(numbers) <= MAX_CELL_NUMBERS:
            at = [(i, j) for i, row in enumerate(cells) for j, value in enumerate(row) if isfinite(value)]
            for (i, j), value, number in zip(at, numbers, format_numbers(numbers), strict=True):
                ink = "white" if scale(value) > 0.45 else "black"
                axes.text(j + 0.5, i + 0.5, number, ha="center", va="center", color=ink, fontsize=6.5)
    z = wrap(heat_maps[0][1].z, TITLE_WIDTH)
    bar = figure.colorbar(ScalarMappable(scale, shades), ax=[axes for axes, _ in heat_maps], label=z, aspect=30)
    bar.outline.set_visible(False)


def draw_bar_chart(axes: "Axes", chart: BarChart, labels: Sequence[Label]) -> Legend:
    """A group of bars per label, the first at the top. `labels`: those of all bar charts of the figure."""
    thickness = 0.8 / max(len(chart.series), 1)
    values = [value for column in chart.series.values() for value in column if is_number(value)]
    negative = any(value < 0 for value in values)
    set_axis(axes, "x", [0.0, *values] if values else [], log=False)
    if not negative:
        axes.set_xlim(left=0)
    legend: Legend = {}
    for order, (label, column) in enumerate(zip(legend_labels(chart), chart.series.values(), strict=True)):
        style = labels.index(label)
        heights = [row - 0.4 + thickness * (order + 0.5) for row in range(len(chart.labels))]
        bars = [(y, value) for y, value in zip(heights, column, strict=True) if is_number(value)]
        colour = COLOURS[style % len(COLOURS)]
        legend[label] = axes.barh(
            [y for y, _ in bars],
            [value for _, value in bars],
            height=0.9 * thickness,
            color=colour if style == 0 else "white",
            edgecolor=colour,
            hatch=HATCHES[style % len(HATCHES)],
        )
        for y, value in zip(heights, column, strict=True):
            if not is_number(value):
                axes.text(0, y, " –", va="center")
    if negative:
        axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(chart.labels)), [wrap(name, NAME_WIDTH) for name in chart.labels])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(chart.labels) - 0.5, -0.5)
    axes.set_xlabel(wrap(chart.x, TITLE_WIDTH))
    return legend


def wrap(name: str, width: int) -> str:
    """A name on lines of `width` characters, made printable; of one that is longer than two lines the middle is left
    out, since names that begin alike tend to differ at the end.
    """
    name = printable(name)
    if len(name) > 2 * width:
        name = f"{name[:width]}…{name[1 - width :]}"
    return "\n".join(textwrap.wrap(name, width))


def longest_line(names: Sequence[str]) -> int:
    """The characters of the longest line of wrapped names."""
    return min(NAME_WIDTH, max(map(len, names), default=0))


def column_width(heat_map: HeatMap) -> float:
    """The width of a column of a heat map in inches: its names lie flat where there are few and they are short."""
    names = longest_line(heat_map.columns)
    return max(0.44, CHARACTER_WIDTH * names if names <= 12 and len(heat_map.columns) <= 8 else 0)
