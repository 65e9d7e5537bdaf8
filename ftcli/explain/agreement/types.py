"""What a report says of the mistakes that models share."""

from msgspec import UNSET, UnsetType

from ftcli.records import Count, Fraction, Interval, Record


class Examples(Record):
    """Examples of a set: their places in it, and their ids."""

    indices: list[Count]
    ids: list[str]


class ExamplesByKind(Record):
    """The examples behind each kind of mistake."""

    common: Examples
    g1: Examples
    g2: Examples


class ClassMistakes(Record):
    """The n examples of one true class: how many mistakes of each kind."""

    name: str
    n: Count
    common: Count
    uncommon: Count
    g1: Count
    g2: Count


class SharedMistakes(Record, kw_only=True):
    """Two models on one set. Counts of mistakes: `common`, both models are wrong; `uncommon`, exactly one is; `g1`,
    only the first; `g2`, only the second.
    """

    n: Count
    common: Count
    uncommon: Count
    g1: Count
    g2: Count
    jaccard: Fraction | None  # common mistakes among all; None where neither errs
    agreement: Fraction  # of predictions
    kappa: float | None  # Cohen's; None where there is nothing beyond chance
    difference: float  # accuracy of the first minus the second
    ci95: Interval  # paired bootstrap
    p: Fraction  # McNemar's exact test
    per_class: list[ClassMistakes]
    examples: ExamplesByKind
    p_holm: Fraction  # corrected over the sets of the pair


class SharedPredictions(Record):
    """Two models on a set without labels."""

    n: Count
    agreement: Fraction  # of predictions
    kappa: float | None  # Cohen's; None where there is nothing beyond chance


class PairMistakes(Record):
    """Two models, by their labels, on every set that has labels; `unlabelled`: on the others, where there are any."""

    a: str
    b: str
    sets: dict[str, SharedMistakes]
    unlabelled: dict[str, SharedPredictions] | UnsetType = UNSET


class Agreement(Record):
    """Every pair of models."""

    pairs: list[PairMistakes]


PARTS = {"agreement": Agreement}
