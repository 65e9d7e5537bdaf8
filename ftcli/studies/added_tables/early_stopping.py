"""Table `early-stopping`: what the choice of the epoch does to OOD accuracy: by ID-val, the last, or, as nobody can, by
each OOD set (Kumar et al. 2022: an oracle does not save fine-tuning).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from msgspec import UNSET
from rich.table import Table

from ftcli.console.cells import Layout, percent, set_name, text
from ftcli.engine.select import Candidate, oracle
from ftcli.engine.types import Epoch, RunRecord
from ftcli.errors import RequestError
from ftcli.studies.added_tables.material import Material, mean_by_set
from ftcli.studies.added_tables.types import EarlyStoppingRow, EarlyStoppingTable, EpochPick
from ftcli.studies.cells import Planned
from ftcli.studies.differences import OOD_MEAN
from ftcli.studies.joining import Comparison, FinishedCell, MethodRow

Rule = Callable[[Sequence[RunRecord], FinishedCell], tuple[RunRecord, Epoch]]


def check(planned: Sequence[Planned], benchmarks: Sequence[str]) -> None:
    """Raises RequestError where no cell measures its OOD sets at every epoch."""
    if not any(getattr(one.config, "ood_every_epoch", False) for one in planned):
        raise RequestError(
            "--tables early-stopping: no cell measures its OOD sets at every epoch.", "add --ood-every-epoch"
        )


def make(study: Material) -> EarlyStoppingTable:
    """Every rule for every method; the exact probe has no epochs, so only the selection rule."""
    rows: list[EarlyStoppingRow] = []
    missing = []
    for name, comparison in study.comparisons.items():
        for row in comparison.rows:
            found = list(rows_of(name, comparison, row))
            rows += found
            if not found:
                missing.append(f"{name}, {row.method}")
    return EarlyStoppingTable(rows, missing)


def rows_of(name: str, comparison: Comparison, row: MethodRow) -> Iterator[EarlyStoppingRow]:
    """The rules for one method; none where OOD accuracies are not known at every epoch."""
    if not row.draws_numbers:
        yield joined(name, row, "id_val", UNSET, [exact_pick(one) for one in row.picks])
        return
    by_seed = [measured_runs(comparison, one) for one in row.picks]
    if not all(by_seed):
        return
    sets = list(by_seed[0][0].epochs()[0].ood or ())
    rules: list[tuple[Any, Any, Rule]] = [("id_val", UNSET, by_id_val), ("last", UNSET, at_the_end)]
    for of_set in [*sets, *([OOD_MEAN] * (len(sets) > 1))]:
        rules.append(("oracle", of_set, by_oracle(of_set)))
    for rule, of_set, take in rules:
        taken = [take(runs, one) for runs, one in zip(by_seed, row.picks, strict=True)]
        picks = [pick_of(one.cell.seed, *pick) for one, pick in zip(row.picks, taken, strict=True)]
        yield joined(name, row, rule, of_set, picks)


def measured_runs(comparison: Comparison, pick: FinishedCell) -> list[RunRecord]:
    """The runs of a method and seed, over all cells of its grid; empty where one has no OOD accuracy at an epoch."""
    same = [
        one for one in comparison.finished if (one.cell.method, one.cell.seed) == (pick.cell.method, pick.cell.seed)
    ]
    runs = [run for one in same for run in one.report.runs if not run.diverged and run.epochs()]
    return runs if all(epoch.ood for run in runs for epoch in run.epochs()) else []


def by_id_val(runs: Sequence[RunRecord], pick: FinishedCell) -> tuple[RunRecord, Epoch]:
    """The pick of the selection rule."""
    selected = pick.selected
    return entry_of(runs, selected.choice, selected.lr, selected.epoch)


def at_the_end(runs: Sequence[RunRecord], pick: FinishedCell) -> tuple[RunRecord, Epoch]:
    """The last epoch; of several rates, the one that the selection rule takes there. A run that was ended before has
    no such epoch.
    """
    last = max(run.epochs()[-1].epoch for run in runs)
    ends = [(run, end) for run in runs if (end := run.epochs()[-1]).epoch == last]
    return min(ends, key=lambda end: candidate(*end).sort_key())


def candidate(run: RunRecord, entry: Epoch) -> Candidate:
    """An epoch of a run as a candidate of the selection rule."""
    return Candidate(run.seed, entry.id_val.accuracy, entry.id_val.loss, epoch=entry.epoch, lr=run.lr or None)


def by_oracle(of_set: str) -> Rule:
    def take(runs: Sequence[RunRecord], pick: FinishedCell) -> tuple[RunRecord, Epoch]:
        found = oracle(runs)[of_set]
        return entry_of(runs, found.choice, found.lr, found.epoch)

    return take


def entry_of(runs: Sequence[RunRecord], choice: Any, lr: float | None, epoch: int | None) -> tuple[RunRecord, Epoch]:
    """The run of a choice and rate, and its entry of an epoch."""
    run = next(run for run in runs if run.choice == choice and (run.lr or None) == lr)
    return run, next(entry for entry in run.epochs() if entry.epoch == epoch)


def pick_of(seed: int, run: RunRecord, entry: Epoch) -> EpochPick:
    ood = {name: score.accuracy for name, score in (entry.ood or {}).items()}
    return EpochPick(seed=seed, lr=run.lr or None, C=None, epoch=entry.epoch, id_val=entry.id_val.accuracy, ood=ood)


def exact_pick(one: FinishedCell) -> EpochPick:
    """The exact probe's pick, with the results of its report."""
    ood = {name: figures.accuracy for name, figures in one.report.results.ood.items()}
    selected = one.selected
    return EpochPick(seed=one.cell.seed, lr=None, C=selected.C, epoch=None, id_val=selected.id_val.accuracy, ood=ood)


def joined(name: str, row: MethodRow, rule: Any, of_set: Any, picks: list[EpochPick]) -> EarlyStoppingRow:
    """The picks of all seeds as one row."""
    ood = mean_by_set([pick.ood for pick in picks])
    epochs = [pick.epoch for pick in picks if pick.epoch is not None]
    return EarlyStoppingRow(
        benchmark=name, method=row.method, rule=rule, set=of_set, epoch=fmean(epochs) if epochs else None,
        id_val=fmean(pick.id_val for pick in picks), ood=ood, ood_mean=fmean(ood.values()), seeds=picks,
    )  # fmt: skip


def shown(table: EarlyStoppingTable, width: int) -> list[Table]:
    """A table per benchmark: a row per method and rule."""
    found = []
    for name in dict.fromkeys(row.benchmark for row in table.rows):
        rows = [row for row in table.rows if row.benchmark == name]
        found += benchmark_tables(name, rows, table.missing, width)
    return found


def benchmark_tables(name: str, rows: Sequence[EarlyStoppingRow], missing: Sequence[str], width: int) -> list[Table]:
    sets = list(dict.fromkeys(one for row in rows for one in row.ood))
    heads = ["method", "epoch by", "epoch", "ID-val", *map(set_name, sets), set_name(OOD_MEAN)]
    lines = [
        [
            text(row.method), text(rule_name(row)), text("-" if row.epoch is None else f"{row.epoch:g}"),
            text(percent(row.id_val)), *(text(cell(row.ood, one)) for one in sets), text(percent(row.ood_mean)),
        ]
        for row in rows
    ]  # fmt: skip
    caption = "oracle: the epoch and rate with the highest accuracy on that set, which nobody can know beforehand"
    if left_out := [one.removeprefix(f"{name}, ") for one in missing if one.startswith(f"{name}, ")]:
        caption += f". Without OOD accuracies at every epoch, left out: {'; '.join(left_out)}"
    title = f"{name}: accuracy in per cent by the choice of the epoch"
    return Layout(heads, lines).tables(width, title, caption, left=heads[:2], kept=2)


def rule_name(row: EarlyStoppingRow) -> str:
    if row.set is not UNSET:
        return f"oracle {set_name(row.set)}"
    return "last" if row.rule == "last" else set_name(row.rule)


def cell(ood: Mapping[str, float], name: str) -> str:
    return percent(ood[name]) if name in ood else "-"
