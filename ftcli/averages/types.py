"""What a report says of averages of weights, as JSON objects with types. Nothing heavy is imported."""

from typing import Literal

from msgspec import UNSET, UnsetType

from ftcli.engine.types import Score, Selected
from ftcli.measures.types import FiguresBySet
from ftcli.records import Count, Fraction, Record

Rule = Literal["wise", "uniform", "greedy", "stock", "lines"]
Statistics = Literal["raw", "reestimated"]  # BatchNorm's, as the weights bring them or of the training set


class Worth(Record):
    """Accuracy and loss (nats) on one set; no loss where it is not finite."""

    accuracy: Fraction
    loss: float | None


class Member(Record):
    """A run whose weights may be averaged: those of its best epoch, and what they are worth on ID-val."""

    seed: int
    lr: float
    epoch: Count
    id_val: Score


class StrengthPoint(Record):
    """One value of λ or α, and what its weights are worth on ID-val."""

    strength: float
    id_val: Worth


class Average(Record, kw_only=True):
    """Averaged weights on every set.

    picked: how the strength λ or α was chosen: given beforehand, by the usual rule on ID-val, or by the
    one-standard-error rule. members: indices of the report's members. new_head: whether the head is a probe of the
    averaged body. shares: of Model Stock, t by block, the mean over its tensors.
    """

    rule: Rule
    strength: float | UnsetType = UNSET
    picked: Literal["given", "id_val", "one_se"] | UnsetType = UNSET
    members: list[Count] | UnsetType = UNSET
    new_head: bool = False
    shares: dict[str, Fraction] | UnsetType = UNSET
    results: FiguresBySet
    temperature: float | None


class Picked(Record):
    """The pick that averages are compared with, the one that is saved without --save."""

    selected: Selected
    results: FiguresBySet


class Averages(Record, kw_only=True):
    """Averages of the weights of a command's runs, by name; None of one that has fewer than two members.

    members: the runs that may be averaged. statistics: BatchNorm's of every average. paths: by rule, ID-val at every
    strength.
    """

    pick: Picked
    members: list[Member]
    statistics: Statistics
    paths: dict[str, list[StrengthPoint]]
    by_name: dict[str, Average | None]
