"""A report as tables for a person: the run stage by stage, the picks, the grid, the seeds."""

from collections.abc import Iterator
from pathlib import Path

from msgspec import UNSET
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ftcli.commands import COMMANDS, import_named
from ftcli.console.answer import Answer, show_parts
from ftcli.console.cells import (
    BETWEEN,
    Layout,
    first_fitting,
    interval_of,
    name_intervals,
    percent,
    set_name,
    text,
)
from ftcli.console.streams import Console
from ftcli.report.adaptation_tables import adaptation_table
from ftcli.report.budget.lines import budget_lines
from ftcli.report.choice_tables import choice_tables
from ftcli.report.class_tables import class_tables, group_tables
from ftcli.report.estimates.table import estimates_table
from ftcli.report.heads.table import heads_table
from ftcli.report.low_rank.line import low_rank_line
from ftcli.report.model_tables import models_table
from ftcli.report.selection.results import Entry, cell, entries, stages
from ftcli.report.selection.tables import (
    averages_tables,
    grid_table,
    oracle_table,
    picked_runs,
    picks_line,
    seeds_table,
)
from ftcli.report.types import Published, Report


def report_answer(report: Report, folder: Path | None = None) -> Answer:
    """A report; a person sees its tables, and below them where it was saved."""

    def show(out: Console) -> None:
        show_parts(out, tables(report, out.width))
        if folder:
            out.print(text(f"saved in {folder}"), soft_wrap=True)

    return Answer(report, show, report)


def tables(report: Report, width: int) -> list[RenderableType]:
    """Everything that is shown of a report, in order, for a terminal of `width` characters."""
    shown: list[RenderableType] = [] if report.models is UNSET else [models_table(report.models)]
    shown += (import_named(COMMANDS[report.command].tables) or run_tables)(report, width)
    return shown + [text(f"warning: {warning.text}", style="yellow") for warning in report.warnings]


def run_tables(report: Report, width: int) -> list[RenderableType]:
    """Of a command that gives the figures of one model, or of several stages or choices."""
    shown: list[RenderableType] = [run_table(report, width)]
    if estimated := estimates_table(report.results, width):
        shown.append(estimated)
    if report.choices is not UNSET:
        shown += (
            choice_tables(report.choices, report.selected.choice, width)
            if report.selected
            else [adaptation_table(report.choices, report.config["method"], width)]
        )
    shown.append(text(picks_line(report)))
    shown += [] if report.lora is UNSET else [text(low_rank_line(report.lora))]
    shown += [] if report.averages is UNSET else averages_tables(report.averages, width)
    shown += [] if report.budget is UNSET else [text(line) for line in budget_lines(report.budget, report.runs)]
    if report.seeds is not UNSET and len(report.seeds) > 1:
        shown.append(seeds_table(report.seeds, width))
    if any(axis is not UNSET for run in picked_runs(report) for axis in (run.C, run.lr)):
        shown.append(grid_table(report))
    if heads := heads_table(report):
        shown.append(heads)
    if report.oracle is not UNSET:
        shown.append(oracle_table(report.oracle))
    for name, row in COMMANDS.items():
        if row.measure and name in report:
            shown += import_named(row.tables)(report, width)
    return shown + group_tables(report.results) + class_tables(report.results, width)


def run_table(report: Report, width: int) -> Table:
    """Accuracy by stage and set: sets as columns, else as rows."""
    by_stage = {name: entries(results) for name, results in stages(report).items()}
    intervals = [interval_of(entry) for row in by_stage.values() for entry in row.values() if entry]
    kinds = {kind for kind, _ in filter(None, intervals)}
    published = published_rows(report)
    captions = [f"[low, high]: {name_intervals(kinds)}"] if kinds else []
    captions += ["-: a set without labels"] if any(None in row.values() for row in by_stage.values()) else []
    captions += dict.fromkeys(f"paper: {row.source}" for row in published_of(report))
    return first_fitting(run_layouts(by_stage, published), width).table("Accuracy in per cent", "; ".join(captions))


def published_of(report: Report) -> list[Published]:
    return [] if report.published is UNSET else report.published


def published_rows(report: Report) -> dict[str, dict[str, Text]]:
    """What a paper states for a method or choice, by the name of its row and of the set."""
    rows: dict[str, dict[str, Text]] = {}
    for row in published_of(report):
        method = COMMANDS[report.command].title if row.choice is UNSET else row.choice
        spread = "" if row.plus_minus is UNSET else f" ± {percent(row.plus_minus)}"
        rows.setdefault(f"{method}, paper", {})[set_name(row.set)] = text(f"{percent(row.accuracy)}{spread}")
    return rows


def run_layouts(by_stage: dict[str, dict[str, Entry]], published: dict[str, dict[str, Text]]) -> Iterator[Layout]:
    """Sets as columns, an accuracy and its interval on one line or on two; then sets as rows."""
    sets = list(next(iter(by_stage.values())))
    for by_set in (False, True):
        for between in BETWEEN:
            lines = {stage: [cell(row[name], between) for name in sets] for stage, row in by_stage.items()}
            lines |= {stage: [row.get(name, text("")) for name in sets] for stage, row in published.items()}
            if by_set:
                columns = zip(*lines.values(), strict=True)
                yield Layout(["", *lines], [[text(name), *row] for name, row in zip(sets, columns, strict=True)])
            else:
                yield Layout(["", *sets], [[text(stage), *row] for stage, row in lines.items()])
