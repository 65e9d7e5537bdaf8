"""How a model was trained and selected, and what adapted it, as sections of a page."""

from msgspec import UNSET
from rich.table import Table

from ftcli.console.cells import set_name
from ftcli.figures.panels import Curve, LinePlot, Panel
from ftcli.report.adaptation_tables import adaptation_table
from ftcli.report.choice_tables import choice_tables
from ftcli.report.figures.learning_curves import learning_curve_panels
from ftcli.report.html.components import Figure, Paragraph, Part, Section
from ftcli.report.html.rich_tables import WIDTH, from_rich
from ftcli.report.low_rank.line import low_rank_line
from ftcli.report.selection.tables import (
    averages_tables,
    grid_table,
    oracle_table,
    picked_runs,
    picks_line,
    seeds_table,
)
from ftcli.report.types import Choice, Report

CURVES = (
    "One point per epoch, a pass over the training set. The training loss falls as the model fits its training images; "
    "accuracy on ID-val is what the epoch and the learning rate were selected by. Where accuracy on OOD sets is shown, "
    "it took no part in that."
)


def training(report: Report) -> Section:
    """The picks, the grid of runs, learning curves and seeds."""
    if report.runs is UNSET or not report.runs:
        return Section("Training and selection", [])
    parts: list[Part] = [Paragraph(f"{picks_line(report)}.")]
    if report.lora is not UNSET:
        parts.append(Paragraph(f"{low_rank_line(report.lora)}."))
    if panels := learning_curve_panels(report):
        parts.append(Figure("Learning curves", panels, CURVES))
    if any(axis is not UNSET for run in picked_runs(report) for axis in (run.C, run.lr)):
        parts.append(from_rich(grid_table(report)))
    if report.averages is not UNSET:
        parts += [from_rich(table) for table in averages_tables(report.averages, WIDTH)]
    if report.seeds is not UNSET and len(report.seeds) > 1:
        parts.append(from_rich(seeds_table(report.seeds, WIDTH)))
    if report.oracle is not UNSET:
        parts.append(from_rich(oracle_table(report.oracle)))
    introduction = (
        "Each candidate is one setting of the grid, such as a learning rate, with one seed. The candidate with the "
        "highest accuracy on ID-val was selected; ID-test and the OOD sets were measured afterwards."
    )
    return Section("Training and selection", parts, introduction)


def choices(report: Report) -> Section:
    """The choices of blocks of a surgical run, or what each choice of adaptation reached."""
    if report.choices is UNSET:
        return Section("Choices", [])
    if report.selected:
        tables = choice_tables(report.choices, report.selected.choice, WIDTH)
        words = "Each choice trains some blocks of the network and keeps the others as they were."
        return Section("Choices of blocks", [from_rich(table) for table in tables if isinstance(table, Table)], words)
    parts: list[Part] = [from_rich(adaptation_table(report.choices, report.config["method"], WIDTH))]
    if panels := adaptation_panels(report.choices):
        parts.append(
            Figure(
                "Accuracy along the stream", panels,
                "The model adapts while it predicts, without labels. Each point is the accuracy of all predictions up "
                "to there: a rising curve shows that adapting helps, a falling one that it does harm.",
            )
        )  # fmt: skip
    return Section("Test-time adaptation", parts)


def adaptation_panels(found: dict[str, Choice]) -> list[Panel]:
    """Accuracy of the first predictions by their number, a panel for each choice, a curve for each set."""
    panels: list[Panel] = []
    for name, choice in found.items():
        curves = [
            Curve(set_name(of), [point.n for point in entry.curve], [100 * point.accuracy for point in entry.curve])
            for of, entry in (choice.adaptation or {}).items()
        ]
        if curves:
            panels.append(LinePlot(name, curves, "predictions so far", "accuracy (%)"))
    return panels
