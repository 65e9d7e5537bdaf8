"""A theory in a report: the methods at the point asked for, the sweeps, the claims; the figure of the sweeps."""

from math import nan
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from ftcli.console.cells import METHOD_NAMES, new_table, text
from ftcli.figures.panels import Curve, Panel

NOTHING = "-"
NO_RATIO = dict.fromkeys(("median", "q10", "q90"), nan)  # a gap in a curve
LOG_X = ("epsilon", "d")
NAMES = {"lp": METHOD_NAMES["probe"], "ft": METHOD_NAMES["finetune"], "lpft": METHOD_NAMES["lpft"]}
AXIS_NAMES = {"epsilon": "ε", "n": "n", "k": "k", "d": "d", "angle": "θ_k, degrees"}


def tables(report: Any, _: int) -> list[RenderableType]:
    """Everything that is shown of a theory report but its warnings, at any width."""
    theory = report["theory"]
    sweeps = [sweep_table(axis, sweep["points"]) for axis, sweep in theory["sweeps"].items()]
    return [point_table(theory), *sweeps, claims_table(theory["claims"])]


def point_table(theory: dict[str, Any]) -> Table:
    """L_ood of each method at the shape asked for, by gradient flow and by gradient descent."""
    point, descent = theory["point"], theory["descent"]
    sizes = f"k {point['k']}, n {point['n']}, d {point['d']}, ε {point['epsilon']:g}"
    table = new_table(
        f"L_ood, {sizes}, θ_k {point['angle']['median']:.0f}°: median of {point['worlds']:,} worlds [10 %, 90 %]",
        "over FT: each world's L_ood over that of FT in the same world",
    )
    for head in ("", "gradient flow", "over FT", "gradient descent"):
        table.add_column(head, justify="right" if head else "left", overflow="fold")
    for method, name in NAMES.items():
        ratio = spread(point["ratio"][method]) if method in point["ratio"] else "1"
        table.add_row(name, spread(point["ood"][method]), ratio, spread(descent["ood"][method]))
    return table


def sweep_table(axis: str, points: list[dict[str, Any]]) -> Table:
    """Medians along one axis."""
    name = AXIS_NAMES[axis]
    table = new_table(
        f"L_ood against {name}, medians", "bound: worlds where it is above 0; violated: worlds where FT falls below it"
    )
    for head in (name, *NAMES.values(), "LP/FT", "LP-FT/FT", "bound", "violated"):
        table.add_column(head, justify="right", overflow="fold")
    for point in points:
        figures = [point["ood"][method]["median"] for method in NAMES]
        ratios = [ratio and ratio["median"] for ratio in map(point["ratio"].get, ("lp", "lpft"))]
        bound = point["bound"]
        counts = (f"{bound['positive']:,} of {point['worlds']:,}", f"{bound['violated']:,}")
        table.add_row(f"{point['value']:.3g}", *map(number, (*figures, *ratios)), *counts)
    return table


def claims_table(claims: list[dict[str, Any]]) -> Table:
    """What the papers claim, and what was seen."""
    table = new_table("Claims")
    for head in ("claim", "holds", "value", "that is"):
        table.add_column(head, justify="right" if head == "value" else "left", overflow="fold")
    for one in claims:
        value = f"{one['value']:,}" if isinstance(one["value"], int) else f"{one['value']:.2g}"
        table.add_row(text(one["claim"]), "yes" if one["holds"] else "NO", value, text(one["seen"]))
    return table


def spread(cell: dict[str, float] | None) -> str:
    return f"{cell['median']:.2g} [{cell['q10']:.2g}, {cell['q90']:.2g}]" if cell else NOTHING


def number(value: float | None) -> str:
    """Two digits; a dash for what has no value."""
    return NOTHING if value is None else f"{value:.2g}"


def theory_panels(theory: dict[str, Any]) -> list[Panel]:
    """One pair of axes per sweep: the median over worlds, and the band that 80 % of them lie in."""
    return [
        Panel(
            title=f"by {AXIS_NAMES[axis]}",
            curves=[curve("LP/FT", "lp", sweep["points"]), curve("LP-FT/FT", "lpft", sweep["points"])],
            x=AXIS_NAMES[axis],
            y="L_ood over that of FT",
            log_x=axis in LOG_X,
            log_y=True,
        )
        for axis, sweep in theory["sweeps"].items()
    ]


def curve(label: str, method: str, points: list[dict[str, Any]]) -> Curve:
    """The median over worlds of L_ood over FT's at every point of a sweep, and the band that 80 % of them lie in."""
    ratios = [point["ratio"][method] or NO_RATIO for point in points]
    return Curve(
        label,
        [point["value"] for point in points],
        [one["median"] for one in ratios],
        low=[one["q10"] for one in ratios],
        high=[one["q90"] for one in ratios],
    )
