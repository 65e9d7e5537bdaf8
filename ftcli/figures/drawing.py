"""How the panels of a figure are drawn: the signs that tell curves and bars apart, axes, shades."""

import textwrap
from collections.abc import Sequence
from math import isfinite, log10, nan
from typing import TYPE_CHECKING, Any, Literal

from ftcli.figures.panels import Bars, Curve, Heat, Panel, extent, filled, points, shows, write_alike
from ftcli.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Label = tuple[type, str]  # of a legend: whether it stands for curves or bars, and the name
Legend = dict[Label, Any]  # and what is drawn there beside it

CHARACTER, LINE = 0.075, 0.13  # inches across a character, and from line to line
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
NAME, TITLE = 26, 48  # characters on a line of a name, and on one of a title or an axis
MOST_NUMBERS = 400  # cells of a heat map that are still written out
MARGIN = 0.04  # of an axis, free at both ends, so that no marker is cut
# Six signs tell curves apart without colour; the next six curves have them again, wider and hollow.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#a0447c", "#b87a00", "#333333")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 3)), (0, (6, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "X")
HATCHES = ("", "////", "....", "xxxx", "----", "\\\\\\\\")
SHADES = ("#e4ecf4", "#5a90c0", "#08264f")  # ever darker; a blank cell is white


def labels_of(panel: Panel | Heat | Bars) -> list[Label]:
    """What is to be told apart in a panel; a name that its title says already is empty."""
    if isinstance(panel, Heat):
        return []
    names = panel.series if isinstance(panel, Bars) else [curve.label for curve in panel.curves]
    return [(type(panel), "" if name == panel.title else name) for name in names]


def draw_curves(axes: "Axes", panel: Panel, labels: Sequence[Label]) -> Legend:
    """The curves of a panel, their bands and axes."""
    runs = [points(curve, panel) for curve in panel.curves]
    seen = [point for run in runs for point in run if isfinite(point[1])]
    bands = [band_of(curve, run) for curve, run in zip(panel.curves, runs, strict=True)]
    edges = [edge for band in bands for _, low, high in band for edge in (low, high) if shows(edge, panel.log_y)]
    set_axis(axes, "x", [x for x, _ in seen], panel.log_x)
    set_axis(axes, "y", [*(y for _, y in seen), *edges], panel.log_y)
    axes.set(xlabel=wrapped(panel.x, TITLE), ylabel=wrapped(panel.y, TITLE))
    if not seen:
        axes.text(0.5, 0.5, "nothing to show", transform=axes.transAxes, ha="center")
    legend: Legend = {}
    for label, curve, run, band in zip(labels_of(panel), panel.curves, runs, bands, strict=True):
        marked = range(len(run)) if curve.marker else lonely(run)
        turn, sign = divmod(labels.index(label), len(MARKERS))
        hollow, colour = turn % 2 == 1, COLOURS[(sign + turn) % len(COLOURS)]
        style = {
            "linestyle": DASHES[sign],
            "marker": MARKERS[sign] if marked else "",
            "markerfacecolor": "white" if hollow else colour,
        }
        (legend[label],) = axes.plot(
            [x for x, _ in run],
            [y for _, y in run],
            color=colour,
            linewidth=2.2 if hollow else 1.3,
            markersize=4.5,
            markevery=list(marked),
            **style,
        )
        fill_band(axes, band, colour)
    return legend


def band_of(curve: Curve, run: Sequence[tuple[float, float]]) -> list[tuple[float, float, float]]:
    """The band (x, low, high) about the points that are shown, (nan, nan, nan) about others; empty without a band."""
    if curve.low is None or curve.high is None:
        return []
    whole = zip(run, curve.low, curve.high, strict=True)
    return [(x, low, high) if isfinite(x + low + high) else (nan, nan, nan) for (x, _), low, high in whole]


def fill_band(axes: "Axes", band: Sequence[tuple[float, float, float]], colour: str) -> None:
    """The band about a curve, an upright line about a point that stands alone."""
    bottom = axes.get_ylim()[0]  # where what reaches down to the zero of a logarithmic axis ends
    xs, lows, highs = [x for x, _, _ in band], [max(low, bottom) for _, low, _ in band], [high for _, _, high in band]
    axes.fill_between(xs, lows, highs, color=colour, alpha=0.15, linewidth=0)
    alone = lonely([(x, high) for x, _, high in band])
    axes.vlines([xs[i] for i in alone], [lows[i] for i in alone], [highs[i] for i in alone], colour, linewidth=1)


def lonely(run: Sequence[tuple[float, float]]) -> list[int]:
    """The points with a gap on both sides: no line goes through them, so they need a marker."""
    seen = [False, *(isfinite(y) for _, y in run), False]
    return [i for i in range(len(run)) if seen[i + 1] and not seen[i] and not seen[i + 2]]


def set_axis(axes: "Axes", name: Literal["x", "y"], values: Sequence[float], log: bool) -> None:
    """Limits, scale and ticks of an axis on which the values lie; no ticks where there are none."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis = axes.xaxis if name == "x" else axes.yaxis
    low, high = extent(values, log)
    room = (high / low) ** MARGIN if log else (high - low) * MARGIN
    limits = (low / room, high * room) if log else (low - room, high + room)
    axes.set(**{f"{name}lim": limits, f"{name}scale": "log" if log else "linear"})
    if not values:
        axis.set_ticks([])
        axis.set_ticks([], minor=True)
    elif log:
        decades = log10(high / low)
        plain = low > 5e-4 and high < 2e4
        axis.set_major_locator(LogLocator(subs=(1.0,) if decades > 2 else (1.0, 2.0, 5.0), numticks=8))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}" if plain else power(value)))
        axis.set_minor_formatter(NullFormatter())
    else:
        axes.ticklabel_format(axis=name, useOffset=False)


def power(value: float) -> str:
    """A number in powers of ten: 10⁻³, 2×10⁵."""
    digits, exponent = f"{value:.3e}".split("e")
    ten = "10" + str(int(exponent)).translate(SUPERSCRIPT)
    return ten if float(digits) == 1 else f"{float(digits):g}×{ten}"


def draw_heats(figure: "Figure", heats: Sequence[tuple["Axes", Heat]]) -> None:
    """Heat maps of one `z`, on one scale of shades that stands beside them."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    shades = LinearSegmentedColormap.from_list("shades", SHADES)
    low, high = extent(value for _, heat in heats for value in heat.shaded())
    scale = Normalize(low, high)
    for axes, heat in heats:
        cells = [[value if filled(value) else nan for value in row] for row in heat.values]
        axes.pcolormesh(cells, cmap=shades, norm=scale)
        axes.invert_yaxis()  # the first row is the upper one
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        axes.set_xticks([i + 0.5 for i in range(len(heat.columns))], [wrapped(name, NAME) for name in heat.columns])
        axes.set_yticks([i + 0.5 for i in range(len(heat.rows))], [wrapped(name, NAME) for name in heat.rows])
        axes.set(xlabel=wrapped(heat.x, TITLE), ylabel=wrapped(heat.y, TITLE))
        if CHARACTER * longest(heat.columns) > column_width(heat):
            axes.tick_params(axis="x", rotation=90)
        found = heat.shaded()
        if len(found) <= MOST_NUMBERS:
            places = [(i, j) for i, row in enumerate(cells) for j, value in enumerate(row) if isfinite(value)]
            for (i, j), value, number in zip(places, found, write_alike(found), strict=True):
                ink = "white" if scale(value) > 0.45 else "black"
                axes.text(j + 0.5, i + 0.5, number, ha="center", va="center", color=ink, fontsize=6.5)
    z = wrapped(heats[0][1].z, TITLE)
    bar = figure.colorbar(ScalarMappable(scale, shades), ax=[axes for axes, _ in heats], label=z, aspect=30)
    bar.outline.set_visible(False)


def draw_bars(axes: "Axes", panel: Bars, labels: Sequence[Label]) -> Legend:
    """A group of bars per label, the first at the top."""
    thick = 0.8 / max(len(panel.series), 1)
    values = [value for column in panel.series.values() for value in column if filled(value)]
    set_axis(axes, "x", [0.0, *values] if values else [], log=False)
    if not any(value < 0 for value in values):
        axes.set_xlim(left=0)
    legend: Legend = {}
    for order, (label, column) in enumerate(zip(labels_of(panel), panel.series.values(), strict=True)):
        place = labels.index(label)
        heights = [row - 0.4 + thick * (order + 0.5) for row in range(len(panel.labels))]
        bars = [(y, value) for y, value in zip(heights, column, strict=True) if filled(value)]
        colour = COLOURS[place % len(COLOURS)]
        legend[label] = axes.barh(
            [y for y, _ in bars],
            [value for _, value in bars],
            height=0.9 * thick,
            color=colour if place == 0 else "white",
            edgecolor=colour,
            hatch=HATCHES[place % len(HATCHES)],
        )
        for y, value in zip(heights, column, strict=True):
            if not filled(value):
                axes.text(0, y, " –", va="center")
    if any(value < 0 for value in values):
        axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(panel.labels)), [wrapped(name, NAME) for name in panel.labels])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(panel.labels) - 0.5, -0.5)
    axes.set_xlabel(wrapped(panel.x, TITLE))
    return legend


def wrapped(name: str, width: int) -> str:
    """A name on lines of so many characters, with nothing in it that could break a figure; of one that is longer than
    two lines the middle is left out, since names that begin alike tend to differ at the end.
    """
    name = printable(name)
    if len(name) > 2 * width:
        name = f"{name[:width]}…{name[1 - width :]}"
    return "\n".join(textwrap.wrap(name, width))


def longest(names: Sequence[str]) -> int:
    """The characters of the longest line of names."""
    return min(NAME, max(map(len, names), default=0))


def column_width(heat: Heat) -> float:
    """The width of a column of a heat map in inches: its names lie flat where there are few and they are short."""
    names = longest(heat.columns)
    return max(0.44, CHARACTER * names if names <= 12 and len(heat.columns) <= 8 else 0)
