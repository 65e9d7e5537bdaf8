"""What the tables of papers take from the histories of runs, by hand."""

from types import SimpleNamespace
from typing import Any

import pytest

from ftcli.engine.types import Epoch, RunRecord, Score
from ftcli.studies.added_tables.early_stopping import at_the_end, measured_runs
from ftcli.studies.added_tables.pretraining import SHARE, epochs_to


def run(lr: float, accuracies: list[float], *, ood: bool = True, diverged: bool = False) -> RunRecord:
    history = [
        Epoch(epoch=i, loss=1.0, id_val=Score(a, 1 - a), seconds=0.0, ood={"far": Score(a / 2, 1.0)} if ood else {})
        for i, a in enumerate(accuracies, 1)
    ]
    return RunRecord(seed=0, lr=lr, id_val=None, diverged=diverged, history=history)


def cell(method: str, seed: int, *runs: RunRecord) -> Any:
    return SimpleNamespace(cell=SimpleNamespace(method=method, seed=seed), report=SimpleNamespace(runs=list(runs)))


def test_the_last_epoch_is_that_of_a_run_that_was_not_ended_before() -> None:
    """A rate that a budget ended early had the highest accuracy, and has no last epoch."""
    runs = [run(0.1, [0.5, 0.9]), run(0.2, [0.9, 0.5, 0.6]), run(0.3, [0.1, 0.1, 0.7])]
    taken, entry = at_the_end(runs, cell("finetune", 0))
    assert (taken.lr, entry.epoch, entry.id_val.accuracy) == (0.3, 3, 0.7)


def test_the_runs_of_a_grid_are_those_of_all_its_cells() -> None:
    """Of the same method and seed alone; those that diverged do not count; one without OOD accuracies spoils all."""
    first, second = cell("lpft", 0, run(0.1, [0.5])), cell("lpft", 0, run(0.2, [0.6]), run(9.0, [0.7], diverged=True))
    others = [cell("lpft", 1, run(0.3, [0.5])), cell("finetune", 0, run(0.4, [0.5]))]
    comparison: Any = SimpleNamespace(finished=[first, *others, second])
    assert [one.lr for one in measured_runs(comparison, first)] == [0.1, 0.2]
    comparison.finished.append(cell("lpft", 0, run(0.5, [0.5], ood=False)))
    assert measured_runs(comparison, first) == []


@pytest.mark.parametrize(
    ("curve", "epoch"), [([0.5, 0.72, 0.8], 2), ([0.5, 0.71, 0.8], 3), ([0.9, 0.1, 0.8], 1), ([0.0, 0.0], 1)]
)
def test_the_first_epoch_with_nine_tenths_of_the_last_accuracy(curve: list[float], epoch: int) -> None:
    assert epochs_to(SHARE, curve) == epoch
