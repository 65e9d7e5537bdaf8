"""The tables of a theory report: the methods at the requested point, the sweeps, the claims; and its figure."""

from math import nan
from typing import Any

from msgspec import convert
from rich.console import RenderableType
from rich.table import Table

from ftcli.commands import COMMANDS
from ftcli.console.cells import new_table, text
from ftcli.explain.theory.types import Claim, Point, Quantiles, TheoryResults
from ftcli.figures.panels import Curve, LinePlot, Panel

NO_VALUE = "-"
NO_RATIO = Quantiles(nan, nan, nan)  # a gap in a curve
LOG_X = ("epsilon", "d")
NAMES = {"lp": COMMANDS["probe"].title, "ft": COMMANDS["finetune"].title, "lpft": COMMANDS["lpft"].title}
AXIS_NAMES = {"epsilon": "ε", "n": "n", "k": "k", "d": "d", "angle": "θ_k, degrees"}


def tables(report: Any, _: int) -> list[RenderableType]:
    """Everything that is shown of a theory report but its warnings, at any width."""
    results = convert(report["theory"], TheoryResults)
    sweeps = [sweep_table(axis, sweep.points) for axis, sweep in results.sweeps.items()]
    return [point_table(results), *sweeps, claims_table(results.claims)]


def point_table(results: TheoryResults) -> Table:
    """L_ood of each method at the requested point, by gradient flow and by gradient descent."""
    point = results.point
    sizes = f"k {point.k}, n {point.n}, d {point.d}, ε {point.epsilon:g}, θ_k {point.angle.median:.0f}°"
    table = new_table(
        f"L_ood, {sizes}: median of {point.worlds:,} problems [10 %, 90 %]",
        "over FT: L_ood over that of FT on the same problem",
    )
    for head in ("", "gradient flow", "over FT", "gradient descent"):
        table.add_column(head, justify="right" if head else "left", overflow="fold")
    for method, name in NAMES.items():
        ratio = quantiles(point.ratio[method]) if method in point.ratio else "1"
        table.add_row(name, quantiles(point.ood[method]), ratio, quantiles(results.descent.ood[method]))
    return table


def sweep_table(axis: str, points: list[Point]) -> Table:
    """Medians along one axis."""
    name = AXIS_NAMES[axis]
    table = new_table(
        f"L_ood against {name}, medians",
        "bound: problems where it is above 0; violated: problems where FT falls below it",
    )
    for head in (name, *NAMES.values(), "LP/FT", "LP-FT/FT", "bound", "violated"):
        table.add_column(head, justify="right", overflow="fold")
    for point in points:
        figures = [*(point.ood[method] for method in NAMES), *(point.ratio[method] for method in ("lp", "lpft"))]
        medians = [f"{figure.median:.2g}" if figure else NO_VALUE for figure in figures]
        bound = f"{point.bound.positive:,} of {point.worlds:,}"
        table.add_row(f"{point.value:.3g}", *medians, bound, f"{point.bound.violated:,}")
    return table


def claims_table(claims: list[Claim]) -> Table:
    table = new_table("Claims")
    for head in ("claim", "holds", "value", "that is"):
        table.add_column(head, justify="right" if head == "value" else "left", overflow="fold")
    for claim in claims:
        value = f"{claim.value:,}" if isinstance(claim.value, int) else f"{claim.value:.2g}"
        table.add_row(text(claim.claim), "yes" if claim.holds else "NO", value, text(claim.seen))
    return table


def quantiles(values: Quantiles | None) -> str:
    return f"{values.median:.2g} [{values.q10:.2g}, {values.q90:.2g}]" if values else NO_VALUE


def panels(report: Any) -> list[Panel]:
    """One pair of axes per sweep."""
    results = convert(report["theory"], TheoryResults)
    return [
        LinePlot(
            title=f"Error out of distribution, by {AXIS_NAMES[axis]}",
            curves=[ratio_curve("LP/FT", "lp", sweep.points), ratio_curve("LP-FT/FT", "lpft", sweep.points)],
            x=AXIS_NAMES[axis],
            y="L_ood over that of FT",
            log_x=axis in LOG_X,
            log_y=True,
        )
        for axis, sweep in results.sweeps.items()
    ]


def ratio_curve(label: str, method: str, points: list[Point]) -> Curve:
    """The median over problems of L_ood over FT's at every point of a sweep, and the band that 80 % of them lie in."""
    ratios = [point.ratio[method] or NO_RATIO for point in points]
    return Curve(
        label,
        [float(point.value or 0) for point in points],
        [ratio.median for ratio in ratios],
        low=[ratio.q10 for ratio in ratios],
        high=[ratio.q90 for ratio in ratios],
    )
