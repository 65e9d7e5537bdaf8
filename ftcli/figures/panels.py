"""What a figure shows, whether it is drawn to a file or in a terminal: curves, heat maps, bars, and their numbers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10, nan
from typing import TypeGuard


@dataclass(frozen=True)
class Curve:
    """A curve: `x` and `y` of equal length; None, and whatever is not finite, is a gap. `low`, `high`: a band about it.

    An empty `label`, or one that says what the title of its panel says, is not in the legend.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    marker: bool = True


@dataclass(frozen=True)
class Panel:
    """Curves on one pair of axes. `x`, `y`: names with units. What a logarithmic axis cannot show is a gap."""

    title: str
    curves: Sequence[Curve]
    x: str
    y: str
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Heat:
    """A heat map: `values` [rows][columns], None is blank; `y` names the rows, `x` the columns, `z` the shade."""

    title: str
    values: Sequence[Sequence[float | None]]
    rows: Sequence[str]
    columns: Sequence[str]
    y: str
    x: str
    z: str

    def shaded(self) -> list[float]:
        """The values of all cells that are not blank."""
        return [value for row in self.values for value in row if filled(value)]


@dataclass(frozen=True)
class Bars:
    """Horizontal bars: a group per label, in each a bar per series; None is written as a dash. `x`: name with unit."""

    title: str
    labels: Sequence[str]
    series: Mapping[str, Sequence[float | None]]
    x: str


def filled(value: float | None) -> TypeGuard[float]:
    """Whether there is a number to show."""
    return value is not None and isfinite(value)


def points(curve: Curve, panel: Panel) -> list[tuple[float, float]]:
    """The points (x, y) of a curve in the order given; (nan, nan) where one is missing or its axes have no place."""
    pairs = zip(curve.x, curve.y, strict=True)
    return [
        (x, y) if y is not None and shows(x, panel.log_x) and shows(y, panel.log_y) else (nan, nan) for x, y in pairs
    ]


def shows(value: float, log: bool) -> bool:
    """Whether an axis has a place for a value."""
    return isfinite(value) and (value > 0 or not log)


def extent(values: Iterable[float], log: bool = False) -> tuple[float, float]:
    """The least and the greatest value, moved apart where they are one; (1, 10) or (0, 1) where there is none."""
    found = list(values)
    if not found:
        return (1.0, 10.0) if log else (0.0, 1.0)
    low, high = min(found), max(found)
    if low < high:
        return low, high
    return (low / 2, high * 2) if log else (low - (abs(low) / 10 or 1), high + (abs(high) / 10 or 1))


def write_alike(values: Sequence[float], digits: int = 3) -> list[str]:
    """Numbers that stand together: all with as many decimals as show so many digits of their span."""
    if not values:
        return []
    largest = max(map(abs, values))
    span = max(values) - min(values) or largest or 1.0
    places = digits - 1 - floor(log10(span))
    if places > 7 or largest >= 1e6:
        return [f"{value:.{digits}g}" for value in values]
    return [f"{value:z.{max(places, 0)}f}" for value in values]
