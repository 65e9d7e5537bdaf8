"""The reports of a study's cells as rows: of one method and seed the pick, then all its seeds joined."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
from msgspec import UNSET, structs

from ftcli.comparison.gate import classes_in_play
from ftcli.comparison.predictions import SetPredictions, read_predictions
from ftcli.engine.select import Candidate, best
from ftcli.engine.types import Selected
from ftcli.errors import RequestError
from ftcli.measures.joining import arrange, join_figures, on_common_sets
from ftcli.measures.types import FiguresBySet
from ftcli.report.read import read_report
from ftcli.report.types import Report
from ftcli.run_folder.names import PREDICTIONS
from ftcli.studies.cells import Cell
from ftcli.studies.selection.among_values import Rival, Rule, picked_rows, without_values
from ftcli.studies.types import MethodResult, SeedPick


class Seen(NamedTuple):
    """Equal where accuracies on a set compare: the fingerprint of its examples, and the classes to choose among."""

    fingerprint: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class FinishedCell:
    """A finished cell that trained: its report, its results with those of later evaluations, and its predictions.

    data: by set what it was measured on. rates: of the whole grid, where it was split over cells; else none.
    """

    cell: Cell
    report: Report
    results: FiguresBySet
    predictions: dict[str, SetPredictions]
    data: dict[str, Seen]
    rates: tuple[float, ...] = ()

    @property
    def selected(self) -> Selected:
        assert self.report.selected is not None
        pick = self.report.selected
        if len(self.rates) < 2:
            return pick
        return structs.replace(pick, edge_of_grid=pick.lr in (min(self.rates), max(self.rates)))

    @property
    def candidate(self) -> Candidate:
        """The pick of this cell as a candidate of the selection rule."""
        pick = self.selected
        return Candidate(
            self.cell.seed, pick.id_val.accuracy, pick.id_val.loss, epoch=pick.epoch, lr=pick.lr, C=pick.C,
            worst_group=pick.worst_group_accuracy or None,
        )  # fmt: skip


@dataclass(frozen=True)
class MethodRow:
    """A row of a benchmark: the picked cell of every seed, ascending.

    picked, usual: whether the rule of the study, or the usual one, takes it among the rows that differ by --set only.
    """

    method: str
    picks: tuple[FinishedCell, ...]
    picked: bool = True
    usual: bool = True

    @property
    def best(self) -> FinishedCell:
        """The cell whose model is the method's: of the seeds' picks the one that the selection rule takes."""
        pick = best(one.candidate for one in self.picks)
        return next(one for one in self.picks if one.candidate == pick)

    @property
    def rival(self) -> Rival:
        """The row as the selection among rows has it."""
        scores = [one.candidate for one in self.picks]
        accuracy, loss = fmean(one.accuracy for one in scores), fmean(one.loss for one in scores)
        figures = self.best.results.id_val
        return Rival(self.method, self.best.cell.command, accuracy, loss, 1 if figures is UNSET else figures.n)

    @property
    def draws_numbers(self) -> bool:
        """Whether another seed could give another result."""
        return self.best.cell.command != "probe" or self.best.selected.C is None

    def correct(self, name: str) -> np.ndarray | None:
        """What each seed got right on a set: [S, N] boolean; None where the seeds did not predict the same examples."""
        found = [one.predictions.get(name) for one in self.picks]
        known = [one for one in found if one is not None]
        if len(known) < len(found) or any(not np.array_equal(one.examples, known[0].examples) for one in known):
            return None
        return np.concatenate([one.correct for one in known])


@dataclass(frozen=True)
class Comparison:
    """What is compared with each other: the finished cells of one benchmark and, where `--set checkpoint=A,B` names
    several, one checkpoint.

    checkpoint: what it is called where there are several, else an empty string.
    """

    benchmark: str
    checkpoint: str
    finished: tuple[FinishedCell, ...]
    rows: tuple[MethodRow, ...]

    def row_of(self, command: str) -> MethodRow | None:
        """The row of a command that the selection rule takes, of several the first; None where there is none."""
        return next((row for row in self.rows if row.best.cell.command == command and row.picked), None)


def comparisons_of(cells: Sequence[Cell], study: Path, rule: Rule = "best") -> dict[str, Comparison]:
    """The comparisons of a study by name, in the order of their first cells; one without a finished cell has no rows.

    Raises RequestError for a report or predictions that cannot be read.
    """
    finished = finished_cells(cells, study)
    found = {}
    for name, first in {cell.comparison: cell for cell in reversed(cells)}.items():
        own = [one for one in finished if one.cell.comparison == name]
        found[name] = Comparison(
            first.benchmark, first.checkpoint, tuple(own), tuple(with_selection(rows_of(own), rule))
        )
    return {name: found[name] for name in dict.fromkeys(cell.comparison for cell in cells)}


def finished_cells(cells: Sequence[Cell], study: Path) -> list[FinishedCell]:
    """The cells that trained and are finished, in their order, each with the evaluations of its model.

    Raises RequestError for a cell whose report or predictions cannot be read.
    """
    found = []
    for cell in cells:
        if not cell.model and cell.is_finished(study):
            later = [one for one in cells if one.model == cell.name and one.is_finished(study)]
            try:
                found.append(finished_cell(cell, later, study))
            except RequestError as error:
                folders = " ".join(str(study / one.name) for one in (cell, *later))
                raise RequestError(
                    error.problem, f"remove {folders} and type the study again: they are run anew"
                ) from error
    return found


def finished_cell(cell: Cell, evaluations: Sequence[Cell], study: Path) -> FinishedCell:
    """A cell with what was added to it. Raises RequestError for a report or predictions that cannot be read."""
    report = read_report(study / cell.name)
    predictions = dict(read_predictions(study / cell.name / PREDICTIONS) or {})
    by_set, data = report.results.by_set(), seen_by(report)
    for one in evaluations:
        added = read_report(study / one.name)
        by_set |= added.results.ood
        data |= seen_by(added)
        predictions |= read_predictions(study / one.name / PREDICTIONS) or {}
    results = structs.replace(arrange(by_set), unlabelled=report.results.unlabelled) if evaluations else report.results
    known = {name: of_set for name, of_set in predictions.items() if of_set is not None}
    return FinishedCell(cell, report, results, known, data)


def seen_by(report: Report) -> dict[str, Seen]:
    """What the cell of a report saw of every set."""
    return {
        name: Seen(data.fingerprint, tuple(sorted(classes_in_play(report, data.restricted_to))))
        for name, data in report.data.by_set().items()
    }


def rows_of(finished: Sequence[FinishedCell]) -> list[MethodRow]:
    """The rows of one benchmark, in the order of their first cells; of several cells of one seed one is picked."""
    by_method: dict[str, dict[int, list[FinishedCell]]] = {}
    for one in finished:
        by_method.setdefault(one.cell.method, {}).setdefault(one.cell.seed, []).append(one)
    return [
        MethodRow(method, with_common_sets([picked(by_seed[seed]) for seed in sorted(by_seed)]))
        for method, by_seed in by_method.items()
    ]


def with_common_sets(picks: Sequence[FinishedCell]) -> tuple[FinishedCell, ...]:
    """The picks of the seeds, each with the results on the sets that all of them were measured on."""
    common = on_common_sets([one.results for one in picks])
    return tuple(replace(one, results=results) for one, results in zip(picks, common, strict=True))


def picked(cells: Sequence[FinishedCell]) -> FinishedCell:
    """Of the cells of one method and seed, over which a grid was split, the one that the selection rule takes."""
    pick = best(one.candidate for one in cells)
    rates = {lr for one in cells for lr in one.report.config.get("lr") or ()} if len(cells) > 1 else ()
    return replace(next(one for one in cells if one.candidate == pick), rates=tuple(sorted(rates)))


def with_selection(rows: Sequence[MethodRow], rule: Rule) -> list[MethodRow]:
    """The rows, each told whether it is picked among those that differ from it by --set only."""
    picks = picked_rows([row.rival for row in rows], rule)
    return [
        replace(row, picked=row.method == by_rule, usual=row.method == by_usual)
        for row in rows
        for by_rule, by_usual in [picks[without_values(row.method)]]
    ]


def result_of(row: MethodRow) -> MethodResult:
    """A row as study.json has it."""
    published = row.best.report.published
    return MethodResult(
        method=row.method, command=row.best.cell.command, picked=row.picked, folder=row.best.cell.name,
        selected=row.best.selected, results=join_figures([one.results for one in row.picks]),
        seeds=[
            SeedPick(seed=one.cell.seed, folder=one.cell.name, selected=one.selected, results=one.results)
            for one in row.picks
        ],
        choices=choices_of(row) or UNSET, published=published,
    )  # fmt: skip


def choices_of(row: MethodRow) -> dict[str, FiguresBySet]:
    """The results of every choice that all seeds have, where the command compares several."""
    by_seed = [one.report.choices for one in row.picks if one.report.choices is not UNSET]
    if len(by_seed) < len(row.picks) or len(by_seed[0]) < 2:
        return {}
    joined = {}
    for name in by_seed[0]:
        found = [choices[name].results for choices in by_seed if name in choices]
        known = [results for results in found if results is not None]
        if len(known) == len(by_seed):
            joined[name] = join_figures(known)
    return joined
