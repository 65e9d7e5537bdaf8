"""The line between two models in a report: the curve, the barrier, the averages, and what was picked."""

from collections.abc import Mapping, Sequence

from msgspec import UNSET
from rich.console import RenderableType
from rich.table import Table

from ftcli.averages.types import Statistics
from ftcli.console.cells import Layout, new_table, percent, set_name, text
from ftcli.explain.interpolation.types import Barrier, Best, Interpolation, ScaledByDepth, Soups
from ftcli.figures.panels import Curve, LinePlot, Panel
from ftcli.figures.terminal import sketch_curves
from ftcli.report.types import Report

SHORT = {"raw": "as it is", "reestimated": "estimated anew"}
ENDS = {
    "interpolated": "λ = 0 is A, λ = 1 is B",
    "a": "λ = 0 is A, λ = 1 is B under the head of A",
    "b": "λ = 0 is A under the head of B, λ = 1 is B",
    "file": "λ = 0 is A, λ = 1 is B, each under the head of --head-weights",
    "probe": "λ = 0 is A, λ = 1 is B, each point under a head fitted to its features",
}
KINDS = {"raw": "BatchNorm as it is", "reestimated": "BatchNorm estimated anew"}


def tables(report: Report, width: int) -> list[RenderableType]:
    """The curves as a drawing and as numbers, the barriers, the soups, the pick."""
    part: Interpolation = report["interpolation"]
    shown: list[RenderableType] = []
    for panel in loss_panels(part):
        shown += [sketch_curves(panel, width), text("")]
    shown += [points_table(part, kind) for kind in part.points[0].by_statistics()]
    if part.barrier:
        shown.append(barrier_table(part.barrier))
    if part.soups is not UNSET:
        shown.append(soups_table(part.soups))
    if part.scaled_by_depth is not UNSET:
        shown.append(depth_table(part.scaled_by_depth))
    saved = report.config["save_best"]
    shown.append(text("nothing is picked without an ID-val set" if part.best is UNSET else best_line(part.best, saved)))
    return shown


def points_table(part: Interpolation, kind: Statistics) -> Table:
    """Accuracy and loss of every point on every set."""
    table = new_table(f"Accuracy in per cent, loss in nats; {KINDS[kind]}", ENDS[part.head])
    table.add_column("λ", justify="right")
    for name in part.points[0].by_statistics()[kind]:
        table.add_column(text(set_name(name)), justify="right", overflow="fold")
        table.add_column("loss", justify="right")
    for point in part.points:
        sets = point.by_statistics()[kind]
        cells = [cell for worth in sets.values() for cell in (percent(worth.accuracy), loss(worth.loss))]
        table.add_row(f"{point.weight:.3g}", *cells)
    return table


def loss(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.3f}"


def barrier_table(barriers: Mapping[Statistics, Mapping[str, Barrier]]) -> Table:
    """How far the loss rises above the straight line between the ends."""
    names = [*map(set_name, next(iter(barriers.values())))]
    rows = []
    for kind, sets in barriers.items():
        cells = ["-" if rise.loss is None else f"{rise.loss:.3f} ({rise.weight:.2g})" for rise in sets.values()]
        rows.append([*map(text, (SHORT[kind], *cells))])
    title = "Barrier: largest rise of the loss over the line between its ends, in nats (at λ)"
    return Layout(["BatchNorm", *names], rows).table(title, left=("BatchNorm",))


def soups_table(soups: Mapping[Statistics, Soups]) -> Table:
    """Averages of all members, and of those that the greedy rule keeps."""
    heads = ["", "BatchNorm", "members"]
    rows = []
    for kind, of_kind in soups.items():
        for name, soup in (("uniform", of_kind.uniform), ("greedy", of_kind.greedy)):
            if soup is not UNSET:
                cells = [percent(worth.accuracy) for worth in soup.sets.values()]
                rows.append([*map(text, (name, SHORT[kind], ", ".join(soup.members), *cells))])
    names = [*map(set_name, next(iter(soups.values())).uniform.sets)]
    caption = "greedy: a member stays if ID-val accuracy does not fall"
    return Layout([*heads, *names], rows).table("Soups: accuracy in per cent", caption, left=heads)


def depth_table(scaled: Sequence[ScaledByDepth]) -> Table:
    """Accuracy at every α, by kind of statistics."""
    kinds: list[Statistics] = [kind for kind in ("raw", "reestimated") if kind in scaled[0]]
    rows = [
        [*map(text, (f"{one.alpha:.3g}", SHORT[kind], *(percent(worth.accuracy) for worth in one[kind].values())))]
        for kind in kinds
        for one in scaled
    ]
    heads = ["α", "BatchNorm", *map(set_name, scaled[0][kinds[0]])]
    caption = "block b of L goes α + (1 - α)·b/(L - 1) of the way from A to B; head of B"
    return Layout(heads, rows).table("Scaled by depth: accuracy in per cent", caption, left=("BatchNorm",))


def best_line(best: Best, saved: bool) -> str:
    """What was picked by ID-val, in words."""
    picked = best.kind if best.weight is UNSET else f"λ = {best.weight:.3g}"
    picked += "" if best.alpha is UNSET else f" at α = {best.alpha:.3g}"
    ending = ", saved" if saved else ""
    return f"best by ID-val: {picked}, {KINDS[best.statistics]}, {percent(best.id_val.accuracy)}{ending}"


def loss_panels(part: Interpolation) -> list[LinePlot]:
    """Loss against λ, a curve for each set, a panel for each kind of statistics."""
    return [panel(part, kind, "loss", 1.0, "loss (nats)") for kind in part.points[0].by_statistics()]


def panel(part: Interpolation, kind: Statistics, figure: str, scale: float, label: str) -> LinePlot:
    """One figure, times `scale`, along the line: a curve for each set."""
    weights, line = [point.weight for point in part.points], [point.by_statistics()[kind] for point in part.points]
    curves = []
    for name in line[0]:
        values = [point[name][figure] for point in line]
        curves.append(Curve(set_name(name), weights, [None if value is None else scale * value for value in values]))
    title = f"{figure.capitalize()} from A to B, {KINDS[kind]}"
    return LinePlot(title, curves, x="λ (0: A, 1: B)", y=label)


def panels(report: Report) -> list[Panel]:
    """The figure: loss, and accuracy in per cent."""
    part: Interpolation = report["interpolation"]
    kinds = part.points[0].by_statistics()
    return [*loss_panels(part), *(panel(part, kind, "accuracy", 100.0, "accuracy (%)") for kind in kinds)]
