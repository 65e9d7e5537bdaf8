"""What a figure shows, in a file or in a terminal: line and scatter plots, heat maps, bar charts, and how numbers are
written.

Values that are None or not finite are missing: a gap in a curve, a blank cell, a dash in place of a bar.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10, nan
from typing import Literal, TypeGuard


@dataclass(frozen=True)
class Curve:
    """A curve: `x` and `y` of equal length. `low`, `high`: a band about it.

    An empty `label`, or one that equals the title of its plot, is not in the legend.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    marker: bool = True


@dataclass(frozen=True)
class LinePlot:
    """Curves on one pair of axes. `x`, `y`: names with units. What a logarithmic axis cannot show is missing.
    `diagonal`: the line y = x too. `note`: what bands are, and what is left out, to stand below.
    """

    title: str
    curves: Sequence[Curve]
    x: str
    y: str
    log_x: bool = False
    log_y: bool = False
    diagonal: bool = False
    note: str = ""

    def points(self) -> list[list[tuple[float, float]]]:
        """The points (x, y) of every curve in the order given; (nan, nan) for those that are missing."""
        return [
            [
                (x, y) if y is not None and on_axis(x, self.log_x) and on_axis(y, self.log_y) else (nan, nan)
                for x, y in zip(curve.x, curve.y, strict=True)
            ]
            for curve in self.curves
        ]


@dataclass(frozen=True)
class PointGroup:
    """Points of one kind: `x` and `y` of equal length. `x_low` to `y_high`: the ends of their error bars, None of a
    point without one; `names`: what is written beside each point.
    """

    label: str
    x: Sequence[float | None]
    y: Sequence[float | None]
    x_low: Sequence[float | None] | None = None
    x_high: Sequence[float | None] | None = None
    y_low: Sequence[float | None] | None = None
    y_high: Sequence[float | None] | None = None
    names: Sequence[str] = ()

    def points(self) -> list[tuple[float, float]]:
        """The points (x, y) in the order given; (nan, nan) for those that are missing."""
        pairs = zip(self.x, self.y, strict=True)
        return [(x, y) if is_number(x) and is_number(y) else (nan, nan) for x, y in pairs]

    def error_bars(self, axis: Literal["x", "y"]) -> list[tuple[float, float]]:
        """The ends (low, high) of the error bar of each point along an axis; (nan, nan) without one."""
        low, high = (self.x_low, self.x_high) if axis == "x" else (self.y_low, self.y_high)
        if low is None or high is None:
            return [(nan, nan)] * len(self.x)
        return [(a, b) if is_number(a) and is_number(b) else (nan, nan) for a, b in zip(low, high, strict=True)]


@dataclass(frozen=True)
class ScatterPlot:
    """Groups of points on one pair of axes. `x`, `y`: names with units. `diagonal`: the line y = x too. `note`: what
    error bars are, and what is left out, to stand below.
    """

    title: str
    groups: Sequence[PointGroup]
    x: str
    y: str
    diagonal: bool = False
    note: str = ""


@dataclass(frozen=True)
class HeatMap:
    """A heat map of `values` [rows][columns]; `y` names the rows, `x` the columns, `z` the shade. `note`: what is left
    out, to stand below.
    """

    title: str
    values: Sequence[Sequence[float | None]]
    rows: Sequence[str]
    columns: Sequence[str]
    y: str
    x: str
    z: str
    note: str = ""

    def numbers(self) -> list[float]:
        """The values of all cells that are not blank, row by row."""
        return [value for row in self.values for value in row if is_number(value)]


@dataclass(frozen=True)
class BarChart:
    """Horizontal bars: a group per label, in each a bar per series. `x`: name with unit."""

    title: str
    labels: Sequence[str]
    series: Mapping[str, Sequence[float | None]]
    x: str


Panel = LinePlot | ScatterPlot | HeatMap | BarChart


def axis_values(
    plot: LinePlot | ScatterPlot, xs: Sequence[float], ys: Sequence[float]
) -> tuple[list[float], list[float]]:
    """What the two axes of a plot have to show: the values given, and the diagonal where there is one. It has the
    length of the horizontal axis, which points alone do not change.
    """
    if not plot.diagonal or not (xs and ys):
        return [*xs], [*ys]
    return [*xs, *ys] if isinstance(plot, LinePlot) else [*xs], [*ys, *xs]


def all_whole(values: Iterable[float]) -> bool:
    """Whether all values are whole numbers, so that an axis of them, of epochs say, has no others."""
    return all(float(value).is_integer() for value in values)


def is_number(value: float | None) -> TypeGuard[float]:
    return value is not None and isfinite(value)


def on_axis(value: float, log: bool) -> bool:
    """Whether an axis can show a value."""
    return isfinite(value) and (value > 0 or not log)


def axis_limits(values: Iterable[float], log: bool = False) -> tuple[float, float]:
    """The least and the greatest value; apart from each other also where all values are equal or there is none."""
    numbers = list(values)
    if not numbers:
        return (1.0, 10.0) if log else (0.0, 1.0)
    low, high = min(numbers), max(numbers)
    if low < high:
        return low, high
    return (low / 2, high * 2) if log else (low - (abs(low) / 10 or 1), high + (abs(high) / 10 or 1))


def format_numbers(values: Sequence[float], digits: int = 3) -> list[str]:
    """Numbers with equally many decimals: as many as show `digits` digits of their span."""
    if not values:
        return []
    largest = max(map(abs, values))
    span = max(values) - min(values) or largest or 1.0
    decimals = digits - 1 - floor(log10(span))
    if decimals > 7 or largest >= 1e6:
        return [f"{value:.{digits}g}" for value in values]
    return [f"{value:z.{max(decimals, 0)}f}" for value in values]
