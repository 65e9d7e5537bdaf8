"""The differences between the methods of a benchmark, seeds and examples both as chance, and the verdict on them."""

import itertools
from collections.abc import Sequence
from statistics import fmean

from msgspec import UNSET

from ftcli.comparison.compare import ALL_PAIRS_UP_TO
from ftcli.comparison.verdict import Contender, difference_of, verdict
from ftcli.measures.paired import holm
from ftcli.studies.joining import MethodRow
from ftcli.studies.types.study import MethodDifference, Verdict

OOD_MEAN = "ood_mean"


def deciding_set(rows: Sequence[MethodRow]) -> str:
    """The set on which methods are held against each other: the OOD mean, without OOD sets ID-test, else ID-val."""
    if all(pick.results.ood_mean for row in rows for pick in row.picks):
        return OOD_MEAN
    return "id_test" if all("id_test" in pick.results.by_set() for row in rows for pick in row.picks) else "id_val"


def accuracy(row: MethodRow, name: str) -> float | None:
    """Mean accuracy over the seeds on a set, or the mean over OOD sets; None where a seed was not measured there."""
    found = [one.results.ood_mean if name == OOD_MEAN else one.results.by_set().get(name) for one in row.picks]
    known = [entry.accuracy for entry in found if entry]
    return fmean(known) if len(known) == len(found) else None


def contender(row: MethodRow, name: str) -> Contender:
    """A method as the verdict has it, on one set or on the mean over its OOD sets."""
    sets = sorted(row.picks[0].results.ood) if name == OOD_MEAN else [name]  # in one order, however typed
    correct = [row.correct(one) for one in sets]
    known = tuple(matrix for matrix in correct if matrix is not None)
    data = tuple((one, *sorted({pick.data[one] for pick in row.picks if one in pick.data})) for one in sets)
    return Contender(
        row.method, row.best.cell.name, accuracy(row, name) or 0.0, len(row.picks),
        known if len(known) == len(correct) else None, data, fixed=not row.draws_numbers,
    )  # fmt: skip


def differences_of(rows: Sequence[MethodRow]) -> list[MethodDifference]:
    """The differences on every set and on the OOD mean, pair by pair, the first of a pair minus the second: of all
    pairs, or of more than four methods of each with the leader, that minus the leader.

    p values are corrected (Holm) over all pairs and sets; the mean over the OOD sets is a question of its own.
    """
    if len(rows) < 2:
        return []
    decides = deciding_set(rows)
    leader = max(rows, key=lambda row: accuracy(row, decides) or 0.0)
    pairs = list(itertools.combinations(rows, 2))
    if len(rows) > ALL_PAIRS_UP_TO:
        pairs = [(row, leader) for row in rows if row is not leader]
    found = [one for first, second in pairs for one in differences_of_pair(first, second)]
    tested = [one for one in found if one.p is not UNSET and one.set != OOD_MEAN]
    for one, p in zip(tested, holm([one.p for one in tested if one.p is not UNSET]), strict=True):
        one.p_holm = p
    return found


def differences_of_pair(first: MethodRow, second: MethodRow) -> list[MethodDifference]:
    """The differences on the sets that both have the same examples of."""
    names = [one for one in first.picks[0].results.by_set() if one in second.picks[0].results.by_set()]
    names += [OOD_MEAN] * all(row.picks[0].results.ood_mean is not None for row in (first, second))
    return [one for name in names if (one := difference_on(name, first, second))]


def difference_on(name: str, first: MethodRow, second: MethodRow) -> MethodDifference | None:
    """The difference on one set; None where the two did not see the same examples."""
    one, other = contender(first, name), contender(second, name)
    if one.data != other.data:
        return None
    found = MethodDifference(first=one.name, second=other.name, set=name, difference=one.accuracy - other.accuracy)
    if one.correct is None or other.correct is None:
        return found
    test = difference_of(one, other)
    found.interval, found.p, found.scope = [test.low, test.high], test.p, scope_of(one, other)
    return found


def scope_of(*contenders: Contender) -> str:
    """Whether a test is about the methods, or only about these runs, because one has a single seed."""
    return "methods" if all(one.for_its_method for one in contenders) else "runs"


def verdict_of(rows: Sequence[MethodRow]) -> Verdict:
    """The verdict on the rows of a benchmark that the selection rule takes."""
    decides = deciding_set(rows)
    found = verdict([contender(row, decides) for row in rows], decides)
    if found is None:
        one = contender(rows[0], decides)
        return Verdict(
            outcome="one method", set=decides, method=one.name, folder=one.folder, accuracy=one.accuracy,
            text=f"One method, {one.name}: there is nothing to compare it with. Its model is in {one.folder}.",
        )  # fmt: skip
    return Verdict(
        outcome=found.outcome, scope=found.scope or UNSET, set=decides, method=found.leader, folder=found.folder,
        accuracy=found.accuracy, runner_up=found.runner_up, difference=found.difference,
        interval=list(found.interval) if found.interval else UNSET, p=UNSET if found.p is None else found.p,
        not_told_apart=list(found.not_told_apart), text=found.sentence,
    )  # fmt: skip
