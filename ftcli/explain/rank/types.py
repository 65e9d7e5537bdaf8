"""The part `ranking` of a report: the checkpoints, the one with the most accurate probe first."""

from msgspec import UNSET, UnsetType

from ftcli.measures.estimates.types import Estimate
from ftcli.records import Count, Fraction, Interval, Record


class RankedSet(Record, kw_only=True):
    """One OOD set, under the probe of the whole training set. oracle: its accuracy there, which needs the set's labels.
    estimates: of that accuracy, on a set without labels.
    """

    n: Count
    oracle: Fraction | UnsetType = UNSET
    oracle_ci95: Interval | UnsetType = UNSET
    estimates: dict[str, Estimate] | UnsetType = UNSET


class LeftOutGroups(Record):
    """Accuracy on each group of the training set of a probe that is fitted to the other groups."""

    by_group: dict[str, Fraction]
    mean: Fraction
    worst: Fraction


class RankedCheckpoint(Record, kw_only=True):
    """One checkpoint. A score that cannot be computed is null, and a warning says why.

    checkpoint: as typed. features: their number, D. input: height and width of the images that it gets. probe: accuracy
    over five folds of the exact linear probe. p_holm: McNemar's test against the first row, by the probe's answers for
    the same images, with Holm's correction; null of the first row. knn: accuracy over the same folds. leep: only where
    the checkpoint has a head.
    """

    checkpoint: str
    label: str
    parameters: Count
    features: Count
    input: list[Count]
    probe: Fraction | None
    probe_ci95: Interval | None
    p_holm: Fraction | None = None
    C: float | None
    knn: Fraction | None
    logme: float | None
    nleep: float | None
    h_score: float | None
    gbc: float | None
    transrate: float | None
    leep: float | UnsetType | None = UNSET
    groups: LeftOutGroups | UnsetType = UNSET
    ood: dict[str, RankedSet] | UnsetType = UNSET
    seconds: float


PARTS = {"ranking": list[RankedCheckpoint]}
