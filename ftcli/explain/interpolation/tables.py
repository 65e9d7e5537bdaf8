"""The line between two models in a report: the curve, the barrier, the averages, and what was picked."""

from typing import Any

from rich.console import RenderableType
from rich.table import Table

from ftcli.console.cells import SET_NAMES, new_table, percent, text
from ftcli.figures.panels import Curve, LinePlot, Panel
from ftcli.figures.terminal import sketch_curves

SHORT = {"raw": "as it is", "reestimated": "estimated anew"}
ENDS = {
    "interpolated": "λ = 0 is A, λ = 1 is B",
    "a": "λ = 0 is A, λ = 1 is B under the head of A",
    "b": "λ = 0 is A under the head of B, λ = 1 is B",
    "probe": "λ = 0 is A, λ = 1 is B, each point under a head fitted to its features",
}
KINDS = {"raw": "BatchNorm as it is", "reestimated": "BatchNorm estimated anew"}


def interpolation_tables(report: dict[str, Any], width: int) -> list[RenderableType]:
    """The curves as a drawing and as numbers, the barriers, the soups, the pick."""
    found = report["interpolation"]
    parts: list[RenderableType] = []
    for panel in loss_panels(found):
        parts += [sketch_curves(panel, width), text("")]
    parts += [points_table(found, kind) for kind in kinds(found)]
    if found["barrier"]:
        parts.append(barrier_table(found["barrier"]))
    if "soups" in found:
        parts.append(soups_table(found["soups"]))
    parts.append(text(best_line(report)))
    return parts


def kinds(found: dict[str, Any]) -> list[str]:
    return [kind for kind in KINDS if kind in found["points"][0]]


def points_table(found: dict[str, Any], kind: str) -> Table:
    """Accuracy and loss of every point on every set."""
    table = new_table(f"Accuracy in per cent, loss in nats; {KINDS[kind]}", ENDS[found["head"]])
    table.add_column("λ", justify="right")
    for name in found["points"][0][kind]:
        table.add_column(text(SET_NAMES.get(name, name)), justify="right", overflow="fold")
        table.add_column("loss", justify="right")
    for point in found["points"]:
        cells = [cell for one in point[kind].values() for cell in (percent(one["accuracy"]), loss(one["loss"]))]
        table.add_row(f"{point['lambda']:.3g}", *cells)
    return table


def loss(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.3f}"


def barrier_table(barrier: dict[str, Any]) -> Table:
    """How far the loss rises above the straight line between the ends."""
    table = new_table("Barrier: largest rise of the loss over the line between its ends, in nats (at λ)")
    table.add_column("BatchNorm", overflow="fold")
    for name in next(iter(barrier.values())):
        table.add_column(text(SET_NAMES.get(name, name)), justify="right", overflow="fold")
    for kind, sets in barrier.items():
        cells = ["-" if one["loss"] is None else f"{one['loss']:.3f} ({one['lambda']:.2g})" for one in sets.values()]
        table.add_row(SHORT[kind], *cells)
    return table


def soups_table(soups: dict[str, Any]) -> Table:
    """Averages of all members, and of those that the greedy rule keeps."""
    by_kind = {kind: soups[kind] for kind in KINDS if kind in soups}
    table = new_table("Soups: accuracy in per cent", "greedy: a member stays if ID-val accuracy does not fall")
    for head in ("", "BatchNorm", "members"):
        table.add_column(head, overflow="fold")
    for name in next(iter(by_kind.values()))["uniform"]["sets"]:
        table.add_column(text(SET_NAMES.get(name, name)), justify="right", overflow="fold")
    for kind, found in by_kind.items():
        for name, soup in ((name, found[name]) for name in ("uniform", "greedy") if name in found):
            cells = [percent(one["accuracy"]) for one in soup["sets"].values()]
            table.add_row(name, SHORT[kind], text(", ".join(soup["members"])), *cells)
    return table


def best_line(report: dict[str, Any]) -> str:
    """What was picked by ID-val, in words."""
    best = report["interpolation"].get("best")
    if not best:
        return "nothing is picked without an ID-val set"
    what = f"λ = {best['lambda']:.3g}" if best["kind"] == "point" else best["kind"]
    saved = ", saved" if report["config"]["save_best"] else ""
    return f"best by ID-val: {what}, {KINDS[best['statistics']]}, {percent(best['id_val']['accuracy'])}{saved}"


def loss_panels(found: dict[str, Any]) -> list[LinePlot]:
    """Loss against λ, a curve for each set, a panel for each kind of statistics."""
    weights = [point["lambda"] for point in found["points"]]
    return [
        LinePlot(KINDS[kind], curves(found, kind, weights, "loss", 1.0), x="λ (0: A, 1: B)", y="loss (nats)")
        for kind in kinds(found)
    ]


def curves(found: dict[str, Any], kind: str, weights: list[float], figure: str, scale: float) -> list[Curve]:
    """One figure, times `scale`, along the line: a curve for each set."""
    return [
        Curve(
            SET_NAMES.get(name, name),
            weights,
            [
                None if point[kind][name][figure] is None else scale * point[kind][name][figure]
                for point in found["points"]
            ],
        )
        for name in found["points"][0][kind]
    ]


def interpolation_panels(report: dict[str, Any]) -> list[Panel]:
    """The figure: loss, and accuracy in per cent."""
    found = report["interpolation"]
    weights = [point["lambda"] for point in found["points"]]
    return [
        *loss_panels(found),
        *(
            LinePlot(KINDS[kind], curves(found, kind, weights, "accuracy", 100.0), x="λ (0: A, 1: B)", y="accuracy (%)")
            for kind in kinds(found)
        ),
    ]
