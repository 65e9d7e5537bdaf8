"""What a report says of the line between two models, and of averages of several."""

from typing import Literal

from msgspec import UNSET, UnsetType, field

from ftcli.averages.types import Statistics, Worth
from ftcli.records import Record

Head = Literal["interpolated", "a", "b", "probe", "file"]


class Point(Record):
    """The weights (1 - λ)·A + λ·B on every set, by BatchNorm statistics."""

    weight: float = field(name="lambda")
    raw: dict[str, Worth] | UnsetType = UNSET
    reestimated: dict[str, Worth] | UnsetType = UNSET

    def by_statistics(self) -> dict[Statistics, dict[str, Worth]]:
        """Those that were tried."""
        both: dict[Statistics, dict[str, Worth] | UnsetType] = {"raw": self.raw, "reestimated": self.reestimated}
        return {kind: worth for kind, worth in both.items() if worth is not UNSET}


class ScaledByDepth(Record):
    """A with s of the way to B in each block, s = α + (1 - α)·b/(L - 1) in block b of L: every set, by statistics."""

    alpha: float
    raw: dict[str, Worth] | UnsetType = UNSET
    reestimated: dict[str, Worth] | UnsetType = UNSET


class Barrier(Record):
    """The largest rise of the loss over the line between its ends, in nats, and its λ; None without a finite loss."""

    loss: float | None
    weight: float | None = field(name="lambda")


class Soup(Record):
    """The average of some models: their labels, and what it is worth on every set."""

    members: list[str]
    sets: dict[str, Worth]


class Soups(Record, kw_only=True):
    """Averages under one kind of statistics. `members`: each model alone, on ID-val; that and `greedy` need ID-val."""

    members: dict[str, Worth] | UnsetType = UNSET
    uniform: Soup
    greedy: Soup | UnsetType = UNSET


class Best(Record, kw_only=True):
    """The weights that ID-val picks: a point of the line, a soup, or B scaled by depth."""

    kind: str  # "point", "uniform soup", "greedy soup" or "scaled by depth"
    weight: float | UnsetType = field(name="lambda", default=UNSET)
    alpha: float | UnsetType = UNSET
    statistics: Statistics
    id_val: Worth


class Interpolation(Record):
    """The line between A and B. `head`: whose head the points have."""

    head: Head
    points: list[Point]
    barrier: dict[Statistics, dict[str, Barrier]]  # empty where the ends are not among the points
    soups: dict[Statistics, Soups] | UnsetType = UNSET
    scaled_by_depth: list[ScaledByDepth] | UnsetType = UNSET
    best: Best | UnsetType = UNSET


PARTS = {"interpolation": Interpolation}
