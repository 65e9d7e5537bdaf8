"""Several reports as one comparison: accuracies side by side, and paired differences where the data are the same."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ftcli.comparison.predictions import PredictionTable, read_predictions
from ftcli.comparison.verify import check_labels, check_predictions, check_report, figures_of
from ftcli.console.cells import interval_of
from ftcli.errors import RequestError, suggest
from ftcli.measures.paired import bootstrap_difference, holm, mcnemar
from ftcli.measures.types import Figures, MeanAccuracy
from ftcli.report.read import read_report
from ftcli.report.types import Report
from ftcli.run_folder.folder import PREDICTIONS, REPORT
from ftcli.text import shortest_tails

MOST_SETS = 1_000  # more columns nobody reads, and each has a bootstrap of its own
PAIRS_UP_TO = 4  # so many reports are compared each with each; beyond that, each with one


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


@dataclass(frozen=True)
class Difference:
    """Accuracy of `first` minus `second` on the same `n` examples of one set, mean over the seeds of each.

    interval: 95 % paired bootstrap. only_first, only_second: examples that one of the two selected runs gets right and
    the other does not; p: McNemar's exact test on them; p_holm: corrected over the sets of the pair. All four are None
    where a selected run is not known.
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


@dataclass(frozen=True)
class Comparison:
    """Rows in the order asked for; sets as columns: id_val, id_test, OOD sets, ood_mean; notes: what to beware of."""

    sets: tuple[str, ...]
    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Report:
    name: str
    file: Path
    content: Report
    scored: dict[str, PredictionTable | None] | None  # by set; None without predictions.parquet

    @cached_property
    def figures(self) -> dict[str, Figures | MeanAccuracy]:
        """The entry R of each set that has an accuracy, in the order of the report."""
        return figures_of(self.content)

    def data(self, name: str) -> dict[str, Any]:
        """What the report says of a set's examples."""
        data = self.content.get("data") or {}
        return (data if name in ("id_val", "id_test") else data.get("ood") or {}).get(name) or {}

    def fingerprint(self, name: str) -> str | None:
        return self.data(name).get("fingerprint")

    def classes(self, name: str) -> frozenset[str]:
        """The classes that can be predicted on a set."""
        covered = self.data(name).get("restricted_to")
        return self.every_class if covered is None else frozenset(self.content["data"]["classes"][i] for i in covered)

    @cached_property
    def every_class(self) -> frozenset[str]:
        return frozenset(self.content["data"]["classes"])


def compare(files: Sequence[Path], against: str | None = None) -> Comparison:
    """Read reports (files, or the folders that hold a report.json) and hold them side by side.

    Up to four reports are paired each with each, the one typed earlier minus the later one; more each with the first
    (the other minus it); `against`, a row's name or one of `files` as typed, makes it each with that one (the other
    minus it). Differences are taken only where both reports saw the same examples, by fingerprint; each one left out
    is explained in `notes`.
    Raises RequestError for files that are missing or no report, for an `against` that is not among them, and where
    predictions contradict the report beside them, or the labels of another report.
    """
    if not files:
        _refuse("no report to compare was given")
    reports = _open(files)
    if not (sets := _columns(reports)):
        _refuse("none of the reports has an accuracy")
    lacking = [report.name for report in reports if report.scored is None]
    notes = [f"{name}: no predictions.parquet beside its report, so no paired differences with it" for name in lacking]
    for name in sets:
        _note_other_data(name, reports, notes)
    differences: list[Difference] = []
    for first, second in _pairs(reports, _reference(reports, against)):
        if first.scored is not None and second.scored is not None:
            differences += _paired(first, second, sets, notes)
    rows = tuple(_row(report, sets) for report in reports)
    return Comparison(sets, rows, tuple(differences), tuple(dict.fromkeys(notes)))


def _open(files: Sequence[Path]) -> list[_Report]:
    """Every report once, with a name of its own."""
    paths = {path.resolve(): path for path in (file / REPORT if file.is_dir() else file for file in files)}
    contents = {path: read_report(path) for path in paths.values()}
    for path, content in contents.items():
        if content["command"] in NOT_OF_ONE_MODEL:
            _refuse(f"{str(path)!r} is a report of `{content['command']}`, which has no figures of one model")
        if (sets := len(figures_of(content))) > MOST_SETS:
            raise RequestError(
                f"{str(path)!r} has accuracies on {sets:,} sets, and at most {MOST_SETS:,} are compared",
                "evaluate the models on fewer sets at a time",
            )
    names = _names(list(paths), [content["command"] for content in contents.values()])
    return [
        _Report(name, path, content, _scored(path, content))
        for name, (path, content) in zip(names, contents.items(), strict=True)
    ]


def _scored(path: Path, content: Report) -> dict[str, PredictionTable | None] | None:
    """The predictions beside a report, where they are its own."""
    check_report(path, content)
    predictions = path.with_name(PREDICTIONS)
    if (scored := read_predictions(predictions)) is not None:
        check_predictions(predictions, content, scored)
    return scored


NOT_OF_ONE_MODEL = ("distortion", "agreement", "criticality", "theory")


def _refuse(problem: str) -> NoReturn:
    raise RequestError(problem, "name folders or report.json files that ftcli wrote: ftcli compare runs/*/report.json")


def _names(paths: Sequence[Path], commands: Sequence[str]) -> list[str]:
    """Commands where they differ, else folder names, with as many parents as it takes to tell all apart."""
    if max(Counter(commands).values()) == 1:
        return list(commands)
    places = [path.parent if path.name == REPORT else path for path in paths]
    return shortest_tails([str(place) for place in places])


def _columns(reports: Sequence[_Report]) -> tuple[str, ...]:
    """id_val, id_test, OOD sets as they first appear, ood_mean: those that some report has."""
    seen = dict.fromkeys(name for report in reports for name in report.figures)
    ood = [name for name in seen if name not in ("id_val", "id_test", "ood_mean")]
    return tuple(name for name in ("id_val", "id_test", *ood, "ood_mean") if name in seen)


def _row(report: _Report, sets: Sequence[str]) -> Row:
    figures = report.figures
    seeds = max((int(entry.get("n_seeds") or 1) for entry in figures.values()), default=1)
    cells = {name: _cell(figures[name]) if name in figures else None for name in sets}
    return Row(report.name, report.content["command"], str(report.file), seeds, _choice(report.content), cells)


def _choice(content: Report) -> str | None:
    """The choice whose figures a report's results are; of `adapt` with the method."""
    picked = (content["selected"] or {}).get("choice")
    if content["command"] == "adapt" and content.get("choices"):
        return f"{content['config']['method']} {next(iter(content['choices']))}"
    return picked


def _cell(entry: Figures | MeanAccuracy) -> Cell:
    kind, bounds = interval_of(entry) or (None, None)
    return Cell(float(entry["accuracy"]), (float(bounds[0]), float(bounds[1])) if bounds else None, kind)


def _reference(reports: Sequence[_Report], against: str | None) -> _Report | None:
    """The report that all others are held against, or None for each with each."""
    if against is None:
        return reports[0] if len(reports) > PAIRS_UP_TO else None
    place = Path(against) / REPORT if Path(against).is_dir() else Path(against)
    for report in reports:
        if report.name == against or report.file.resolve() == place.resolve():
            return report
    names = [report.name for report in reports]
    raise RequestError(
        f'"{against}" is not among the reports compared: {", ".join(names)}',
        suggest(against, names) or f"--against {names[0]}",
    )


def _pairs(reports: Sequence[_Report], reference: _Report | None) -> list[tuple[_Report, _Report]]:
    if reference is not None:
        return [(report, reference) for report in reports if report is not reference]
    return list(itertools.combinations(reports, 2))


def _note_other_data(name: str, reports: Sequence[_Report], notes: list[str]) -> None:
    """Say so where one column holds accuracies on different examples."""
    having = [report for report in reports if name in report.figures]
    if name == "ood_mean":
        if len({frozenset(report.content["results"].get("ood") or {}) for report in having}) > 1:
            notes.append("ood_mean: the reports average over different OOD sets, so these means do not compare")
        return
    if len({report.fingerprint(name) for report in having}) > 1:
        notes.append(f"{name}: the reports saw different examples, so these accuracies compare only roughly")
    if len({report.classes(name) for report in having}) > 1:
        notes.append(f"{name}: the reports choose among different classes, so these accuracies compare only roughly")


def _paired(first: _Report, second: _Report, sets: Sequence[str], notes: list[str]) -> list[Difference]:
    found: list[Difference] = []
    for name in sets:
        if name == "ood_mean" or name not in first.figures or name not in second.figures:
            continue
        result = _difference(first, second, name, notes)
        if isinstance(result, str):
            notes.append(f"{name}, {first.name} and {second.name}: no paired difference, {result}")
        else:
            found.append(result)
    corrected = iter(holm([row.p for row in found if row.p is not None]))
    return [row if row.p is None else replace(row, p_holm=next(corrected)) for row in found]


def _difference(first: _Report, second: _Report, name: str, notes: list[str]) -> Difference | str:
    """The difference on one set, or why there is none."""
    if first.fingerprint(name) is None or first.fingerprint(name) != second.fingerprint(name):
        return "because they did not see the same examples (no common fingerprint)"
    a, b = ((report.scored or {}).get(name) for report in (first, second))
    if a is None or b is None:
        return "because predictions.parquet lacks examples or holds some twice"
    if not np.array_equal(a.examples, b.examples):
        return "because the examples go by other ids"
    check_labels(name, (first.file.with_name(PREDICTIONS), second.file.with_name(PREDICTIONS)), a, b)
    only_first = only_second = p = None
    chosen = [_selected(report, scored, notes) for report, scored in ((first, a), (second, b))]
    if chosen[0] is not None and chosen[1] is not None:
        only_first = int((chosen[0] & ~chosen[1]).sum())
        only_second = int((chosen[1] & ~chosen[0]).sum())
        p = mcnemar(only_first, only_second)
    right = a.correct.mean(axis=0), b.correct.mean(axis=0)  # [N] each
    low, high = bootstrap_difference(*right)
    return Difference(
        first.name, second.name, name, len(a.examples), float(right[0].mean() - right[1].mean()), (low, high),
        (len(a.seeds), len(b.seeds)), only_first, only_second, p,
    )  # fmt: skip


def _selected(report: _Report, scored: PredictionTable, notes: list[str]) -> np.ndarray | None:
    """What the selected seed got right: [N] boolean; the only seed where there is one."""
    seed = (report.content.get("selected") or {}).get("seed")
    if seed in scored.seeds:
        return scored.correct[scored.seeds.index(seed)]
    if len(scored.seeds) == 1:
        return scored.correct[0]
    notes.append(f"{report.name}: the selected seed ({seed}) has no predictions, so no McNemar test")
    return None
