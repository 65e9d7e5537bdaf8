"""What was selected, in words and tables: the picks, the grid, the seeds, the oracle, averages of weights."""

from msgspec import UNSET
from rich.table import Table

from ftcli.averages.types import Average, Averages
from ftcli.commands import called
from ftcli.console.cells import (
    BETWEEN,
    Layout,
    first_fitting,
    new_table,
    percent,
    set_name,
    text,
)
from ftcli.engine.types import OraclePick, RunRecord, Selected
from ftcli.report.selection.results import accuracy_of, cell, entries
from ftcli.report.types import Report, SeedResult
from ftcli.safe_text import counted

NOTHING = {"adapt": "nothing was picked, and nothing is saved but the report and the predictions"}
GRID_ROWS = 12  # a longer grid is shown around its picks


def picks_line(report: Report) -> str:
    """What was picked, in words."""
    picks = {called(report.command, report.config): report.selected}
    if report.stages is not UNSET:
        picks = {name: stage.selected for name, stage in report.stages.items()}
    lines = [f"{name}: {picked(selected)}" for name, selected in picks.items() if selected]
    if report.selected and report.selected.average is not UNSET and report.stages is not UNSET:
        lines.append(f"saved in its place: the average {report.selected.average}")
    return "picked on ID-val: " + "; ".join(lines) if lines else NOTHING.get(report.command, "nothing was trained")


def picked(selected: Selected) -> str:
    """One pick: which choice, at which C or rate and epoch, of which seed."""
    words = [] if selected.choice is UNSET else [selected.choice]
    if selected.C:
        words += [f"C = {selected.C:.3g}", f"seed {selected.seed}"]
        if selected.worst_group_accuracy is not UNSET:
            words += [f"worst group {percent(selected.worst_group_accuracy)} %"]
    elif selected.lr is None:
        words += ["as it is"]
    else:
        words += [f"lr {selected.lr:g}", f"epoch {selected.epoch}", f"seed {selected.seed}"]
    words += [] if selected.rule is UNSET else ["by the one-standard-error rule"]
    saved = "" if selected.average is UNSET else f"; saved in its place: the average {selected.average}"
    return ", ".join(words) + saved


def seeds_table(seeds: list[SeedResult], width: int) -> Table:
    """The pick of every seed and what it reaches on every set; a seed is a row, or a column where rows are too wide."""
    pick = ["C"] if all(seed.selected.C for seed in seeds) else ["lr", "epoch"]
    heads = ["seed", *pick, *entries(seeds[0].results)]
    lines = [heads, *map(seed_line, seeds)]
    layouts = (
        Layout(list(first), [[*map(text, row)] for row in rest]) for first, *rest in (lines, zip(*lines, strict=True))
    )
    return first_fitting(layouts, width).table("Accuracy in per cent, by seed", left=())


def seed_line(seed: SeedResult) -> list[str]:
    """Seed, rate and epoch or C, and the accuracy on every set."""
    selected = seed.selected
    pick = [rate_of(selected), "-" if selected.epoch is None else str(selected.epoch)]
    pick = [f"{selected.C:g}"] if selected.C else pick
    return [str(selected.seed), *pick, *(accuracy_of(entry) for entry in entries(seed.results).values())]


def rate_of(pick: Selected | OraclePick) -> str:
    return "-" if pick.lr is None else f"{pick.lr:g}"


def grid_table(report: Report) -> Table:
    """ID-val over the grid: one row per rate (or C), one column per seed; the pick of each seed is starred."""
    runs = picked_runs(report)
    axis = "lr" if runs[0].C is UNSET else "C"
    by_key = {(run.seed, run[axis]): run for run in runs}
    seeds, values = sorted({run.seed for run in runs}), sorted({run[axis] for run in runs})
    selected = [report.selected] if report.seeds is UNSET else [seed.selected for seed in report.seeds]
    picks = {(pick.seed, pick[axis]) for pick in selected if pick}
    positions = [values.index(value) for _, value in picks]
    shown = around(values, positions)
    left_out = "" if len(shown) == len(values) else f"; {len(shown)} of {len(values)} values shown"
    worst = runs[0].worst_group_accuracy is not UNSET  # every value is solved finely then
    if (
        not worst
        and runs[0].duality_gap is not UNSET
        and any(abs(i - j) > 1 for i in range(len(values)) for j in positions)
    ):
        left_out += "; ID-val of other C than the pick and its neighbours may be approximate"
    left_out += "; † eliminated by --budget" if any(run.eliminated is not UNSET for run in runs) else ""
    of_choice = "" if runs[0].choice is UNSET else f" of {runs[0].choice}"
    left_out += "; on the half of ID-val that picks" if worst else ""
    of_what = "Accuracy of the worst group" if worst else "ID-val accuracy"
    table = new_table(f"{of_what} in per cent, over the grid{of_choice}", f"* the seed's pick{left_out}")
    table.add_column(axis, justify="right")
    for seed in seeds:
        table.add_column(f"seed {seed}", justify="right")
    for value in shown:
        cells = [grid_cell(by_key.get((seed, value)), picked=(seed, value) in picks) for seed in seeds]
        table.add_row(f"{value:.3g}", *cells)
    return table


def grid_cell(run: RunRecord | None, *, picked: bool) -> str:
    if run is None:
        return "not run"
    if run.diverged or run.id_val is None:
        return "diverged"
    mark = "*" if picked else " " if run.eliminated is UNSET else "†"
    shown = run.id_val.accuracy if run.worst_group_accuracy is UNSET else run.worst_group_accuracy
    return percent(shown) + mark


def picked_runs(report: Report) -> list[RunRecord]:
    """The runs of the choice that was picked; all of them where there was nothing to choose."""
    choice = report.selected.choice if report.selected else UNSET
    return [run for run in report.runs if run.choice == choice]


def oracle_table(picks: dict[str, OraclePick]) -> Table:
    """What selection on OOD sets would have picked, which no user can do."""
    heads = ["picked on", "accuracy there", "ID-val", "choice", "lr", "epoch", "seed"]
    rows = [
        [
            text(cell)
            for cell in (
                set_name(name), percent(pick.accuracy), percent(pick.id_val.accuracy), str(pick.choice), rate_of(pick),
                str(pick.epoch), str(pick.seed),
            )
        ]
        for name, pick in picks.items()
    ]  # fmt: skip
    layout = Layout(heads, rows).without(["choice"] if all(pick.choice is UNSET for pick in picks.values()) else [])
    return layout.table(
        "Oracle: picked on OOD data, in per cent",
        "not a result: selected and measured on the same data",
        left=("picked on",),
    )


def around(values: list[float], picks: list[int]) -> list[float]:
    """At most GRID_ROWS values: all of them, or those nearest to the picks."""
    near = sorted(range(len(values)), key=lambda i: (min(abs(i - pick) for pick in picks), i))[:GRID_ROWS]
    return [values[i] for i in sorted(near)]


def averages_tables(averages: Averages, width: int) -> list[Table]:
    """The pick and below it every average of weights; with intervals where `width` has room for them."""
    found = {name: average for name, average in averages.by_name.items() if average}
    rows = {("pick", ""): entries(averages.pick.results)}
    rows |= {(name, made_of(average)): entries(average.results) for name, average in found.items()}
    heads = ["", "of", *entries(averages.pick.results)]
    layouts = [
        Layout(
            heads,
            [[*map(text, names), *(cell(entry, between) for entry in row.values())] for names, row in rows.items()],
        )
        for between in (*BETWEEN, None)
    ]
    captions = ["pick: selected on ID-val"]
    captions += ["-se: the most regularised within one standard error"] * any(name.endswith("-se") for name in found)
    missing = [name for name, average in averages.by_name.items() if not average]
    captions += [f"not made, as fewer than two runs can be averaged: {', '.join(missing)}"] * bool(missing)
    captions += ["BatchNorm estimated anew"] if averages.statistics == "reestimated" else []
    return first_fitting(layouts, width).tables(width, "Averages of weights", "; ".join(captions), ("", "of"), kept=2)


def made_of(average: Average) -> str:
    """How strong an average is, or how many runs it has."""
    if average.strength is not UNSET:
        return f"{'λ' if average.rule == 'wise' else 'α'} = {average.strength:g}"
    members = [] if average.members is UNSET else average.members
    return f"{counted(len(members), 'run', 'runs')}{', new head' if average.new_head else ''}"
