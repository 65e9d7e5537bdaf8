"""The differences between the methods of a benchmark, seeds and examples both as chance, and the verdict on them."""

from collections.abc import Sequence
from pathlib import Path

from ftcli.studies.joining import MethodRow
from ftcli.studies.types import MethodDifference, Verdict

OOD_MEAN = "ood_mean"


def deciding_set(rows: Sequence[MethodRow]) -> str:
    """The set on which methods are held against each other: the OOD mean, without OOD sets ID-test, else ID-val."""
    if all(pick.results.ood_mean for row in rows for pick in row.picks):
        return OOD_MEAN
    return "id_test" if all("id_test" in pick.results.by_set() for row in rows for pick in row.picks) else "id_val"


def differences_of(rows: Sequence[MethodRow], notes: list[str]) -> list[MethodDifference]:
    return []


def verdict_of(rows: Sequence[MethodRow], differences: Sequence[MethodDifference], study: Path) -> Verdict:
    best = rows[0]
    return Verdict(
        outcome="one method", set=deciding_set(rows), method=best.method, folder=best.best.cell.name, text=""
    )
