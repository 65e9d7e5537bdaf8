"""A report as tables for a person: the run stage by stage, the picks, the grid, the seeds."""

from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ftcli.commands import COMMANDS, named
from ftcli.console.answer import Answer, show_parts
from ftcli.console.cells import (
    GAP,
    METHOD_NAMES,
    SET_NAMES,
    interval,
    interval_of,
    name_intervals,
    new_table,
    percent,
    table_width,
    text,
)  # fmt: skip
from ftcli.console.streams import Console
from ftcli.report.adaptation import adaptation_table
from ftcli.report.choices import choice_tables
from ftcli.report.classes import class_tables
from ftcli.report.models import models_table

NOTHING = {"adapt": "nothing was picked, and nothing is saved but the report and the predictions"}
GRID_ROWS = 12  # a longer grid is shown around its picks


def report_answer(report: Any, folder: Path | None = None) -> Answer:
    """A report; for a person its tables, and below them where it was put."""

    def show(out: Console) -> None:
        show_parts(out, tables(report, out.width))
        if folder:
            out.print(text(f"saved in {folder}"), soft_wrap=True)

    return Answer(report, show)


def tables(report: dict[str, Any], width: int) -> list[RenderableType]:
    """Everything that is shown of a report, in order, for a terminal of `width` characters."""
    own_tables = COMMANDS[report["command"]].tables
    if own_tables:
        models: list[RenderableType] = [models_table(report["models"])] if "models" in report else []
        shown = models + named(own_tables)(report, width)
    else:
        shown = run_tables(report, width)
    return shown + [text(f"warning: {warning['text']}", style="yellow") for warning in report["warnings"]]


def run_tables(report: dict[str, Any], width: int) -> list[RenderableType]:
    """Of a command that gives the figures of one model, or of several stages or choices."""
    parts: list[RenderableType] = [run_table(report, width)]
    if "choices" in report:
        parts += choice_tables(report, width) if report["selected"] else [adaptation_table(report, width)]
    parts.append(text(picks_line(report)))
    if len(report.get("seeds") or []) > 1:
        parts.append(seeds_table(report, width))
    if any("C" in run or "lr" in run for run in picked_runs(report)):
        parts.append(grid_table(report))
    if "oracle" in report:
        parts.append(oracle_table(report["oracle"]))
    for name, row in COMMANDS.items():
        if row.measure and name in report:
            parts += named(row.tables)(report, width)
    return parts + class_tables(report["results"], width)


def stages(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The rows of the run's table: each choice or stage with its results, or the one method."""
    before = {"before": report["before"]} if "before" in report else {}
    if "choices" in report:
        probed = {METHOD_NAMES["probe"]: report["stages"]["probe"]["results"]} if "stages" in report else {}
        choices = {choice: one["results"] for choice, one in report["choices"].items() if one["results"]}
        return before | probed | choices
    if "stages" not in report:
        return {METHOD_NAMES[report["command"]]: report["results"]}
    last = list(report["stages"])[-1]
    names = {stage: METHOD_NAMES[report["command"] if stage == last else stage] for stage in report["stages"]}
    return {names[stage]: content["results"] for stage, content in report["stages"].items()}


def entries(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Figures by the name of their set, in the order of the columns."""
    flat = {"id_val": results.get("id_val"), "id_test": results.get("id_test"), **results["ood"]}
    flat["ood_mean"] = results.get("ood_mean")
    return {SET_NAMES.get(name, name): entry for name, entry in flat.items() if entry}


def run_table(report: dict[str, Any], width: int) -> Table:
    """Accuracy by stage and set. The first form that fits: sets as columns, their cells on one line or on two, else
    sets as rows.
    """
    by_stage = {stage: entries(results) for stage, results in stages(report).items()}
    sets = list(next(iter(by_stage.values())))
    kinds = {found[0] for row in by_stage.values() for entry in row.values() if (found := interval_of(entry))}
    table = new_table("Accuracy in per cent", f"[low, high]: {name_intervals(kinds)}" if kinds else "")
    for turned, between in ((False, " "), (False, "\n"), (True, " "), (True, "\n")):
        heads, names = (list(by_stage), sets) if turned else (sets, list(by_stage))
        rows = [
            [
                text(name),
                *(cell(by_stage[head if turned else name][name if turned else head], between) for head in heads),
            ]
            for name in names
        ]
        if table_width(heads, rows) <= width:
            break
    table.add_column("", overflow="fold")
    for head in heads:
        table.add_column(text(head), justify="right", overflow="fold")
    for name, row in zip(names, rows, strict=True):
        table.add_row(text(name), *row[1:])
    return table


def cell(entry: dict[str, Any], between: str) -> Text:
    """An accuracy and its interval, on one line or two."""
    found = interval_of(entry)
    return Text.assemble((percent(entry["accuracy"]), "bold"), f"{between}{interval(found[1])}" if found else "")


def picks_line(report: dict[str, Any]) -> str:
    """What was picked, in words."""
    parts = []
    stages = report.get("stages") or {report["command"]: {"selected": report["selected"]}}
    for stage, content in stages.items():
        selected = content["selected"]
        if selected:
            parts.append(f"{stage}: {picked(selected)}")
    return "picked on ID-val: " + "; ".join(parts) if parts else NOTHING.get(report["command"], "nothing was trained")


def picked(selected: dict[str, Any]) -> str:
    """One pick: which choice, at which C or rate and epoch, of which seed."""
    choice = [selected["choice"]] if "choice" in selected else []
    if selected["C"]:
        return ", ".join([*choice, f"C = {selected['C']:.3g}", f"seed {selected['seed']}"])
    if selected["lr"] is None:
        return ", ".join([*choice, "as it is"])
    return ", ".join([*choice, f"lr {selected['lr']:g}", f"epoch {selected['epoch']}", f"seed {selected['seed']}"])


def seeds_table(report: dict[str, Any], width: int) -> Table:
    """The pick of every seed and what it reaches on every set; a seed is a row, or a column where rows are too wide."""
    heads = ["seed", "lr", "epoch", *entries(report["seeds"][0]["results"])]
    lines = [[str(cell) for cell in seed_line(one)] for one in report["seeds"]]
    if sum(max(map(len, column)) + GAP for column in zip(heads, *lines, strict=True)) > width:
        heads, *lines = (list(column) for column in zip(heads, *lines, strict=True))
    table = new_table("Accuracy in per cent, by seed")
    for head in heads:
        table.add_column(text(head), justify="right", overflow="fold")
    for line in lines:
        table.add_row(*map(text, line))
    return table


def seed_line(one: dict[str, Any]) -> list[Any]:
    """Seed, rate, epoch, and the accuracy on every set."""
    selected = one["selected"]
    rate = "-" if selected["lr"] is None else f"{selected['lr']:g}"
    accuracies = [percent(entry["accuracy"]) for entry in entries(one["results"]).values()]
    return [selected["seed"], rate, "-" if selected["epoch"] is None else selected["epoch"], *accuracies]


def grid_table(report: dict[str, Any]) -> Table:
    """ID-val over the grid: one row per rate (or C), one column per seed; the pick of each seed is starred."""
    runs = picked_runs(report)
    choice = runs[0].get("choice")
    axis = "C" if "C" in runs[0] else "lr"
    seeds = sorted({run["seed"] for run in runs})
    values = sorted({run[axis] for run in runs})
    picked = {(one["selected"]["seed"], one["selected"][axis]) for one in report.get("seeds") or [report]}
    shown = around(values, [values.index(value) for _, value in picked])
    caption = "* the seed's pick" + (
        "" if len(shown) == len(values) else f"; {len(shown)} of {len(values)} values shown"
    )
    table = new_table("ID-val accuracy in per cent, over the grid" + (f" of {choice}" if choice else ""), caption)
    table.add_column(axis, justify="right")
    for seed in seeds:
        table.add_column(f"seed {seed}", justify="right")
    by_key = {(run["seed"], run[axis]): run for run in runs}
    for value in shown:
        cells = []
        for seed in seeds:
            run = by_key[seed, value]
            star = "*" if (seed, value) in picked else " "
            cells.append("diverged" if run["diverged"] else percent(run["id_val"]["accuracy"]) + star)
        table.add_row(f"{value:.3g}", *cells)
    return table


def picked_runs(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs of the choice that was picked; all of them where there was nothing to choose."""
    choice = (report["selected"] or {}).get("choice")
    return [run for run in report["runs"] if run.get("choice") == choice]


def oracle_table(picks: dict[str, Any]) -> Table:
    """What selection on OOD sets would have picked, which no user can do."""
    table = new_table(
        "Oracle: picked on OOD data, in per cent", "not a result: these picks have seen what they are judged by"
    )
    chosen = any("choice" in pick for pick in picks.values())
    table.add_column("picked on", overflow="fold")
    for head in ("accuracy there", "ID-val", *(["choice"] if chosen else []), "lr", "epoch", "seed"):
        table.add_column(head, justify="right", overflow="fold")
    for name, pick in picks.items():
        figures = [percent(pick["accuracy"]), percent(pick["id_val"]["accuracy"])]
        choice = [text(pick["choice"])] if chosen else []
        rest = ["-" if pick["lr"] is None else f"{pick['lr']:g}", str(pick["epoch"]), str(pick["seed"])]
        table.add_row(text(SET_NAMES.get(name, name)), *figures, *choice, *rest)
    return table


def around(values: list[float], picks: list[int]) -> list[float]:
    """At most GRID_ROWS values: all of them, or those nearest to the picks."""
    near = sorted(range(len(values)), key=lambda i: (min(abs(i - pick) for pick in picks), i))[:GRID_ROWS]
    return [values[i] for i in sorted(near)]
