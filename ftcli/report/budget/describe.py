"""The report's `budget`: how the grids were halved, and what an audit found."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from msgspec import UNSET, structs

from ftcli.engine.budget.halved_search import AuditedPicks
from ftcli.engine.budget.types import Audit, Budget, Regret
from ftcli.engine.grid import Trained
from ftcli.measures.results import Results


def describe_budget(trained: Trained, measure_picks: Callable[[Trained], Sequence[Results]]) -> Budget | None:
    """How the grids were halved, and what each audit found; None without --budget.

    measure_picks: gives the results of all picks of what was trained.
    """
    if trained.budget is None:
        return None
    audits = [describe_audit(picks, trained, measure_picks) for picks in trained.audits]
    return structs.replace(trained.budget, audit=audits or UNSET)


def describe_audit(
    picks: AuditedPicks, trained: Trained, measure_picks: Callable[[Trained], Sequence[Results]]
) -> Audit:
    """Both picks of an audit, and the difference between their accuracies."""
    halved, full = measure_picks(replace(trained, picks=[picks.halving, picks.full], frozen=False))
    return Audit(
        choice=picks.choice or UNSET, halving=picks.halving.selected(), full=picks.full.selected(),
        regret=regret(halved, full),
    )  # fmt: skip


def regret(halved: Results, full: Results) -> Regret:
    """What the first loses against the second."""
    low, high = halved.figures, full.figures
    means = low.ood_mean, high.ood_mean
    return Regret(
        id_val=high.by_set()["id_val"].accuracy - low.by_set()["id_val"].accuracy,
        ood={name: high.ood[name].accuracy - figures.accuracy for name, figures in low.ood.items()},
        ood_mean=means[1].accuracy - means[0].accuracy if means[0] and means[1] else None,
    )
