"""Table `pretraining`: how accurate and how fast fine-tuning is from several checkpoints of one pretraining (Neyshabur
et al. 2020).
"""

from collections.abc import Sequence
from statistics import fmean

from rich.table import Table

from ftcli.console.cells import Layout, percent, text
from ftcli.engine.types import Epoch
from ftcli.errors import RequestError
from ftcli.studies.added_tables.feature_quality import check_checkpoints
from ftcli.studies.added_tables.material import Material
from ftcli.studies.added_tables.types import PretrainingRow, PretrainingTable
from ftcli.studies.cells import Planned
from ftcli.studies.joining import Comparison, FinishedCell, MethodRow
from ftcli.studies.plan import draws_numbers

SHARE = 0.9  # of the final accuracy
ROUNDING = 1e-9  # two accuracies closer than this are equal


def check(planned: Sequence[Planned], benchmarks: Sequence[str]) -> None:
    """Raises RequestError where there are not several checkpoints, or nothing is trained in epochs."""
    check_checkpoints("pretraining", planned)
    if not any(draws_numbers(one.config) for one in planned if not one.cell.model):
        raise RequestError("--tables pretraining: no method of the study has epochs.", "--methods finetune")


def make(study: Material) -> PretrainingTable:
    """The rows benchmark by benchmark and method by method, the checkpoints in their order."""
    found = [row_of(one, row) for one in study.by_checkpoint() for row in one.rows if row.draws_numbers]
    order = list(dict.fromkeys((row.benchmark, row.method) for row in found))
    return PretrainingTable(sorted(found, key=lambda row: order.index((row.benchmark, row.method))))


def row_of(comparison: Comparison, row: MethodRow) -> PretrainingRow:
    """A method from one checkpoint."""
    curves = [accuracies_of(one) for one in row.picks]
    return PretrainingRow(
        benchmark=comparison.benchmark, checkpoint=comparison.checkpoint, method=row.method, n_seeds=len(curves),
        final=fmean(curve[-1] for curve in curves), mean=fmean(fmean(curve) for curve in curves),
        epochs_to_90=fmean(epochs_to(SHARE, curve) for curve in curves),
    )  # fmt: skip


def accuracies_of(pick: FinishedCell) -> list[float]:
    """Accuracy on ID-val after each epoch of the picked run, from the first to the last."""
    selected = pick.selected
    run = next(
        run for run in pick.report.runs
        if (run.choice, run.seed, run.lr or None) == (selected.choice, selected.seed, selected.lr)
    )  # fmt: skip
    trained: list[Epoch] = [entry for entry in run.epochs() if entry.epoch > 0]
    return [entry.id_val.accuracy for entry in trained]


def epochs_to(share: float, curve: Sequence[float]) -> int:
    """The first epoch, counted from 1, with this share of the last accuracy."""
    return next(epoch for epoch, accuracy in enumerate(curve, 1) if accuracy >= share * curve[-1] - ROUNDING)


def shown(table: PretrainingTable, width: int) -> list[Table]:
    """A table per benchmark and method."""
    found = []
    for benchmark, method in dict.fromkeys((row.benchmark, row.method) for row in table.rows):
        rows = [
            [
                text(row.checkpoint), text(percent(row.final)), text(percent(row.mean)), text(f"{row.epochs_to_90:g}"),
            ]
            for row in table.rows
            if (row.benchmark, row.method) == (benchmark, method)
        ]  # fmt: skip
        caption = (
            "ID-val accuracy of the picked run: at the last epoch, the mean over the epochs, and the first epoch with "
            "90 % of the last; means over the seeds. Checkpoints in the order typed"
        )
        heads = ["checkpoint", "final", "mean", "epochs to 90 %"]
        found += Layout(heads, rows).tables(
            width, f"{benchmark}: {method} from each checkpoint", caption, left=heads[:1]
        )
    return found
