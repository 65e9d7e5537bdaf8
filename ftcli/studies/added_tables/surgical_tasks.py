"""Table `surgical-tasks`: which blocks to tune, over several tasks (Lee et al. 2022): accuracies, each relative to
tuning all blocks, and ranks.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from msgspec import UNSET
from rich.table import Table

from ftcli.console.cells import Layout, percent, set_name, text
from ftcli.errors import RequestError
from ftcli.measures.intervals import deviation
from ftcli.measures.joining import join_figures
from ftcli.measures.types import FiguresBySet
from ftcli.studies.added_tables.material import Material
from ftcli.studies.added_tables.types import SurgicalChoice, SurgicalTasksTable
from ftcli.studies.cells import Planned
from ftcli.studies.differences import OOD_MEAN, deciding_set
from ftcli.studies.joining import MethodRow, choices_of

COMMAND, REFERENCE = "surgical", "all"


def check(planned: Sequence[Planned], benchmarks: Sequence[str]) -> None:
    """Raises RequestError where nothing is tuned surgically."""
    if not any(one.cell.command == COMMAND for one in planned):
        raise RequestError(
            "--tables surgical-tasks: the study has no surgical.", "add --method 'surgical --blocks each,all'"
        )


def make(study: Material) -> SurgicalTasksTable:
    """Every choice over the tasks, the best mean rank first."""
    sets, tasks = {}, {}
    for name, comparison in study.comparisons.items():
        mine = [row for row in comparison.rows if row.best.cell.command == COMMAND and row.picked]
        if mine:
            sets[name] = deciding_set(mine)
            tasks[name] = accuracies_of(mine, sets[name])
    ranks = ranks_of(list(tasks.values()))
    names = dict.fromkeys(choice for task in tasks.values() for choice in task)
    choices = [choice_of(choice, tasks, ranks.get(choice)) for choice in names]
    return SurgicalTasksTable(sets, sorted(choices, key=lambda one: one.rank or math.inf))


def accuracies_of(rows: Sequence[MethodRow], of_set: str) -> dict[str, float]:
    """The accuracy of every choice on a set, the mean over seeds; of a choice in two rows that of the first."""
    found: dict[str, float] = {}
    for row in rows:
        for choice, results in results_of(row).items():
            entry = results.ood_mean if of_set == OOD_MEAN else results.by_set().get(of_set)
            if entry is not None:
                found.setdefault(choice, entry.accuracy)
    return found


def results_of(row: MethodRow) -> dict[str, FiguresBySet]:
    """The results of every choice of a row; of a row with a single choice its own."""
    if found := choices_of(row):
        return found
    choice = row.best.selected.choice
    return {} if choice is UNSET else {choice: join_figures([one.results for one in row.picks])}


def ranks_of(tasks: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean rank of the choices that all tasks have; equal ones share the mean of their places."""
    common = [choice for choice in (tasks[0] if tasks else ()) if all(choice in task for task in tasks)]
    places = {choice: [place_of(choice, common, task) for task in tasks] for choice in common}
    return {choice: fmean(of_tasks) for choice, of_tasks in places.items()}


def place_of(choice: str, common: Sequence[str], task: Mapping[str, float]) -> float:
    higher = sum(task[other] > task[choice] for other in common)
    equal = sum(task[other] == task[choice] for other in common)
    return higher + (equal + 1) / 2


def choice_of(choice: str, tasks: Mapping[str, Mapping[str, float]], rank: float | None) -> SurgicalChoice:
    """One choice over the tasks that have it; relative to `all` where they have that too."""
    found = SurgicalChoice(
        choice=choice, accuracy={name: task[choice] for name, task in tasks.items() if choice in task},
        rank=UNSET if rank is None else rank,
    )  # fmt: skip
    relative = [task[choice] - task[REFERENCE] for task in tasks.values() if choice in task and REFERENCE in task]
    if relative:
        found.relative = fmean(relative)
    if len(relative) > 1:
        found.standard_error = deviation(relative) / math.sqrt(len(relative))
    return found


def shown(table: SurgicalTasksTable, width: int) -> list[Table]:
    """A row per choice."""
    heads = ["choice", *table.sets, "minus all", "rank"]
    rows = [
        [
            text(one.choice),
            *(text(percent(one.accuracy[name]) if name in one.accuracy else "-") for name in table.sets),
            text(relative(one)), text("-" if one.rank is UNSET else f"{one.rank:.2f}"),
        ]
        for one in table.choices
    ]  # fmt: skip
    sets = "; ".join(f"{name}: {set_name(of_set)}" for name, of_set in table.sets.items())
    caption = (
        f"Accuracy on {sets}. minus all: percentage points, mean ± standard error over the tasks; rank: mean over the "
        "tasks, 1 is the best, of the choices that all tasks have"
    )
    return Layout(heads, rows).tables(
        width, "Accuracy in per cent by the blocks that are tuned", caption, left=("choice",)
    )


def relative(one: SurgicalChoice) -> str:
    if one.relative is UNSET:
        return "-"
    error = "" if one.standard_error is UNSET else f" ± {100 * one.standard_error:.1f}"
    return f"{100 * one.relative:+z.1f}{error}"
