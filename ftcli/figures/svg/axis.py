"""An axis of an SVG: where a value lies, and which values have ticks."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from ftcli.figures.matplotlib_panels import MARGIN, power_of_ten
from ftcli.figures.panels import all_whole, axis_limits

STEPS = (1, 2, 5, 10)


@dataclass(frozen=True)
class Axis:
    """`low` and `high` lie at the pixels `start` and `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    whole: bool = False  # its ticks are whole numbers

    @classmethod
    def of(cls, values: Sequence[float], start: float, end: float, log: bool = False, margin: float = MARGIN) -> "Axis":
        """An axis that shows these values, with a `margin` of its length free at both ends."""
        low, high = axis_limits(values, log)
        if log:
            factor = (high / low) ** margin
            return cls(low / factor, high * factor, start, end, log)
        free = (high - low) * margin
        return cls(low - free, high + free, start, end, whole=all_whole(values))

    def at(self, value: float) -> float:
        """The pixel of a value; of one beyond the end of the axis, that end."""
        if self.log:
            share = log10(value / self.low) / log10(self.high / self.low) if value > 0 else 0.0
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[tuple[float, str]]:
        """Round values on the axis and how they are written, at most `most` of them."""
        values = self._powers(most) if self.log else []
        if len(values) >= 2:
            plain = values[0] >= 1e-4 and values[-1] < 1e5
            return [(value, f"{value:g}" if plain else power_of_ten(value)) for value in values]
        return self._round_numbers(most)

    def _powers(self, most: int) -> list[float]:
        """Powers of ten on the axis, and twice and five times these where there is room."""
        first, last = floor(log10(self.low)), ceil(log10(self.high))
        for factors, every in (((1, 2, 5), 1), ((1, 3), 1), *(((1,), every) for every in range(1, last - first + 2))):
            values = [factor * 10.0**power for power in range(first, last + 1, every) for factor in factors]
            shown = [value for value in values if self.low <= value <= self.high]
            if len(shown) <= most:
                return shown
        return []

    def _round_numbers(self, most: int) -> list[tuple[float, str]]:
        span = self.high - self.low
        power = floor(log10(span / most))
        step = next(factor * 10.0**power for factor in STEPS if span / (factor * 10.0**power) <= most)
        step = max(step, 1.0) if self.whole else step
        decimals = max(0, -floor(log10(step) + 1e-9))
        first, last = ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9)
        values = [i * step for i in range(first, last + 1)]
        small = decimals <= 6 and max(abs(self.low), abs(self.high)) < 1e6
        return [(value, f"{value:z.{decimals}f}" if small else f"{value:.3g}") for value in values]
