"""What a report says of one model: the figures of every set. All accuracies, rates and errors are fractions."""

from msgspec import UNSET, UnsetType

from ftcli.measures.estimates.types import Estimates
from ftcli.records import Count, Fraction, Interval, Record


class ClassFigures(Record):
    """One class of a set. A class that never occurs has no recall, one that is never predicted no precision: None."""

    name: str
    n: Count  # examples of the class
    recall: Fraction | None
    precision: Fraction | None
    f1: Fraction


class GroupFigures(Record):
    """The examples of one group of a set."""

    name: str
    n: Count
    accuracy: Fraction


class ConfusionMatrix(Record):
    """counts [J][J] of the J classes in play: row = true class, column = predicted class."""

    classes: list[str]
    counts: list[list[Count]]


class Figures(Record, kw_only=True):
    """The figures of one model on one set, or their means over several seeds.

    Absent: `top5` of five classes or fewer; `worst_group_accuracy` and `groups` without groups; `ece_calibrated`
    without an ID-val set; `accuracy_all_classes` where every class is in play; `accuracy_std`, `ci90`, `ci90_paper` and
    `n_seeds` of a single run; `per_class`, `confusion` and `estimates` where they were not asked for.
    """

    n: Count
    accuracy: Fraction
    accuracy_ci95: Interval  # Wilson's, of one run
    top5: Fraction | UnsetType = UNSET
    loss: float  # mean cross-entropy, nats
    balanced_accuracy: Fraction
    worst_class_recall: Fraction
    worst_group_accuracy: Fraction | UnsetType = UNSET
    groups: list[GroupFigures] | UnsetType = UNSET  # in the order of their names
    ece: Fraction
    ece_calibrated: Fraction | UnsetType = UNSET
    accuracy_all_classes: Fraction | UnsetType = UNSET
    accuracy_std: float | UnsetType = UNSET
    ci90: Interval | UnsetType | None = UNSET  # Student's t, of the mean over seeds
    ci90_paper: Interval | UnsetType | None = UNSET  # mean ± 1.645 std / √n
    n_seeds: Count | UnsetType = UNSET
    estimates: Estimates | UnsetType = UNSET  # of `accuracy`, made without the labels
    per_class: list[ClassFigures] | UnsetType = UNSET
    confusion: ConfusionMatrix | UnsetType = UNSET


class MeanAccuracy(Record):
    """The mean accuracy over the OOD sets."""

    accuracy: Fraction
    accuracy_std: float | UnsetType = UNSET
    ci90: Interval | UnsetType | None = UNSET
    ci90_paper: Interval | UnsetType | None = UNSET
    n_seeds: Count | UnsetType = UNSET


class Unlabelled(Record):
    """A set without labels: its examples are predicted, and how well is estimated where there is an ID-val set."""

    n: Count
    estimates: Estimates | UnsetType = UNSET


class FiguresBySet(Record, kw_only=True):
    """The figures of one model on every set that has labels; those of ID-val and ID-test are absent where there is no
    such set. `unlabelled`: the others by name, where there are any.
    """

    id_val: Figures | UnsetType = UNSET
    id_test: Figures | UnsetType = UNSET
    ood: dict[str, Figures]
    ood_mean: MeanAccuracy | None
    unlabelled: dict[str, Unlabelled] | UnsetType = UNSET

    def by_set(self) -> dict[str, Figures]:
        """The figures by the name of their set, ID sets first; of a set without labels there are none."""
        inside = {"id_val": self.id_val, "id_test": self.id_test}
        return {name: figures for name, figures in inside.items() if figures is not UNSET} | self.ood

    def without_labels(self) -> dict[str, Unlabelled]:
        """The sets that were only predicted on, by name."""
        return {} if self.unlabelled is UNSET else self.unlabelled


class Difference(Record, kw_only=True):
    """Accuracy of one model minus that of another on the same examples."""

    difference: float
    ci95: Interval  # paired bootstrap over examples
    p: Fraction  # McNemar's exact test
