"""Module criticality in a report: μ by block, and how the error grows towards the start and with noise."""

from rich.console import RenderableType
from rich.table import Table

from ftcli.console.cells import Layout, percent, text
from ftcli.explain.criticality.types import Criticality
from ftcli.figures.panels import HeatMap, Panel
from ftcli.figures.terminal import sketch_heat_map
from ftcli.report.types import Report
from ftcli.safe_text import counted

ERROR = "error (%)"


def tables(report: Report, width: int) -> list[RenderableType]:
    """Every block on a line, then two edges of its grid: no noise, and the block at its end."""
    part: Criticality = report["criticality"]
    return [
        blocks_table(part),
        sketch_heat_map(rewind_heat_map(part), width),
        sketch_heat_map(noise_heat_map(part), width),
    ]


def blocks_table(part: Criticality) -> Table:
    """How critical each block is, with the cell of the grid that gives μ."""
    images = counted(part.images, "training image", "training images")
    draws = counted(part.draws, "draw of the noise", "draws of the noise")
    allowed = f"at most {percent(part.error + part.epsilon)} % (B: {percent(part.error)} %)"
    rows = [
        [
            *map(text, (name, *map(number, (block.mu, block.alpha, block.sigma, block.distance)))),
            text(f"{100 * block.rewind:+.1f}"),
        ]
        for name, block in part.blocks.items()
    ]
    table = Layout(["block", "μ", "at α", "at σ", "distance", "rewound"], rows).table(
        f"Criticality of each block: {images}, {draws}",
        f"μ: the least α²‖θᶠ - θ⁰‖²/σ² with an error of {allowed}; rewound: error gained at θ⁰, in points",
        left=("block",),
    )
    table.add_section()
    table.add_row("sum", number(part.sum))
    return table


def number(value: float | None) -> str:
    """Three digits; a dash for what has no value."""
    return "-" if value is None else f"{value:.3g}"


def rewind_heat_map(part: Criticality) -> HeatMap:
    """The error of every block on the line from θ⁰ to θᶠ, without noise."""
    values = [[100 * error for error in block.plain] for block in part.blocks.values()]
    columns = [number(alpha) for alpha in part.alphas]
    return HeatMap("Error from A to B, without noise", values, list(part.blocks), columns, y="block", x="α", z=ERROR)


def noise_heat_map(part: Criticality) -> HeatMap:
    """The error of every block at the largest α of the grid, which is θᶠ as a rule, by the noise."""
    values = [[100 * error for error in block.grid[-1]] for block in part.blocks.values()]
    columns = [number(sigma) for sigma in part.sigmas]
    title = f"Error with noise, at α = {number(part.alphas[-1])}"
    return HeatMap(title, values, list(part.blocks), columns, y="block", x="σ", z=ERROR)


def panels(report: Report) -> list[Panel]:
    """The whole grid of each block, a heat map each."""
    part: Criticality = report["criticality"]
    rows, columns = [number(alpha) for alpha in part.alphas], [number(sigma) for sigma in part.sigmas]
    return [
        HeatMap(
            f"Error with {name} perturbed",
            [[100 * error for error in row] for row in block.grid],
            rows,
            columns,
            y="α",
            x="σ",
            z=ERROR,
        )
        for name, block in part.blocks.items()
    ]
