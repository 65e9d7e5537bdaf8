"""How the curves, groups of points and series of a figure are told apart in an SVG: colour, dash, marker, opacity.

Colours are the classes `c0` to `c5` and `currentColor`, so that the page decides on them, in light and in dark.
"""

from collections.abc import Sequence

from ftcli.figures.panels import BarChart, HeatMap, Panel, ScatterPlot
from ftcli.figures.svg.text import attribute

COLOURS = 6
DASHES = ("", "6 3", "1.5 2.5", "8 3 1.5 3", "3 4", "8 2 1 2 1 2")
SWATCH = 34  # pixels wide


def labels_of(panel: Panel) -> list[str]:
    """A label for each curve, group or series; empty where the title says it already."""
    if isinstance(panel, HeatMap):
        return []
    if isinstance(panel, BarChart):
        names = list(panel.series)
    else:
        names = [one.label for one in (panel.groups if isinstance(panel, ScatterPlot) else panel.curves)]
    return ["" if name == panel.title else name for name in names]


def colour(style: int) -> str:
    """The class of a colour. The next six styles have hollow markers and the colours in another order."""
    return f"c{(style + style // COLOURS) % COLOURS}"


def dash(style: int) -> str:
    return attribute("stroke-dasharray", DASHES[style % COLOURS])


def marker(x: float, y: float, style: int) -> str:
    """One of six shapes about a point; those of the styles from six on are hollow."""
    r = 3.6
    shapes = (
        f'<circle cx="{x:z.1f}" cy="{y:z.1f}" r="{r}"',
        f'<rect x="{x - 3.2:z.1f}" y="{y - 3.2:z.1f}" width="6.4" height="6.4"',
        path([(x, y - 4.4), (x + 4.2, y + 3.4), (x - 4.2, y + 3.4)]),
        path([(x, y - 4.8), (x + 4.8, y), (x, y + 4.8), (x - 4.8, y)]),
        path([(x, y + 4.4), (x + 4.2, y - 3.4), (x - 4.2, y - 3.4)]),
        path([(x + dx * k, y + dy * k) for dx, dy, k in CROSS]),
    )
    kind = "mark" if style % (2 * COLOURS) < COLOURS else "mark hollow"
    return f'{shapes[style % COLOURS]} class="{kind}"/>'


CROSS = [
    (dx, dy, 1.5)
    for dx, dy in (
        (0, -1), (1.4, -2.6), (2.6, -1.4), (1, 0), (2.6, 1.4), (1.4, 2.6),
        (0, 1), (-1.4, 2.6), (-2.6, 1.4), (-1, 0), (-2.6, -1.4), (-1.4, -2.6),
    )
]  # fmt: skip


def path(corners: Sequence[tuple[float, float]]) -> str:
    """The beginning of a closed path's element."""
    return f'<path d="M{"L".join(f"{x:z.1f} {y:z.1f}" for x, y in corners)}Z"'


def bar_kind(style: int) -> str:
    """Bars are told apart without colour by being full, hollow or pale."""
    return f"bar {('full', 'hollow', 'pale')[style % 3]} {colour(style)}"


def swatch(panel: Panel, style: int) -> str:
    """The sample of a legend."""
    middle, y = SWATCH / 2, 7.0
    if isinstance(panel, BarChart):
        drawn = f'<rect x="6" y="2" width="22" height="10" class="{bar_kind(style)}"/>'
    else:
        line = "" if isinstance(panel, ScatterPlot) else f'<path d="M0 {y}H{SWATCH}" class="line"{dash(style)}/>'
        drawn = f'<g class="{colour(style)}">{line}{marker(middle, y, style)}</g>'
    return f'<svg class="swatch" width="{SWATCH}" height="14" aria-hidden="true">{drawn}</svg>'
