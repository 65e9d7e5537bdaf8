"""The answer of a study: every benchmark with its rows, their differences, the verdict; ranks over benchmarks."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from msgspec import UNSET

from ftcli import __version__
from ftcli.console.cells import percent
from ftcli.engine.types import Timing
from ftcli.log import Log
from ftcli.processes import command_line
from ftcli.records import decoded
from ftcli.report.types import Report, ReportWarning
from ftcli.safe_text import redacted_spec
from ftcli.studies.added_tables.material import Material
from ftcli.studies.added_tables.registry import make_tables
from ftcli.studies.cells import Cell
from ftcli.studies.differences import accuracy, contender, deciding_set, differences_of, verdict_of
from ftcli.studies.joining import FinishedCell, MethodRow, comparisons_of, result_of
from ftcli.studies.selection.among_values import without_values
from ftcli.studies.types import SCHEMA, Benchmark, CellState, Rank, StudyReport

# Warnings of a cell that say nothing of its figures.
NO_FIGURE = ("unused-option", "cache-damaged", "cache-unusable", "tracker-failed", "no-lock", "no-pictures")


def summarize(
    cells: Sequence[Cell], study: Path, options: Mapping[str, Any], failed: Mapping[str, str],
    not_here: Mapping[str, str], log: Log, seconds: float, checkpoints: Sequence[str] = (),
) -> StudyReport:  # fmt: skip
    """The report of a study from the reports of its cells. failed: what each failed cell said, by name; not_here: why
    the data of a benchmark cannot be used; checkpoints: what they are called, in the order typed.
    """
    comparisons = comparisons_of(cells, study, options.get("rule") or "best")
    notes: list[str] = []
    benchmarks = {name: benchmark_of(name, one.rows, notes) for name, one in comparisons.items()}
    benchmarks |= {name: Benchmark(methods=[], differences=[], not_here=why) for name, why in not_here.items()}
    ranks = ranks_of({name: one.rows for name, one in comparisons.items()}, notes)
    tables = options.get("tables")
    material = Material(cells, comparisons, not_here, checkpoints)
    return StudyReport(
        schema=SCHEMA, version=__version__, created=datetime.now(UTC).isoformat(timespec="seconds"),
        argv=[redacted_spec(word) for word in command_line.get()], config=dict(options), benchmarks=benchmarks,
        ranks=ranks, tables=make_tables(tables, material) if tables else UNSET,
        cells=[state_of(cell, study, failed) for cell in cells],
        notes=list(dict.fromkeys(notes)), timing=Timing(round(seconds, 3)),
        warnings=[decoded(warning, ReportWarning) for warning in log.warnings],
    )  # fmt: skip


def reports_of(cells: Sequence[Cell], study: Path) -> dict[str, dict[str, Report]]:
    """The report of the best seed's cell, by comparison and method."""
    return {
        name: {row.method: row.best.report for row in one.rows} for name, one in comparisons_of(cells, study).items()
    }


def benchmark_of(name: str, rows: Sequence[MethodRow], notes: list[str]) -> Benchmark:
    """A benchmark's part; `notes` gets what limits the comparison of its rows."""
    notes += notes_on(name, rows)
    picked = [row for row in rows if row.picked]
    return Benchmark(
        methods=[result_of(row) for row in rows], differences=differences_of(picked),
        verdict=verdict_of(picked) if picked else UNSET,
    )  # fmt: skip


def notes_on(name: str, rows: Sequence[MethodRow]) -> list[str]:
    """Notes on rows with other seeds or other sets, on sets whose examples differ, and what the cells warned of."""
    notes = []
    seeds = {tuple(one.cell.seed for one in row.picks) for row in rows if row.draws_numbers}
    if len(seeds) > 1:
        notes.append(f"{name}: the methods have different seeds, as some cells are not finished or were added")
    for of_set in dict.fromkeys(one for row in rows for pick in row.picks for one in pick.data):
        if len({pick.data.get(of_set) for row in rows for pick in row.picks if of_set in pick.data}) > 1:
            notes.append(f"{name}, {of_set}: the cells saw different examples or classes, so they compare only roughly")
    if len({pick.report.model.sha256 for row in rows for pick in row.picks}) > 1:
        notes.append(f"{name}: the cells began with different weights, so they compare only roughly")
    for row in rows:
        if len({pick.rates or tuple(pick.report.config.get("lr") or ()) for pick in row.picks}) > 1:
            notes.append(
                f"{name}: {row.method} has other learning rates in some seeds, as some cells are not finished or were "
                "added; type all rates and all seeds in one command"
            )
        by_seed = [pick.data.keys() for pick in row.picks]
        every = dict.fromkeys(of_set for sets in by_seed for of_set in sets)
        for of_set in (one for one in every if not all(one in sets for sets in by_seed)):
            notes.append(f"{name}, {of_set}: {row.method} is not measured on it with every seed, so it is left out")
    for of_set in dict.fromkeys(one for row in rows for pick in row.picks for one in unlabelled_of(pick)):
        notes.append(f"{name}, {of_set}: no labels, so no accuracy; its predictions are in the folders of the runs")
    if len({frozenset(row.picks[0].results.ood) for row in rows}) > 1:
        each = ", ".join(f"{row.method} {len(row.picks[0].results.ood)}" for row in rows)
        notes.append(f"{name}: the OOD means are over different sets and do not compare; sets of each: {each}")
    for row in (one for one in rows if one.picked and not one.usual):
        usual = next(one for one in rows if one.usual and without_values(one.method) == without_values(row.method))
        notes.append(
            f"{name}: {row.method} is picked by the one-standard-error rule, ID-val {percent(row.rival.accuracy)}; the "
            f"usual rule picks {usual.method}, ID-val {percent(usual.rival.accuracy)}"
        )
    return notes + warnings_of(name, rows)


def unlabelled_of(pick: FinishedCell) -> list[str]:
    """The sets without labels that a pick was measured on."""
    return [] if pick.results.unlabelled is UNSET else list(pick.results.unlabelled)


def warnings_of(name: str, rows: Sequence[MethodRow]) -> list[str]:
    """What the picked cells of the rows warned of, each warning once with those whose it is."""
    said: dict[str, dict[str, list[str]]] = {}  # by text, then method: the seeds
    for row in rows:
        for pick in row.picks:
            for words in warned(pick):
                seeds = said.setdefault(words, {}).setdefault(row.method, [])
                seeds += [str(pick.cell.seed)] * (str(pick.cell.seed) not in seeds)
    whose = {words: ", ".join(of_seeds(method, seeds) for method, seeds in by.items()) for words, by in said.items()}
    return [f"{name}, {whose[words]}: {words}" for words in said]


def warned(pick: FinishedCell) -> list[str]:
    """What a cell warned of that its figures may suffer from; of a grid split over cells, where in it the pick is."""
    left_out = NO_FIGURE + ("edge-of-grid",) * bool(pick.rates)
    found = [
        one.text.removeprefix(f"seed {pick.cell.seed}: ") for one in pick.report.warnings if one.code not in left_out
    ]
    if pick.rates and pick.selected.edge_of_grid:
        side = "lowest" if pick.selected.lr == min(pick.rates) else "highest"
        found.append(
            f"the picked rate {pick.selected.lr:g} is the {side} of the grid, which is split over cells; widen it"
        )
    return found


def of_seeds(method: str, seeds: Sequence[str]) -> str:
    return f"{method} (seed{'s' * (len(seeds) > 1)} {', '.join(seeds)})"


def state_of(cell: Cell, study: Path, failed: Mapping[str, str]) -> CellState:
    """A cell as study.json has it."""
    state: Any = "finished" if cell.is_finished(study) else "unfinished" if cell.is_begun(study) else "not begun"
    if cell.name in failed:
        state = "failed"
    return CellState(
        folder=cell.name, line=cell.line_in(study), benchmark=cell.comparison, method=cell.method, seed=cell.seed,
        state=state, problem=failed.get(cell.name, UNSET),
    )  # fmt: skip


def ranks_of(rows: Mapping[str, Sequence[MethodRow]], notes: list[str]) -> list[Rank]:
    """The methods with their mean ranks over the benchmarks, best first, then those that not every benchmark has; empty
    where fewer than two benchmarks or methods can be ranked. rows: by benchmark. `notes` gets what is left out.
    """
    picked = {name: [row for row in found if row.picked] for name, found in rows.items() if found}
    if len(picked) < 2 or max(map(len, picked.values())) < 2:
        return []
    by_benchmark = {}
    for name, found in picked.items():
        decides = deciding_set(found)
        if len({contender(row, decides).data for row in found}) > 1:
            notes.append(f"{name}: left out of the ranks, as its methods were not all measured on the same data")
        elif len(found) == 1:
            notes.append(f"{name}: left out of the ranks, as it has results of {found[0].method} alone")
        else:
            known = {without_values(row.method): accuracy(row, decides) for row in found}
            by_benchmark[name] = {method: mine for method, mine in known.items() if mine is not None}
    having = Counter(method for of_benchmark in by_benchmark.values() for method in of_benchmark)
    complete = [method for method, count in having.items() if count == len(by_benchmark)]
    if len(by_benchmark) < 2 or len(complete) < 2:
        notes.append("no mean ranks: fewer than two methods have results on the same data in two benchmarks or more")
        return []
    places = [places_of({one: of_benchmark[one] for one in complete}) for of_benchmark in by_benchmark.values()]
    names = names_over([row for name in by_benchmark for row in picked[name]])
    ranks = [
        Rank(method=names[one], benchmarks=having[one], rank=fmean(place[one] for place in places)) for one in complete
    ]
    others = [Rank(method=names[one], benchmarks=count) for one, count in having.items() if one not in complete]
    return [
        *sorted(ranks, key=lambda one: (one.rank, one.method)),
        *sorted(others, key=lambda one: (-one.benchmarks, one.method)),
    ]


def places_of(accuracies: Mapping[str, float]) -> dict[str, float]:
    """The rank of each by its accuracy, 1 the highest; of equal ones the mean of their ranks."""
    known = {name: round(value, 12) for name, value in accuracies.items()}  # sums in another order are equal
    return {
        name: sum(other > mine for other in known.values()) + (sum(other == mine for other in known.values()) + 1) / 2
        for name, mine in known.items()
    }


def names_over(rows: Sequence[MethodRow]) -> dict[str, str]:
    """What the methods are called over several benchmarks: as their rows are, without the values of --set where not the
    same are picked in each.
    """
    labels: dict[str, set[str]] = {}
    for row in rows:
        labels.setdefault(without_values(row.method), set()).add(row.method)
    return {method: next(iter(found)) if len(found) == 1 else method for method, found in labels.items()}
