"""A report as tables for a person: the run stage by stage, the picks, the grid, the seeds."""

from collections.abc import Iterator
from pathlib import Path

from msgspec import UNSET
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ftcli.averages.types import Average, Averages
from ftcli.commands import COMMANDS, called, import_named, title_of
from ftcli.console.answer import Answer, show_parts
from ftcli.console.cells import (
    BETWEEN,
    Layout,
    first_fitting,
    interval,
    interval_of,
    name_intervals,
    new_table,
    percent,
    set_name,
    text,
)
from ftcli.console.streams import Console
from ftcli.engine.types import OraclePick, RunRecord, Selected
from ftcli.measures.types import Figures, FiguresBySet, MeanAccuracy
from ftcli.report.adaptation_tables import adaptation_table
from ftcli.report.budget.lines import budget_lines
from ftcli.report.choice_tables import choice_tables
from ftcli.report.class_tables import class_tables, group_tables
from ftcli.report.heads.table import heads_table
from ftcli.report.low_rank.line import low_rank_line
from ftcli.report.model_tables import models_table
from ftcli.report.types import Published, Report, SeedResult
from ftcli.safe_text import counted

Entry = Figures | MeanAccuracy | None  # None: a set without labels
NOTHING = {"adapt": "nothing was picked, and nothing is saved but the report and the predictions"}
GRID_ROWS = 12  # a longer grid is shown around its picks


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


def stages(report: Report) -> dict[str, FiguresBySet]:
    """The rows of the run's table: each choice or stage with its results, or the one method."""
    others = other_rows(report)
    before = {} if report.before is UNSET else {"before": report.before}
    earlier = {} if report.stages is UNSET else report.stages
    if report.choices is not UNSET:
        probed = {COMMANDS["probe"].title: earlier["probe"].results} if earlier else {}
        choices = {name: choice.results for name, choice in report.choices.items() if choice.results}
        return before | probed | choices
    if not earlier:
        return {title_of(report.command, report.config): results_of_pick(report)} | others
    last = list(earlier)[-1]
    rows = {COMMANDS[report.command if name == last else name].title: stage.results for name, stage in earlier.items()}
    return rows | others


def other_rows(report: Report) -> dict[str, FiguresBySet]:
    """The probe at the C of the usual rule, where another C is picked, and the average that is saved."""
    rows: dict[str, FiguresBySet] = {}
    if report.usual_pick is not UNSET and report.selected:
        probed = report.selected if report.stages is UNSET else report.stages["probe"].selected
        if probed.C != report.usual_pick.selected.C:
            rows[f"{COMMANDS['probe'].title}, usual C"] = report.usual_pick.results
    if report.selected and report.selected.average is not UNSET:
        rows[f"{report.selected.average}, saved"] = report.results
    return rows


def results_of_pick(report: Report) -> FiguresBySet:
    """The results of the picks, whatever is saved in their place."""
    saved = report.selected is not None and report.selected.average is not UNSET
    return report.averages.pick.results if saved and report.averages is not UNSET else report.results


def entries(results: FiguresBySet) -> dict[str, Entry]:
    """Figures by the name of their set, in the order of the columns; sets without labels have none."""
    entries: dict[str, Entry] = {set_name(name): figures for name, figures in results.by_set().items()}
    entries |= {set_name(name): None for name in results.without_labels()}
    return entries | ({set_name("ood_mean"): results.ood_mean} if results.ood_mean else {})


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


def cell(entry: Entry, between: str | None) -> Text:
    """An accuracy and its interval, on one line or two, or without (None); a dash where there are no labels."""
    if entry is None:
        return Text("-")
    kind = None if between is None else interval_of(entry)
    return Text.assemble((percent(entry.accuracy), "bold"), f"{between}{interval(kind[1])}" if kind else "")


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
    captions = ["pick: selected on ID-val", "-se: the most regularised within one standard error"]
    captions += ["BatchNorm estimated anew"] if averages.statistics == "reestimated" else []
    return first_fitting(layouts, width).tables(width, "Averages of weights", "; ".join(captions), ("", "of"), kept=2)


def made_of(average: Average) -> str:
    """How strong an average is, or how many runs it has."""
    if average.strength is not UNSET:
        return f"{'λ' if average.rule == 'wise' else 'α'} = {average.strength:g}"
    members = [] if average.members is UNSET else average.members
    return f"{counted(len(members), 'run', 'runs')}{', new head' if average.new_head else ''}"


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


def accuracy_of(entry: Entry) -> str:
    return "-" if entry is None else percent(entry.accuracy)


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
