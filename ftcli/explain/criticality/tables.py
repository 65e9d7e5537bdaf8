"""Module criticality in a report: μ by block, and how the error grows on the way back to the start and with noise."""

from typing import Any

from rich.console import RenderableType
from rich.table import Table

from ftcli.console.cells import new_table, percent, text
from ftcli.figures.panels import HeatMap, Panel
from ftcli.figures.terminal import sketch_heat_map
from ftcli.text import counted

ERROR = "error (%)"


def criticality_tables(report: dict[str, Any], width: int) -> list[RenderableType]:
    """Every block on a line, then the two edges of its grid: no noise, and no way back."""
    found = report["criticality"]
    return [blocks_table(found), sketch_heat_map(way_back(found), width), sketch_heat_map(under_noise(found), width)]


def blocks_table(found: dict[str, Any]) -> Table:
    """How critical each block is, with the cell that says so."""
    images = counted(found["images"], "training image", "training images")
    draws = counted(found["draws"], "draw of the noise", "draws of the noise")
    allowed = f"at most {percent(found['error'] + found['epsilon'])} % (B: {percent(found['error'])} %)"
    table = new_table(
        f"Criticality of each block: {images}, {draws}",
        f"μ: the least α²‖θᶠ - θ⁰‖²/σ² with an error of {allowed}; rewound: error gained at θ⁰, in points",
    )
    for head in ("block", "μ", "at α", "at σ", "distance", "rewound"):
        table.add_column(head, justify="left" if head == "block" else "right", overflow="fold")
    for name, one in found["blocks"].items():
        cell = [number(one[key]) for key in ("mu", "alpha", "sigma", "distance")]
        table.add_row(text(name), *cell, f"{100 * one['rewind']:+.1f}")
    table.add_section()
    table.add_row("sum", number(found["sum"]))
    return table


def number(value: float | None) -> str:
    """Three digits; a dash for what has no value."""
    return "-" if value is None else f"{value:.3g}"


def way_back(found: dict[str, Any]) -> HeatMap:
    """The error of every block on the line from θ⁰ to θᶠ, without noise."""
    values = [[100 * error for error in one["plain"]] for one in found["blocks"].values()]
    columns = [number(alpha) for alpha in found["alphas"]]
    return HeatMap("On the way back, without noise", values, list(found["blocks"]), columns, y="block", x="α", z=ERROR)


def under_noise(found: dict[str, Any]) -> HeatMap:
    """The error of every block at the largest α of the grid, which is θᶠ as a rule, by the noise."""
    values = [[100 * error for error in one["grid"][-1]] for one in found["blocks"].values()]
    columns = [number(sigma) for sigma in found["sigmas"]]
    title = f"Under noise, at α = {number(found['alphas'][-1])}"
    return HeatMap(title, values, list(found["blocks"]), columns, y="block", x="σ", z=ERROR)


def criticality_panels(report: dict[str, Any]) -> list[Panel]:
    """The whole grid of each block, a heat map each."""
    found = report["criticality"]
    rows, columns = [number(alpha) for alpha in found["alphas"]], [number(sigma) for sigma in found["sigmas"]]
    return [
        HeatMap(name, [[100 * error for error in row] for row in one["grid"]], rows, columns, y="α", x="σ", z=ERROR)
        for name, one in found["blocks"].items()
    ]
