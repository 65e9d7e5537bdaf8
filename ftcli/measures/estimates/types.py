"""What a report says of an accuracy that was estimated without labels."""

from msgspec import UNSET, UnsetType

from ftcli.records import Count, Fraction, Record


class Estimate(Record, kw_only=True):
    """One estimate of the accuracy on a set; over several seeds, the mean of each number.

    `lower_bound` stands in the place of `accuracy` for dis2. `error`: the estimate minus the accuracy, of a set that
    has labels. `line_error`: of nuclear, its mean absolute error on corruptions that its line has not seen. `r2` and
    `models`: of the two estimates by agreement on the line, and of gde.
    """

    accuracy: Fraction | UnsetType = UNSET
    lower_bound: Fraction | UnsetType = UNSET
    error: float | UnsetType = UNSET
    line_error: float | UnsetType | None = UNSET
    r2: float | UnsetType = UNSET
    models: Count | UnsetType = UNSET

    @property
    def value(self) -> float:
        """The accuracy, or its lower bound."""
        return self.lower_bound if self.accuracy is UNSET else self.accuracy  # type: ignore[return-value]


Estimates = dict[str, Estimate]  # by name
