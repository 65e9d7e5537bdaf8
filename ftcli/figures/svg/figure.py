"""Panels as inline SVG for a page of HTML: the same panels that matplotlib and the terminal draw.

The style sheet of the page gives the classes their colours; `svg.css` beside this file is written for them. Names from
data are escaped and made printable. The same panels give the same text.
"""

from collections.abc import Sequence
from html import escape
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from ftcli.figures.panels import BarChart, HeatMap, Panel, ScatterPlot
from ftcli.figures.svg.cells import bar_chart, heat_map
from ftcli.figures.svg.plots import HEIGHT, WIDTH, line_plot, scatter_plot
from ftcli.figures.svg.styles import labels_of, swatch
from ftcli.safe_text import printable

STYLE_SHEET = Path(__file__).with_name("svg.css")


class DrawnPanel(NamedTuple):
    """A panel: its title, its SVG, which is markup, and its note."""

    title: str
    svg: str
    note: str


class LegendEntry(NamedTuple):
    """A sample, which is markup, and the name that it stands for."""

    swatch: str
    name: str


class DrawnFigure(NamedTuple):
    """Panels, and the one legend of all."""

    panels: list[DrawnPanel]
    legend: list[LegendEntry]


def draw(panels: Sequence[Panel]) -> DrawnFigure:
    """The panels drawn. A label has one style throughout, and is in the legend once."""
    labels = list(dict.fromkeys(chain.from_iterable(labels_of(panel) for panel in panels)))
    style = {name: i for i, name in enumerate(labels)}
    drawn = [
        DrawnPanel(printable(panel.title), svg_of(panel, style), printable(getattr(panel, "note", "")))
        for panel in panels
    ]
    owners = {name: panel for panel in reversed(panels) for name in labels_of(panel)}
    return DrawnFigure(
        drawn, [LegendEntry(swatch(owners[name], style[name]), printable(name)) for name in labels if name]
    )


def svg_of(panel: Panel, style: dict[str, int]) -> str:
    """One panel as an SVG element of its natural size. `style`: by label."""
    styles = [style[name] for name in labels_of(panel)]
    size: tuple[float, float] = (WIDTH, HEIGHT)
    if isinstance(panel, HeatMap):
        content, size = heat_map(panel)
    elif isinstance(panel, BarChart):
        content, size = bar_chart(panel, styles)
    else:
        content = scatter_plot(panel, styles) if isinstance(panel, ScatterPlot) else line_plot(panel, styles)
    width, height = (f"{side:.0f}" for side in size)
    return (
        f'<svg class="plot" role="img" aria-label="{escape(printable(panel.title))}" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}">{content}</svg>'
    )
