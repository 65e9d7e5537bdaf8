"""What a report says of a grid that was halved, as JSON objects with types. Nothing heavy is imported."""

from msgspec import UNSET, UnsetType

from ftcli.engine.types import Score, Selected
from ftcli.records import Count, Record


class Eliminated(Record, kw_only=True):
    """A rate that was not run to its end.

    epochs: that it ran, 0 where an earlier seed had eliminated the rate. best: its best epoch on ID-val so far.
    """

    choice: str | UnsetType = UNSET
    seed: int
    lr: float
    epochs: Count
    best: Score | None


class Regret(Record, kw_only=True):
    """What the pick of halving loses against the pick of the full grid: differences of accuracies, full minus halved.

    ood_mean: None without labelled OOD sets.
    """

    id_val: float
    ood: dict[str, float]
    ood_mean: float | None


class Audit(Record, kw_only=True):
    """The picks of one seed with halving and with its full grid, and the difference between their accuracies."""

    choice: str | UnsetType = UNSET
    halving: Selected
    full: Selected
    regret: Regret


class Budget(Record, kw_only=True):
    """How a grid was halved. rungs: epochs after which rates were compared, and the last epoch.

    epochs_run: of all runs together, without those of an audit. epochs_full: that the full grid has.
    """

    rungs: list[Count]
    eliminated: list[Eliminated]
    epochs_run: Count
    epochs_full: Count
    audit: list[Audit] | UnsetType = UNSET
