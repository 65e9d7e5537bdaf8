"""OOD accuracy of reports as panels: against ID accuracy, and against feature distortion."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from msgspec import UNSET

from ftcli.console.cells import interval_of, set_name
from ftcli.figures.panels import Panel, PointGroup, ScatterPlot
from ftcli.measures.types import Figures, FiguresBySet, MeanAccuracy
from ftcli.model.names import PENULTIMATE
from ftcli.report.figures.sets import MOST_SETS, shown_of
from ftcli.report.types import Report

MEAN = "ood_mean"
INTERVALS = {"accuracy_ci95": "95 % intervals of one run", "ci90": "90 % intervals over seeds"}
MOST_POINTS = 12  # sets in a panel of one report


class Measured(NamedTuple):
    """A quantity in the unit of its axis; the ends and the kind of its interval where it has one."""

    value: float
    low: float | None = None
    high: float | None = None
    kind: str = ""


class Point(NamedTuple):
    """One report on one OOD set, or on their mean."""

    report: str
    ood: str
    x: Measured
    y: Measured


def id_ood_panels(reports: Mapping[str, Report]) -> list[Panel]:
    """Accuracy on the OOD mean and on each OOD set against accuracy in distribution, in per cent: a panel for each,
    with a point for each report, by its name; of one report one panel with a point for each set. Reports without both
    accuracies are left out; without any there is no panel. ID-test is ID accuracy, or ID-val where no report has it.

    Error bars are the intervals of the report: over seeds where there are several, else Wilson's of one run.
    """
    results = {name: report.results for name, report in reports.items() if report.results is not UNSET}
    role = "id_test" if any(found.id_test is not UNSET for found in results.values()) else "id_val"
    points = [
        Point(name, ood, accuracy(found[role]), accuracy(entry))
        for name, found in results.items()
        for ood, entry in ood_entries(found).items()
        if role in found
    ]
    return scatter_plots(points, "ID and OOD accuracy", f"{set_name(role)} accuracy (%)", diagonal=True)


def distortion_panels(reports: Mapping[str, Report]) -> list[Panel]:
    """Accuracy on the OOD mean and on each OOD set, in per cent, against the distance of its features (the head's
    input) from those of the start, RMS over √D; panels and points as of `id_ood_panels`, of the reports that measured
    distortion. Both are those of the saved model, also where the report averages several seeds.
    """
    points = []
    for name, report in reports.items():
        results, distances = saved_results(report), penultimate_distances(report)
        for ood, entry in (ood_entries(results) if results else {}).items():
            among = list(results.ood) if results and ood == MEAN else [ood]
            if all(one in distances for one in among):
                points.append(Point(name, ood, Measured(fmean(distances[one] for one in among)), accuracy(entry)))
    return scatter_plots(points, "Feature distortion and OOD accuracy", "distance of features (RMS over √D)")


def ood_entries(results: FiguresBySet) -> dict[str, Figures | MeanAccuracy]:
    """The OOD mean, where there are several sets, and the OOD sets."""
    mean = {MEAN: results.ood_mean} if results.ood_mean and len(results.ood) > 1 else {}
    return mean | results.ood


def accuracy(entry: Figures | MeanAccuracy) -> Measured:
    """An accuracy in per cent with the interval that says most about it."""
    found = interval_of(entry)
    if found is None:
        return Measured(100 * entry.accuracy)
    kind, (low, high) = found
    return Measured(100 * entry.accuracy, 100 * low, 100 * high, kind)


def scatter_plots(points: Sequence[Point], title: str, x: str, diagonal: bool = False) -> list[Panel]:
    """A panel for each OOD set, the mean first; of one report one panel. Of many sets the least accurate are shown."""
    one = len({point.report for point in points}) == 1
    sets = list(dict.fromkeys(point.ood for point in points if point.ood != MEAN))

    def mean_accuracy(ood: str) -> float:
        return fmean(point.y.value for point in points if point.ood == ood)

    shown = shown_of(sets, mean_accuracy, MOST_POINTS if one else MOST_SETS - 1)
    few = f"shown are the {len(shown)} least accurate of {len(sets)} OOD sets" if len(shown) < len(sets) else ""
    if one:
        groups = [group_of(set_name(point.ood), point) for point in points if point.ood in (*shown, MEAN)]
        return [ScatterPlot(title, groups, x, "OOD accuracy (%)", diagonal, note_on(points, few))]
    panels: list[Panel] = []
    for ood in (MEAN, *shown):
        if found := [point for point in points if point.ood == ood]:
            what = f"mean of {len(sets)} OOD sets" if ood == MEAN else ood
            groups = [group_of(point.report, point) for point in found]
            y = f"{set_name(ood)} accuracy (%)"
            panels.append(ScatterPlot(f"{title}: {what}", groups, x, y, diagonal, note_on(points, few)))
    return panels


def group_of(label: str, point: Point) -> PointGroup:
    (x, x_low, x_high, _), (y, y_low, y_high, _) = point.x, point.y
    return PointGroup(label, [x], [y], [x_low], [x_high], [y_low], [y_high])


def note_on(points: Sequence[Point], left_out: str) -> str:
    """Which intervals the error bars are, and what is left out."""
    kinds = {measured.kind for point in points for measured in (point.x, point.y)}
    words = [words for kind, words in INTERVALS.items() if kind in kinds]
    bars = f"error bars: {' or '.join(words)}" if words else ""
    return "; ".join(filter(None, (bars, left_out)))


def penultimate_distances(report: Report) -> dict[str, float]:
    """By set: RMS distance of the features of the saved model from those of its start; empty where not measured."""
    distortion = report.get("distortion")
    if distortion is None:
        return {}
    return {name: blocks[PENULTIMATE].rms for name, blocks in distortion.sets.items() if PENULTIMATE in blocks}


def saved_results(report: Report) -> FiguresBySet | None:
    """The results of the saved model: with several seeds, of the one that was selected; None where there are none."""
    if report.results is UNSET:
        return None
    if report.seeds is UNSET:
        return report.results
    seed = report.selected.seed if report.selected else None
    return next((one.results for one in report.seeds if one.selected.seed == seed), None)
