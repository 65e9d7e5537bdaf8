"""Reports as contenders of a verdict: on which set it is, and which examples of it each seed gets right."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ftcli.comparison.predictions import SetPredictions
from ftcli.comparison.reports import ComparedReport
from ftcli.comparison.verdict import Contender
from ftcli.comparison.verify import check_labels

DECIDING = ("ood_mean", "id_test")  # the first that all reports have


def deciding_set(reports: Sequence[ComparedReport]) -> str | None:
    """The set whose accuracy makes the leader; None where the reports have none in common."""
    return next((name for name in DECIDING if all(name in report.accuracies for report in reports)), None)


def contenders_of(reports: Sequence[ComparedReport], deciding: str) -> list[Contender]:
    """A contender per report, in order. Raises RequestError where two reports have other labels for an example."""
    correct = [right_of(report, reports[0], deciding) for report in reports]
    return [
        Contender(
            report.name, from_here(report.file.parent), report.accuracies[deciding].accuracy,
            len(right[0]) if right else report.accuracies[deciding].seeds, right, data_of(report, deciding),
            report.fixed,
        )
        for report, right in zip(reports, correct, strict=True)
    ]  # fmt: skip


def from_here(folder: Path) -> str:
    """A folder as it may be typed: relative where it is below the working directory."""
    return str(folder.relative_to(here) if folder.is_relative_to(here := Path.cwd()) else folder)


def sets_of(report: ComparedReport, deciding: str) -> list[str]:
    """The sets that the accuracy on the deciding set is the mean of, by name."""
    return sorted(report.ood_sets) if deciding == "ood_mean" else [deciding]


def data_of(report: ComparedReport, deciding: str) -> object:
    """Equal for reports on the same examples and classes of the same sets; to nothing where that is not known."""
    sets = sets_of(report, deciding)
    prints = [report.fingerprint(name) for name in sets]
    if None in prints:
        return object()
    return tuple((name, at, report.classes_of(name)) for name, at in zip(sets, prints, strict=True))


def right_of(report: ComparedReport, other: ComparedReport, deciding: str) -> tuple[np.ndarray, ...] | None:
    """[S, N] for each set; None where that is not known, or the examples go by other ids than those of `other`."""
    if data_of(report, deciding) != data_of(other, deciding):
        return None
    found: list[SetPredictions] = []
    for name in sets_of(report, deciding):
        mine, theirs = ((one.predictions or {}).get(name) for one in (report, other))
        if mine is None or (theirs and not np.array_equal(mine.examples, theirs.examples)):
            return None
        if theirs:
            check_labels(name, other, report, (theirs, mine))
        found.append(mine)
    return tuple(one.correct for one in found) if len({one.seeds for one in found}) == 1 else None
