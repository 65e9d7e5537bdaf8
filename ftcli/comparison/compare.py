"""Several reports as one comparison: accuracies side by side, and paired differences where the data are the same."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from ftcli.comparison.contenders import contenders_of, deciding_set
from ftcli.comparison.predictions import SetPredictions
from ftcli.comparison.reports import ComparedReport, open_reports, refuse
from ftcli.comparison.verdict import Verdict, verdict
from ftcli.comparison.verify import check_accuracies, check_labels, check_predictions
from ftcli.errors import RequestError, suggest
from ftcli.measures.method_difference import MethodDifference, method_difference
from ftcli.measures.paired import bootstrap_difference, holm, mcnemar
from ftcli.run_folder.names import REPORT

ALL_PAIRS_UP_TO = 4  # so many reports or methods are compared each with each; beyond that, each with one


@dataclass(frozen=True)
class Cell:
    """Accuracy of one report on one set, a fraction; `kind` is the interval's key in the report."""

    accuracy: float
    interval: tuple[float, float] | None
    kind: str | None


@dataclass(frozen=True)
class Row:
    """One report; `cells` has every set of the comparison, None where the report lacks it."""

    name: str
    command: str
    file: str
    seeds: int
    choice: str | None  # what it tuned, where the command tries several
    cells: dict[str, Cell | None]


Named = TypeVar("Named", ComparedReport, Row)


@dataclass(frozen=True)
class Difference:
    """Accuracy of `first` minus `second` on the same `n` examples of one set, mean over the seeds of each.

    interval: 95 % paired bootstrap over examples, with the seeds as they are. only_first, only_second: examples that
    one of the two selected runs gets right and the other does not; p: McNemar's exact test on them; p_holm: corrected
    over the sets of the pair. All four are None where a selected run is not known.
    scope: what can be said: something about the methods where both have several seeds or need none, else only about
    these runs. method_interval [95 %], method_p: of the methods, seeds and examples both as chance; method_p_holm:
    corrected over all sets and pairs of the comparison; None where the scope is "runs".
    """

    first: str
    second: str
    set: str
    n: int
    difference: float
    interval: tuple[float, float]
    seeds: tuple[int, int]
    only_first: int | None
    only_second: int | None
    p: float | None
    p_holm: float | None = None
    scope: Literal["methods", "runs"] = "runs"
    method_interval: tuple[float, float] | None = None
    method_p: float | None = None
    method_p_holm: float | None = None


@dataclass(frozen=True)
class Comparison:
    """A row per report in the order of the request; the sets, which are the columns: id_val, id_test, OOD sets,
    ood_mean; the paired differences; notes on what limits the comparison; and the verdict, None where nothing is held
    side by side.
    """

    sets: tuple[str, ...]
    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]
    verdict: Verdict | None = None


def compare(files: Sequence[Path], against: str | None = None) -> Comparison:
    """Read reports (files, or the folders that hold a report.json) and compare them.

    Up to four reports are paired each with each, the one typed earlier minus the later one; more each with the first
    (the other minus it); `against`, a row's name or one of `files` as typed, makes it each with that one (the other
    minus it). Differences are taken only where both reports saw the same examples, by fingerprint; each one left out
    is explained in `notes`.
    Raises RequestError for files that are missing or no report, for an `against` that is not among them, and where
    predictions contradict the report beside them, or the labels of another report.
    """
    if not files:
        refuse("no report to compare was given")
    reports = open_reports(files)
    for report in reports:
        check_accuracies(report)
        check_predictions(report)
    if not (sets := columns(reports)):
        refuse("none of the reports has an accuracy")
    notes = [
        f"{report.name}: no predictions.parquet beside its report, so no paired differences with it"
        for report in reports
        if report.predictions is None
    ]
    for name in sets:
        notes += notes_on_data(name, reports)
    differences: list[Difference] = []
    for first, second in pairs(reports, against):
        if first.predictions is not None and second.predictions is not None:
            differences += paired_differences(first, second, sets, notes)
    rows = tuple(row_of(report, sets) for report in reports)
    deciding = deciding_set(reports)
    found = verdict(contenders_of(reports, deciding), deciding) if deciding else None
    return Comparison(sets, rows, corrected_over_all(differences), tuple(dict.fromkeys(notes)), found)


def columns(reports: Sequence[ComparedReport]) -> tuple[str, ...]:
    """id_val, id_test, OOD sets in the order of their first report, ood_mean: those that some report has."""
    names = dict.fromkeys(name for report in reports for name in report.accuracies)
    ood = [name for name in names if name not in ("id_val", "id_test", "ood_mean")]
    return tuple(name for name in ("id_val", "id_test", *ood, "ood_mean") if name in names)


def row_of(report: ComparedReport, sets: Sequence[str]) -> Row:
    accuracies = report.accuracies
    cells = {
        name: Cell(entry.accuracy, entry.interval, entry.kind) if (entry := accuracies.get(name)) else None
        for name in sets
    }
    seeds = max((entry.seeds for entry in accuracies.values()), default=1)
    return Row(report.name, report.command, str(report.file), seeds, report.choice, cells)


def notes_on_data(name: str, reports: Sequence[ComparedReport]) -> list[str]:
    """Notes on a set whose accuracies in the reports are on different examples or among different classes."""
    reports = [report for report in reports if name in report.accuracies]
    if name == "ood_mean":
        same = len({report.ood_sets for report in reports}) == 1
        return [] if same else ["ood_mean: the reports average over different OOD sets, so these means do not compare"]
    notes = []
    if len({report.fingerprint(name) for report in reports}) > 1:
        notes.append(f"{name}: the reports saw different examples, so these accuracies compare only roughly")
    if len({report.classes_of(name) for report in reports}) > 1:
        notes.append(f"{name}: the reports choose among different classes, so these accuracies compare only roughly")
    return notes


def pairs(reports: Sequence[ComparedReport], against: str | None) -> list[tuple[ComparedReport, ComparedReport]]:
    """The pairs to compare, the minuend first: each with each, or each with `against` or the first report."""
    if against is None and len(reports) <= ALL_PAIRS_UP_TO:
        return list(itertools.combinations(reports, 2))
    reference = reports[0] if against is None else report_named(against, reports)
    return [(report, reference) for report in reports if report is not reference]


def report_named(against: str, reports: Sequence[Named]) -> Named:
    """The report of this name, file or folder among `reports`. Raises RequestError where there is none."""
    path = Path(against) / REPORT if Path(against).is_dir() else Path(against)
    for report in reports:
        if report.name == against or Path(report.file).resolve() == path.resolve():
            return report
    names = [report.name for report in reports]
    raise RequestError(
        f'"{against}" is not among the reports compared: {", ".join(names)}',
        suggest(against, names) or f"--against {names[0]}",
    )


def paired_differences(
    first: ComparedReport, second: ComparedReport, sets: Sequence[str], notes: list[str]
) -> list[Difference]:
    """The differences on all sets that both reports have; `notes` gets the reasons for those that are left out."""
    differences: list[Difference] = []
    for name in sets:
        if name == "ood_mean" or name not in first.accuracies or name not in second.accuracies:
            continue
        result = paired_difference(first, second, name, notes)
        if isinstance(result, str):
            notes.append(f"{name}, {first.name} and {second.name}: no paired difference, {result}")
        else:
            differences.append(result)
    corrected = iter(holm([pair.p for pair in differences if pair.p is not None]))
    return [pair if pair.p is None else replace(pair, p_holm=next(corrected)) for pair in differences]


def corrected_over_all(differences: Sequence[Difference]) -> tuple[Difference, ...]:
    """The tests of methods corrected over all sets and pairs: whoever looks for stars looks at all of them."""
    corrected = iter(holm([one.method_p for one in differences if one.method_p is not None]))
    return tuple(one if one.method_p is None else replace(one, method_p_holm=next(corrected)) for one in differences)


def paired_difference(first: ComparedReport, second: ComparedReport, name: str, notes: list[str]) -> Difference | str:
    """The difference on one set, or why there is none."""
    if first.fingerprint(name) is None or first.fingerprint(name) != second.fingerprint(name):
        return "because they did not see the same examples (no common fingerprint)"
    a, b = ((report.predictions or {}).get(name) for report in (first, second))
    if a is None or b is None:
        return "because predictions.parquet lacks examples or holds some twice"
    if not np.array_equal(a.examples, b.examples):
        return "because the examples go by other ids"
    check_labels(name, first, second, (a, b))
    only_first = only_second = p = None
    selected_a, selected_b = selected_correct(first, a, notes), selected_correct(second, b, notes)
    if selected_a is not None and selected_b is not None:
        only_first, only_second = int((selected_a & ~selected_b).sum()), int((selected_b & ~selected_a).sum())
        p = mcnemar(only_first, only_second)
    means = a.correct.mean(axis=0), b.correct.mean(axis=0)  # over seeds, [N] each
    low, high = bootstrap_difference(*means)
    found = Difference(
        first.name, second.name, name, len(a.examples), float(means[0].mean() - means[1].mean()), (low, high),
        (len(a.seeds), len(b.seeds)), only_first, only_second, p,
    )  # fmt: skip
    test = method_test(first, second, (a.correct, b.correct), notes)
    if test is None:
        return found
    return replace(found, scope="methods", method_interval=(test.low, test.high), method_p=test.p)


def method_test(
    first: ComparedReport, second: ComparedReport, correct: tuple[np.ndarray, np.ndarray], notes: list[str]
) -> MethodDifference | None:
    """The methods on one set; None where one has a single seed that is chance, and a note where the other has more."""
    reports = (first, second)
    single = [one for one, right in zip(reports, correct, strict=True) if len(right) == 1 and not one.fixed]
    if not single:
        return method_difference([correct[0]], [correct[1]], fixed=(first.fixed, second.fixed))
    if len(single) == 1:
        notes.append(f"{single[0].name}: one seed, so what is tested with it is about these runs, not the methods")
    return None


def selected_correct(report: ComparedReport, predictions: SetPredictions, notes: list[str]) -> np.ndarray | None:
    """What the selected seed got right, or the only seed: [N] boolean; None, and a note, where it is not known."""
    seed = report.selected_seed
    if seed in predictions.seeds:
        return predictions.correct[predictions.seeds.index(seed)]
    if len(predictions.seeds) == 1:
        return predictions.correct[0]
    notes.append(f"{report.name}: the selected seed ({seed}) has no predictions, so no McNemar test")
    return None
