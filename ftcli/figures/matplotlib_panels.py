"""Each kind of panel drawn with matplotlib. Curves, points and bars are told apart without colour too."""

from collections.abc import Sequence
from math import isfinite, log10, nan
from typing import TYPE_CHECKING, Any, Literal

from ftcli.figures.panels import (
    BarChart,
    Curve,
    HeatMap,
    LinePlot,
    Panel,
    PointGroup,
    ScatterPlot,
    all_whole,
    axis_limits,
    axis_values,
    is_number,
    on_axis,
)
from ftcli.figures.style import COLOURS, DASHES, GREY, HATCHES, MARKERS, SHADES, fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

Label = tuple[type, str]  # of a legend: the kind of its panel, and the name
Legend = dict[Label, Any]  # the matplotlib artist of each label
AXES: tuple[Literal["x", "y"], ...] = ("x", "y")

DIAGONAL = "y = x"
THINNEST_BAR = 0.04  # inches; thinner ones are markers
BAR_LENGTH, BAR_WIDTH = 2.5, 0.12  # inches: a colour bar, at most so long
MOST_CELLS = 2_500  # of a heat map that are shapes of their own; those of a larger one are pixels
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MARGIN = 0.04  # of an axis, free at both ends, so that no marker is cut


def legend_labels(panel: Panel) -> list[Label]:
    """A label for each curve, group or series of a panel; the name is empty where the title says it already."""
    if isinstance(panel, HeatMap):
        return []
    names: list[str] = [*panel.series] if isinstance(panel, BarChart) else [one.label for one in drawn_in(panel)]
    return [(type(panel), "" if name == panel.title else name) for name in names]


def drawn_in(plot: LinePlot | ScatterPlot) -> Sequence[Curve | PointGroup]:
    """The curves or the groups of points of a plot."""
    return plot.curves if isinstance(plot, LinePlot) else plot.groups


def draw_line_plot(axes: "Axes", plot: LinePlot, labels: Sequence[Label]) -> Legend:
    """Curves and their bands. `labels`: those of all line plots that share a legend, which decide the styles."""
    all_points = plot.points()
    seen = [point for points in all_points for point in points if isfinite(point[1])]
    bands = [band_of(curve, points) for curve, points in zip(plot.curves, all_points, strict=True)]
    edges = [edge for band in bands for _, low, high in band for edge in (low, high) if on_axis(edge, plot.log_y)]
    xs, ys = axis_values(plot, [x for x, _ in seen], [*(y for _, y in seen), *edges])
    set_axis(axes, "x", xs, plot.log_x)
    set_axis(axes, "y", ys, plot.log_y)
    legend: Legend = {}
    for label, curve, points, band in zip(legend_labels(plot), plot.curves, all_points, bands, strict=True):
        style = labels.index(label)
        marked = list(range(len(points))) if curve.marker else isolated(points)
        wide = style // len(DASHES) % 2 == 1
        (legend[label],) = axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            linestyle=DASHES[style % len(DASHES)],
            linewidth=1.9 if wide else 1.1,
            markevery=marked,
            **marker_style(style, len(DASHES), bool(marked)),
        )
        draw_band(axes, band, colour_of(style))
    return legend | finish_plot(axes, plot, bool(seen))


def draw_scatter_plot(axes: "Axes", plot: ScatterPlot, labels: Sequence[Label]) -> Legend:
    """Points and their error bars. `labels`: those of all scatter plots of one legend, which decide the styles."""
    seen = [point for group in plot.groups for point in group.points() if isfinite(point[0])]
    x_ends, y_ends = (
        [end for group in plot.groups for bar in group.error_bars(axis) for end in bar if isfinite(end)]
        for axis in AXES
    )
    xs, ys = axis_values(plot, [*(x for x, _ in seen), *x_ends], [*(y for _, y in seen), *y_ends])
    set_axis(axes, "x", xs, log=False)
    set_axis(axes, "y", ys, log=False)
    legend: Legend = {}
    for label, group in zip(legend_labels(plot), plot.groups, strict=True):
        style, points = labels.index(label), group.points()
        for (x, y), (left, right), (low, high) in zip(
            points, group.error_bars("x"), group.error_bars("y"), strict=True
        ):
            axes.plot([left, right], [y, y], color=colour_of(style), linewidth=0.8)
            axes.plot([x, x], [low, high], color=colour_of(style), linewidth=0.8)
        (legend[label],) = axes.plot(
            [x for x, _ in points], [y for _, y in points], linestyle="", **marker_style(style, len(MARKERS), True)
        )
        for name, (x, y) in zip(group.names, points, strict=False):
            if isfinite(x):
                axes.annotate(name, (x, y), (4, 3), textcoords="offset points", annotation_clip=False)
    return legend | finish_plot(axes, plot, bool(seen))


def finish_plot(axes: "Axes", plot: LinePlot | ScatterPlot, any_point: bool) -> Legend:
    """The diagonal, across the whole of the horizontal axis, or the words for a plot without a point."""
    if not any_point:
        axes.text(0.5, 0.5, "nothing to show", transform=axes.transAxes, ha="center")
    if not any_point or not plot.diagonal:
        return {}
    ends = axes.get_xlim()
    (line,) = axes.plot(ends, ends, color=GREY, linewidth=0.7, zorder=0, scalex=False, scaley=False)
    return {(type(plot), DIAGONAL): line}


def colour_of(style: int) -> str:
    """The colour of the curve or group with this number; beyond the colours they begin again, moved by one."""
    return COLOURS[(style + style // len(COLOURS)) % len(COLOURS)]


def marker_style(style: int, filled: int, shown: bool) -> dict[str, Any]:
    """Colour and marker of a curve or group; after so many `filled` ones come hollow ones."""
    round_of, colour = style // filled, colour_of(style)
    marker = MARKERS[(style + round_of // 2) % filled] if shown else ""
    return {"color": colour, "marker": marker, "markerfacecolor": "white" if round_of % 2 else colour}


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
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

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
        axis.set_major_locator(LogLocator(subs=(1.0,) if decades > 2 else (1.0, 2.0, 5.0), numticks=6))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}" if plain else power_of_ten(value)))
        axis.set_minor_formatter(NullFormatter())
    else:
        axes.ticklabel_format(axis=name, useOffset=False)
        if all_whole(values):
            axis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))


def power_of_ten(value: float) -> str:
    """A number in powers of ten: 10⁻³, 2×10⁵."""
    digits, exponent = f"{value:.3e}".split("e")
    ten = "10" + str(int(exponent)).translate(SUPERSCRIPT)
    return ten if float(digits) == 1 else f"{float(digits):g}×{ten}"


def draw_heat_maps(figure: "SubFigure", heat_maps: Sequence[tuple["Axes", HeatMap]], height: float) -> None:
    """Heat maps of one `z`, with one colour bar; together they are so many inches high."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    shades = LinearSegmentedColormap.from_list("shades", SHADES)
    scale = Normalize(*axis_limits(value for _, heat_map in heat_maps for value in heat_map.numbers()))
    for axes, heat_map in heat_maps:
        cells = [[value if is_number(value) else nan for value in row] for row in heat_map.values]
        axes.pcolormesh(cells, cmap=shades, norm=scale, rasterized=len(heat_map.numbers()) > MOST_CELLS)
        axes.invert_yaxis()  # the first row is the upper one
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    length = min(height, BAR_LENGTH)
    bar = figure.colorbar(
        ScalarMappable(scale, shades), ax=[axes for axes, _ in heat_maps], pad=0.02, shrink=length / height,
        aspect=length / BAR_WIDTH,
    )  # fmt: skip
    bar.set_label(fitted(heat_maps[0][1].z, length, 2))
    bar.outline.set_visible(False)


def draw_bar_chart(axes: "Axes", chart: BarChart, labels: Sequence[Label], row_height: float) -> Legend:
    """A group of bars per label, the first at the top; markers where bars would be too thin. `labels`: those of all bar
    charts that share a legend; row_height: of a label, in inches.
    """
    thickness = 0.8 / max(len(chart.series), 1)
    values = [value for column in chart.series.values() for value in column if is_number(value)]
    negative = any(value < 0 for value in values)
    set_axis(axes, "x", [0.0, *values] if values else [], log=False)
    if not negative:
        axes.set_xlim(left=0)
    legend: Legend = {}
    for order, (label, column) in enumerate(zip(legend_labels(chart), chart.series.values(), strict=True)):
        style, rows = labels.index(label), range(len(chart.labels))
        if thickness * row_height < THINNEST_BAR:
            shown = [(value, row) for row, value in zip(rows, column, strict=True) if is_number(value)]
            (legend[label],) = axes.plot(
                [value for value, _ in shown], [row for _, row in shown], linestyle="", clip_on=False,
                **marker_style(style, len(MARKERS), True),
            )  # fmt: skip
            continue
        heights = [row - 0.4 + thickness * (order + 0.5) for row in rows]
        bars = [(y, value) for y, value in zip(heights, column, strict=True) if is_number(value)]
        colour = colour_of(style)
        legend[label] = axes.barh(
            [y for y, _ in bars],
            [value for _, value in bars],
            height=0.9 * thickness,
            color=colour if style == 0 else "white",
            edgecolor=colour,
            linewidth=0.6,
            hatch=HATCHES[style % len(HATCHES)],
        )
        for y, value in zip(heights, column, strict=True):
            if not is_number(value):
                axes.plot([0], [y], color=colour, marker="_", clip_on=False)
    if negative:
        axes.axvline(0, color="black", linewidth=0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(chart.labels) - 0.5, -0.5)
    return legend
