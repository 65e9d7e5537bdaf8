"""What a person reads of a halved grid: which rates were kept, the epochs that it took, what an audit found."""

from collections.abc import Iterator

from msgspec import UNSET

from ftcli.engine.budget.types import Audit, Budget, Eliminated
from ftcli.engine.types import RunRecord


def budget_lines(budget: Budget, runs: list[RunRecord]) -> list[str]:
    """One line for each grid, one for its epochs, one for each audit."""
    choices = list(dict.fromkeys(run.choice for run in runs if run.lr is not UNSET))
    lines = []
    for choice in choices:
        of_choice = [entry for entry in budget.eliminated if entry.choice == choice]
        rates = len({entry.lr for entry in of_choice} | {run.lr for run in runs if run.choice == choice})
        lines.append(f"budget{of(choice)}: {'; '.join(kept(budget, of_choice, rates)) or f'kept all of {rates} rates'}")
    share = budget.epochs_run / budget.epochs_full
    lines.append(f"budget: {budget.epochs_run} of the full grid's {budget.epochs_full} epochs ({100 * share:.0f} %)")
    return lines + [audit_line(audit) for audit in ([] if budget.audit is UNSET else budget.audit)]


def kept(budget: Budget, eliminated: list[Eliminated], rates: int) -> Iterator[str]:
    """How many rates of the seed that compared them were kept after each epoch, and how many of the seeds after it."""
    left = rates
    for rung in budget.rungs:
        if gone := sum(entry.epochs == rung for entry in eliminated):
            yield f"kept {left - gone} of {left} rates after epoch {rung}"
            left -= gone
    per_seed = [sum(entry.seed == seed and not entry.epochs for entry in eliminated) for seed in seeds(eliminated)]
    if skipped := max(per_seed, default=0):
        yield f"{rates - skipped} of {rates} with other seeds"


def seeds(eliminated: list[Eliminated]) -> set[int]:
    return {entry.seed for entry in eliminated}


def of(choice: object) -> str:
    return "" if choice is UNSET else f" of {choice}"


def audit_line(audit: Audit) -> str:
    """What the pick with halving loses against that of the full grid, in points."""
    low, high, regret = audit.halving, audit.full, audit.regret
    head = f"audit{of(audit.choice)}, seed {low.seed}: "
    if (low.lr, low.epoch) == (high.lr, high.epoch):
        return f"{head}the full grid picks the same, lr {low.lr:g} epoch {low.epoch}"
    sets = {"ID-val": regret.id_val, **regret.ood}
    if regret.ood_mean is not None and len(regret.ood) > 1:
        sets["OOD mean"] = regret.ood_mean
    points = ", ".join(f"{100 * difference:+.1f} on {name}" for name, difference in sets.items())
    picks = f"lr {high.lr:g} epoch {high.epoch} instead of lr {low.lr:g} epoch {low.epoch}"
    return f"{head}the full grid picks {picks}: {points} (points)"
