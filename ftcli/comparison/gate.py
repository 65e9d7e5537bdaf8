"""Conditions of `--fail-if` on a comparison: which hold, for which reports, and at which values.

A condition that cannot be checked is refused: a pipeline must not pass because a figure was missing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ftcli.comparison.compare import Comparison, Row, report_named
from ftcli.config.fail_if import FORMS, Condition
from ftcli.errors import RequestError, choose
from ftcli.report.read import read_report
from ftcli.report.types import Report
from ftcli.safe_text import quoted

DECIMALS = 9  # of a value in per cent: sums in another order must not decide
SHOWN_DECIMALS = 4


@dataclass(frozen=True)
class Checked:
    """One condition for one report: `value` is an accuracy in per cent, or with `minus` a difference in percentage
    points to the report of that name.
    """

    condition: str
    name: str
    minus: str | None
    value: float
    holds: bool

    def words(self) -> str:
        """Which report it was checked for, and the value seen."""
        if self.minus is None:
            return f"{self.name} has {self.value:.{SHOWN_DECIMALS}f} %"
        return f"{self.name} - {self.minus} is {self.value:+.{SHOWN_DECIMALS}f} points"


def check_conditions(conditions: Sequence[Condition], comparison: Comparison, against: str | None) -> list[Checked]:
    """Every condition for every report but the reference, which is `against` or the first report; for a single report
    the conditions on its own accuracies.

    Raises RequestError for a set that a report does not have, and for a difference between accuracies on different
    examples, or among different classes.
    """
    rows = comparison.rows
    reference = rows[0] if against is None else report_named(against, rows)
    others = [row for row in rows if row is not reference]
    read = cache(read_report)  # each once, however many conditions there are
    checked = []
    for condition in conditions:
        if condition.set not in comparison.sets:
            raise RequestError(
                f"--fail-if {condition.text!r}: no report has a set {quoted(condition.set)}.",
                choose(condition.set, comparison.sets),
            )
        if condition.absolute:
            checked += [checked_accuracy(condition, row) for row in others or rows]
        elif not others:
            raise RequestError(
                f"--fail-if {condition.text!r} is on a difference, and there is only one report.",
                f"name the report to compare with first; {FORMS}",
            )
        else:
            checked += [checked_difference(condition, row, reference, read) for row in others]
    return checked


def checked_accuracy(condition: Condition, row: Row) -> Checked:
    value = round(100 * accuracy_of(condition, row), DECIMALS)
    return Checked(condition.text, row.name, None, value, condition.holds(value))


def checked_difference(condition: Condition, row: Row, reference: Row, read: Callable[[Path], Report]) -> Checked:
    difference = accuracy_of(condition, row) - accuracy_of(condition, reference)
    if names := different_data(condition.set, *(read(Path(one.file)) for one in (row, reference))):
        raise RequestError(
            f"--fail-if {condition.text!r}: {row.name} and {reference.name} have different {names}, so their "
            "accuracies do not compare.",
            f"ftcli evaluate both on the same data, or a bound on the accuracy itself: '{condition.set}.accuracy<90'",
        )
    value = round(100 * difference, DECIMALS)
    return Checked(condition.text, row.name, reference.name, value, condition.holds(value))


def accuracy_of(condition: Condition, row: Row) -> float:
    """The accuracy of a report on the set of a condition, a fraction. Raises RequestError where there is none."""
    if (cell := row.cells[condition.set]) is None:
        have = [name for name, found in row.cells.items() if found]
        raise RequestError(
            f"--fail-if {condition.text!r}: {row.name} has no accuracy on {quoted(condition.set)}.",
            f"it has {', '.join(have)}; ftcli evaluate makes a report on other sets",
        )
    return cell.accuracy


def different_data(name: str, first: Report, second: Report) -> str:
    """What of the data of a set differs between two reports; empty where nothing does. `ood_mean`: of all OOD sets."""
    if name == "ood_mean":
        if set(first.results.ood) != set(second.results.ood):
            return "OOD sets"
        return next(filter(None, (different_data(ood, first, second) for ood in first.results.ood)), "")
    a, b = (report.data.by_set().get(name) for report in (first, second))
    if a is None or b is None or a.fingerprint != b.fingerprint:
        return f"examples of {quoted(name)}"
    same = classes_in_play(first, a.restricted_to) == classes_in_play(second, b.restricted_to)
    return "" if same else f"classes of {quoted(name)}"


def classes_in_play(report: Report, restricted_to: object) -> frozenset[str]:
    """The classes that can be predicted on a set."""
    names = report.data.classes
    return frozenset(names[i] for i in restricted_to) if isinstance(restricted_to, list) else frozenset(names)
