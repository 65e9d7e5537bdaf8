"""Learning curves of a report as panels: loss and accuracy by epoch."""

from collections.abc import Callable, Sequence
from statistics import fmean

from msgspec import UNSET

from ftcli.console.cells import set_name
from ftcli.engine.types import Epoch, RunRecord, Score, Selected
from ftcli.figures.panels import Curve, LinePlot, Panel
from ftcli.report.figures.sets import shown_of
from ftcli.report.types import Report

MOST_CURVES = 12  # that have a style of their own
EPOCH = "epoch"


def learning_curve_panels(report: Report) -> list[Panel]:
    """Training loss and accuracy by epoch of the picked runs, and ID-val accuracy by epoch of every learning rate.

    A curve is the mean over the seeds, its band the range from the lowest to the highest seed. OOD accuracy is there
    where it was measured every epoch. Empty without a history of two epochs.
    """
    picked = picked_runs(report)
    if max((len(run.epochs()) for run in picked), default=0) < 2:
        return []
    seeds = f"curves: mean of {len(picked)} seeds, bands: their range" if len(picked) > 1 else ""
    rates = " and ".join(dict.fromkeys(f"{run.lr:g}" for run in picked if run.lr is not UNSET))
    of = f" at the picked learning rate ({rates})" if rates else ""
    sets = list(dict.fromkeys(name for run in picked for epoch in run.epochs() for name in ood_scores(epoch)))
    shown = shown_of(sets, lambda name: last_accuracy(picked, name), MOST_CURVES - 1)
    few = f"shown are the {len(shown)} least accurate of {len(sets)} OOD sets" if len(shown) < len(sets) else ""
    note = "; ".join(filter(None, (seeds, few)))
    accuracies = [curve(set_name("id_val"), picked, lambda epoch: 100 * epoch.id_val.accuracy)]
    accuracies += [curve(name, picked, accuracy_on(name)) for name in shown]
    panels: list[Panel] = [
        LinePlot(f"Training loss{of}", [curve("", picked, lambda epoch: epoch.loss)], EPOCH, "loss (nats)", note=note),
        LinePlot(f"Accuracy{of}", accuracies, EPOCH, "accuracy (%)", note=note),
    ]
    return [*panels, *rate_panels(report, picked, note)]


def rate_panels(report: Report, picked: Sequence[RunRecord], note: str) -> list[Panel]:
    """ID-val accuracy by epoch at every learning rate; none where there is only one."""
    choices = {run.choice for run in picked}
    by_rate: dict[float, list[RunRecord]] = {}
    for run in report.runs:
        if run.lr is not UNSET and run.choice in choices and run.epochs():
            by_rate.setdefault(run.lr, []).append(run)
    if len(by_rate) < 2:
        return []
    middle = fmean(run.lr for run in picked if run.lr is not UNSET)
    near = shown_of([*map(str, by_rate)], lambda rate: abs(float(rate) - middle), MOST_CURVES)
    left_out = f", the {len(near)} nearest to the pick of {len(by_rate)}" if len(near) < len(by_rate) else ""
    curves = [
        curve(f"lr {rate:g}", found, lambda epoch: 100 * epoch.id_val.accuracy)
        for rate, found in by_rate.items()
        if str(rate) in near
    ]
    return [LinePlot(f"ID-val accuracy by learning rate{left_out}", curves, EPOCH, "accuracy (%)", note=note)]


def picked_runs(report: Report) -> list[RunRecord]:
    """The run of each seed's pick; empty of a report without runs that a loop trained."""
    if report.runs is UNSET or not report.selected:
        return []
    picks = [report.selected] if report.seeds is UNSET else [seed.selected for seed in report.seeds]
    return [run for pick in picks for run in report.runs if is_pick(run, pick) and run.epochs()]


def is_pick(run: RunRecord, pick: Selected) -> bool:
    same_choice = run.choice == pick.choice or pick.choice is UNSET
    return same_choice and run.seed == pick.seed and run.lr == pick.lr


def curve(label: str, runs: Sequence[RunRecord], value: Callable[[Epoch], float | None]) -> Curve:
    """The mean over the runs of a value at every epoch that all of them have, and its range where there are several."""
    by_epoch: dict[int, list[float]] = {}
    for epoch in (epoch for run in runs for epoch in run.epochs()):
        if (found := value(epoch)) is not None:
            by_epoch.setdefault(epoch.epoch, []).append(found)
    points = {epoch: values for epoch, values in sorted(by_epoch.items()) if len(values) == len(runs)}
    x, y = [float(epoch) for epoch in points], [fmean(values) for values in points.values()]
    if len(runs) == 1:
        return Curve(label, x, y)
    return Curve(label, x, y, [min(values) for values in points.values()], [max(values) for values in points.values()])


def ood_scores(epoch: Epoch) -> dict[str, Score]:
    return {} if epoch.ood is UNSET else epoch.ood


def accuracy_on(name: str) -> Callable[[Epoch], float | None]:
    """Accuracy in per cent on an OOD set, of an epoch that measured it."""
    return lambda epoch: 100 * ood_scores(epoch)[name].accuracy if name in ood_scores(epoch) else None


def last_accuracy(runs: Sequence[RunRecord], name: str) -> float:
    """The mean over runs of the accuracy on an OOD set at the last epoch that measured it."""
    found = [[score.accuracy for epoch in run.epochs() if (score := ood_scores(epoch).get(name))] for run in runs]
    return fmean([values[-1] for values in found if values] or [0.0])
