"""Line plots and scatter plots as SVG: a frame with ticks, and the curves or points in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from ftcli.figures.matplotlib_panels import band_of, isolated
from ftcli.figures.panels import LinePlot, PointGroup, ScatterPlot, axis_values, on_axis
from ftcli.figures.svg.axis import Axis
from ftcli.figures.svg.styles import colour, dash, marker
from ftcli.figures.svg.text import LINE, label, lines_of, text_width

WIDTH, HEIGHT = 340, 250  # pixels of a plot: two side by side on A4, one on a phone
RIGHT = 10
Styles = Sequence[int]  # the style of each curve or group


@dataclass(frozen=True)
class Frame:
    """Both axes of a plot, and the markup of what is around its curves."""

    x: Axis
    y: Axis
    markup: str

    def at(self, point: tuple[float, float]) -> tuple[float, float]:
        return self.x.at(point[0]), self.y.at(point[1])


def frame_of(plot: LinePlot | ScatterPlot, xs: Sequence[float], ys: Sequence[float]) -> Frame:
    """The frame of a plot that shows these values: ticks with numbers, names of the axes, the diagonal."""
    xs, ys = axis_values(plot, xs, ys)
    log_x, log_y = getattr(plot, "log_x", False), getattr(plot, "log_y", False)
    y_name, x_name = lines_of(plot.y, WIDTH - RIGHT), lines_of(plot.x, WIDTH - 60)
    top, bottom = 4 + LINE * len(y_name) + 6, HEIGHT - 22 - LINE * len(x_name)
    y = Axis.of(ys, bottom, top, log_y)
    y_ticks = y.ticks() if ys else []
    left = 10 + max((text_width(words) for _, words in y_ticks), default=10)
    x = Axis.of(xs, left, WIDTH - RIGHT, log_x)
    x_ticks = spaced(x, x.ticks() if xs else [])
    drawn = [
        label(0, LINE - 2, y_name, "name"),
        label((left + WIDTH - RIGHT) / 2, bottom + 32, x_name, "name", "middle"),
    ]
    for value, words in y_ticks:
        drawn.append(f'<path class="grid" d="M{left:z.1f} {y.at(value):z.1f}H{WIDTH - RIGHT}"/>')
        drawn.append(label(left - 5, y.at(value) + 4, [words], "tick", "end"))
    for value, words in x_ticks:
        drawn.append(f'<path class="grid" d="M{x.at(value):z.1f} {top:z.1f}V{bottom:z.1f}"/>')
        drawn.append(label(x.at(value), bottom + 15, [words], "tick", "middle"))
    drawn.append(f'<path class="axis" d="M{left:z.1f} {top:z.1f}V{bottom:z.1f}H{WIDTH - RIGHT}"/>')
    if plot.diagonal and (ends := diagonal_ends(x, y)):
        (x0, y0), (x1, y1) = ((x.at(end), y.at(end)) for end in ends)
        drawn.append(f'<path class="diagonal" d="M{x0:z.1f} {y0:z.1f}L{x1:z.1f} {y1:z.1f}"/>')
    if not (xs and ys):
        drawn.append(label((left + WIDTH) / 2, (top + bottom) / 2, ["nothing to show"], "name", "middle"))
    return Frame(x, y, "".join(drawn))


def spaced(axis: Axis, ticks: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """The ticks whose numbers do not touch the one before."""
    kept: list[tuple[float, str]] = []
    for value, words in ticks:
        half = text_width(words) / 2
        if not kept or axis.at(value) - half > axis.at(kept[-1][0]) + text_width(kept[-1][1]) / 2 + 4:
            kept.append((value, words))
    return kept


def diagonal_ends(x: Axis, y: Axis) -> tuple[float, float] | None:
    """Where the line y = x enters and leaves the frame; None where it does not cross it."""
    low, high = max(x.low, y.low), min(x.high, y.high)
    return (low, high) if low < high else None


def line_plot(plot: LinePlot, styles: Styles) -> str:
    """The content of the SVG of a line plot."""
    all_points = plot.points()
    bands = [band_of(curve, points) for curve, points in zip(plot.curves, all_points, strict=True)]
    seen = [point for points in all_points for point in points if isfinite(point[1])]
    edges = [edge for band in bands for _, low, high in band for edge in (low, high) if on_axis(edge, plot.log_y)]
    frame = frame_of(plot, [x for x, _ in seen], [*(y for _, y in seen), *edges])
    drawn = [frame.markup]
    for curve, points, band, style in zip(plot.curves, all_points, bands, styles, strict=True):
        shapes = [*band_markup(frame, band), f'<path class="line" d="{line_path(frame, points)}"{dash(style)}/>']
        marked = range(len(points)) if curve.marker else isolated(points)
        shapes += [marker(*frame.at(points[i]), style) for i in marked if isfinite(points[i][1])]
        drawn.append(f'<g class="{colour(style)}">{"".join(shapes)}</g>')
    return "".join(drawn)


def line_path(frame: Frame, points: Sequence[tuple[float, float]]) -> str:
    """A line through the points that is cut where one is missing."""
    words, command = [], "M"
    for point in points:
        if isfinite(point[1]):
            x, y = frame.at(point)
            words.append(f"{command}{x:z.1f} {y:z.1f}")
        command = "L" if isfinite(point[1]) else "M"
    return "".join(words)


def band_markup(frame: Frame, band: Sequence[tuple[float, float, float]]) -> list[str]:
    """The area between the edges of each stretch of a band; of a point by itself a vertical line."""
    stretches: list[list[tuple[float, float, float]]] = [[]]
    for entry in band:
        if isfinite(entry[0]):
            stretches[-1].append(entry)
        elif stretches[-1]:
            stretches.append([])
    drawn = []
    for stretch in filter(None, stretches):
        corners = [frame.at((x, high)) for x, _, high in stretch]
        corners += [frame.at((x, low)) for x, low, _ in reversed(stretch)]
        kind = "band" if len(stretch) > 1 else "error"
        drawn.append(f'<path class="{kind}" d="M{"L".join(f"{x:z.1f} {y:z.1f}" for x, y in corners)}Z"/>')
    return drawn


def scatter_plot(plot: ScatterPlot, styles: Styles) -> str:
    """The content of the SVG of a scatter plot: points with error bars, and names beside them."""
    points = [point for group in plot.groups for point in group.points() if isfinite(point[0])]
    bars = {
        axis: [end for group in plot.groups for ends in group.error_bars(axis) for end in ends if isfinite(end)]
        for axis in ("x", "y")
    }
    frame = frame_of(plot, [*(x for x, _ in points), *bars["x"]], [*(y for _, y in points), *bars["y"]])
    drawn = [frame.markup]
    for group, style in zip(plot.groups, styles, strict=True):
        drawn.append(f'<g class="{colour(style)}">{point_group(frame, group, style)}</g>')
    return "".join(drawn)


def point_group(frame: Frame, group: PointGroup, style: int) -> str:
    """Error bars, markers and names of one group."""
    drawn = []
    for i, point in enumerate(group.points()):
        if not isfinite(point[0]):
            continue
        x, y = frame.at(point)
        (left, right), (low, high) = group.error_bars("x")[i], group.error_bars("y")[i]
        if isfinite(left + right):
            drawn.append(f'<path class="error" d="M{frame.x.at(left):z.1f} {y:z.1f}H{frame.x.at(right):z.1f}"/>')
        if isfinite(low + high):
            drawn.append(f'<path class="error" d="M{x:z.1f} {frame.y.at(low):z.1f}V{frame.y.at(high):z.1f}"/>')
        drawn.append(marker(x, y, style))
        if i < len(group.names):
            at_the_right = x > (frame.x.start + frame.x.end) / 2
            room = (x - frame.x.start if at_the_right else frame.x.end - x) - 8
            anchor, where = ("end", x - 7) if at_the_right else ("start", x + 7)
            drawn.append(label(where, y - 5, lines_of(group.names[i], room, 1), "point", anchor))
    return "".join(drawn)
