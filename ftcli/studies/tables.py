"""A study as tables for a person: benchmarks with their rows and differences, ranks, cells that failed, verdicts."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from msgspec import UNSET
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ftcli.console.answer import Answer, show_parts
from ftcli.console.cells import (
    BETWEEN,
    Layout,
    first_fitting,
    interval,
    interval_of,
    name_intervals,
    percent,
    set_name,
    text,
)
from ftcli.console.overall import duration
from ftcli.console.streams import Console
from ftcli.measures.types import Figures, FiguresBySet, MeanAccuracy
from ftcli.studies.added_tables.registry import shown_tables
from ftcli.studies.cells import Planned
from ftcli.studies.time import CellWork
from ftcli.studies.types import Benchmark, CellState, MethodDifference, Rank, StudyReport

ALPHA = 0.05
DIFFERENCE_HEADS = (["", "points", "interval", "p", "p Holm"], ["", "points, interval", "p", "p Holm"])
Entry = Figures | MeanAccuracy


def study_answer(report: StudyReport, folder: Path) -> Answer:
    """A study; a person sees its tables and where it is. Failed where a cell has failed."""

    def show(out: Console) -> None:
        show_parts(out, tables(report, out.width))
        for name, benchmark in report.benchmarks.items():
            if benchmark.verdict is not UNSET:
                where = f"{name}: " if len(report.benchmarks) > 1 else ""
                found = benchmark.verdict
                out.print(text(f"{where}best model, of {found.method}: {folder / found.folder}"), soft_wrap=True)
        out.print(text(f"saved in {folder}"), soft_wrap=True)

    code = 1 if any(cell.state == "failed" for cell in report.cells) else 0
    return Answer(report, show, report, exit_code=code)


def tables(report: StudyReport, width: int) -> list[RenderableType]:
    """Everything that is shown of a study, in order, for a terminal of `width` characters."""
    shown: list[RenderableType] = []
    for name, benchmark in report.benchmarks.items():
        if benchmark.methods:
            shown += benchmark_tables(name, benchmark, width)
        elif benchmark.not_here is not UNSET:
            shown.append(text(f"{name}: not here: {benchmark.not_here}"))
    if report.ranks:
        shown.append(rank_table(report.ranks))
    if report.tables is not UNSET:
        shown += shown_tables(report.tables, width)
    if failed := [cell for cell in report.cells if cell.state == "failed"]:
        shown += failed_cells(failed)
    shown += [text(f"note: {note}") for note in report.notes]
    several = len(report.benchmarks) > 1
    for name, benchmark in report.benchmarks.items():
        if benchmark.verdict is not UNSET:
            shown.append(text(f"{name}: {benchmark.verdict.text}" if several else benchmark.verdict.text, style="bold"))
    return shown


def benchmark_tables(name: str, benchmark: Benchmark, width: int) -> list[RenderableType]:
    """The accuracies of a benchmark, and below them the differences."""
    return [
        *accuracy_tables(name, benchmark, width),
        *([difference_table(benchmark.differences, width)] if benchmark.differences else []),
    ]


def entries(results: FiguresBySet) -> dict[str, Entry]:
    """Figures by the name of their set, the mean over the OOD sets last."""
    return results.by_set() | ({"ood_mean": results.ood_mean} if results.ood_mean else {})


def accuracy_tables(name: str, benchmark: Benchmark, width: int) -> list[Table]:
    """A row per method, and one per choice of a method that compares several; the best of each set in bold. Sets that
    `width` has no room for are in tables of their own.
    """
    rows: dict[str, dict[str, Entry]] = {}
    for method in benchmark.methods:
        rows[method.method] = entries(method.results)
        if method.choices is not UNSET:
            rows |= {f"  {choice}": entries(results) for choice, results in method.choices.items()}
    sets = list(dict.fromkeys(one for row in rows.values() for one in row))
    best = {one: max(row[one].accuracy for row in rows.values() if one in row) for one in sets}
    seeds = {len(method.seeds) for method in benchmark.methods}
    kinds = {pair[0] for row in rows.values() for entry in row.values() if (pair := interval_of(entry))}
    published = published_cells(benchmark)

    def layouts() -> "list[Layout]":
        found = []
        for between in BETWEEN:
            lines = []
            for method, row in rows.items():
                lines.append([text(method), *(cell(row.get(one), best[one], between) for one in sets)])
                if method in published:
                    lines.append([text("  paper"), *(text(published[method].get(one, "")) for one in sets)])
            found.append(Layout(["", *map(set_name, sets)], lines))
        return found

    title = f"{name}: accuracy in per cent, {counts(seeds)}"
    caption = f"[low, high]: {name_intervals(kinds)}" if kinds else ""
    return first_fitting(iter(layouts()), width).tables(width, title, caption)


def counts(seeds: set[int]) -> str:
    low, high = min(seeds), max(seeds)
    return f"{low} {'seed' if low == 1 else 'seeds'}" if low == high else f"{low} to {high} seeds"


def published_cells(benchmark: Benchmark) -> dict[str, dict[str, str]]:
    """What a paper states for a method, by method and set."""
    found: dict[str, dict[str, str]] = {}
    for method in benchmark.methods:
        for figure in [] if method.published is UNSET else method.published:
            if figure.choice is UNSET:
                spread = "" if figure.plus_minus is UNSET else f" ± {percent(figure.plus_minus)}"
                found.setdefault(method.method, {})[figure.set] = f"{percent(figure.accuracy)}{spread}"
    return found


def cell(entry: Entry | None, best: float, between: str) -> Text:
    if entry is None:
        return text("-")
    pair = interval_of(entry)
    words = percent(entry.accuracy) + (between + interval(pair[1]) if pair else "")
    return Text(words, style="bold" if entry.accuracy == best else "")


def difference_table(differences: Sequence[MethodDifference], width: int) -> Table:
    """The sets of each pair below its name; the interval in a column of its own where `width` has room for it."""
    layouts = (Layout(heads, difference_rows(differences, heads)) for heads in DIFFERENCE_HEADS)
    caption = (
        "95 % interval and p: seeds and examples both as chance; p Holm: corrected over all pairs and sets; "
        f"* where p Holm < {ALPHA}"
    )
    return first_fitting(layouts, width).table(
        "Differences of accuracy, in percentage points, the first minus the second", caption
    )


def difference_rows(differences: Sequence[MethodDifference], heads: Sequence[str]) -> list[list[Text]]:
    rows = []
    for pair, sets in groupby(differences, key=lambda one: f"{one.first} - {one.second}"):
        rows.append([text(pair, "bold"), *[Text()] * (len(heads) - 1)])
        for one in sets:
            star = "*" if one.p_holm is not UNSET and one.p_holm < ALPHA else ""
            figures = [f"{100 * one.difference:+z.1f}{star}", "-" if one.interval is UNSET else interval(one.interval)]
            found = figures if "interval" in heads else ["\n".join(figures)]
            rows.append([text(f"  {set_name(one.set)}"), *map(Text, [*found, p_value(one.p), p_value(one.p_holm)])])
    return rows


def p_value(p: object) -> str:
    if not isinstance(p, float | int):
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def rank_table(ranks: Sequence[Rank]) -> Table:
    rows = [
        [text(one.method), text("-" if one.rank is UNSET else f"{one.rank:.2f}"), text(str(one.benchmarks))]
        for one in ranks
    ]
    caption = "-: not measured on every benchmark, so without a rank" if any(one.rank is UNSET for one in ranks) else ""
    return Layout(["", "mean rank", "benchmarks"], rows).table("Mean rank over the benchmarks, 1 is the best", caption)


def failed_cells(failed: Sequence[CellState]) -> list[Text]:
    """Each cell, what went wrong, and its command, one below the other: all of them may be long."""
    shown = [text("Cells that failed; typing the study again repeats them", style="bold")]
    for one in failed:
        words = f"{one.folder}: {one.problem}" if one.problem else one.folder
        shown.append(Text.assemble(text(words, style="bold"), "\n", text(f"  {one.line}")))
    return [*shown, Text()]


def dry_run_tables(
    planned: Sequence[Planned], left: Sequence[Planned], work: Mapping[str, CellWork]
) -> list[RenderableType]:
    """The cells of a study, and how long each takes."""
    rows = []
    for one in planned:
        mine = work.get(one.cell.name)
        if one not in left or mine is None:
            state = "finished"
        else:
            state = f"about {duration(mine.seconds)}" if mine.measured else "not measured"
        rows.append([text(one.cell.name), text(str(mine.epochs) if mine and mine.epochs else "-"), text(state)])
    return [Layout(["cell", "epochs", "time"], rows).table("Cells", "", left=("cell",))]
