"""Every figure that a report has, and those of several reports side by side, by kind."""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from ftcli.commands import COMMANDS, import_named
from ftcli.errors import RequestError
from ftcli.figures.panels import Panel
from ftcli.report.figures.accuracy import distortion_panels, id_ood_panels
from ftcli.report.figures.confusion import confusion_panels
from ftcli.report.figures.learning_curves import learning_curve_panels
from ftcli.report.types import Report

NEEDS = (
    "OOD accuracy needs --ood, curves a training of two epochs, distortion --measure distortion, matrices --confusion"
)


def report_panels(report: Report, folder: Path) -> dict[str, list[Panel]]:
    """The panels of a report by kind; without the kinds that it has nothing for. `folder`: where predictions.parquet
    lies.

    Raises RequestError for a predictions.parquet that holds no predictions.
    """
    if own := import_named(COMMANDS[report.command].panels):
        return {report.command: own(report)}
    from ftcli.report.figures.answers import answers_of  # NumPy and Arrow
    from ftcli.report.figures.calibration import reliability_panels

    one = {report.command: report}
    measured = [row.panels for name, row in COMMANDS.items() if row.measure and name in report]
    panels = {
        "id-ood": id_ood_panels(one),
        "distortion": [*distortion_panels(one), *chain.from_iterable(import_named(name)(report) for name in measured)],
        "learning-curves": learning_curve_panels(report),
        "reliability": reliability_panels(report, answers_of(report, folder)),
        "confusion": confusion_panels(report),
    }
    return {kind: found for kind, found in panels.items() if found}


def comparison_panels(reports: Mapping[str, Report]) -> dict[str, list[Panel]]:
    """The panels of several reports by kind; without the kinds that they have nothing for."""
    panels = {"id-ood": id_ood_panels(reports), "distortion": distortion_panels(reports)}
    return {kind: found for kind, found in panels.items() if found}


def chosen_panels(panels: Mapping[str, Sequence[Panel]], kinds: Sequence[str] | None, source: str) -> list[Panel]:
    """The panels of the kinds asked for, or of all. Raises RequestError where there are none. `source`: what has them,
    in words.
    """
    missing = [kind for kind in kinds or () if kind not in panels]
    if missing:
        there = ", ".join(panels)
        raise RequestError(
            f"--figures {','.join(missing)}: {source} has nothing to draw of this kind.",
            f"--figures takes what there is: {there}" if there else NEEDS,
        )
    if not panels:
        raise RequestError(f"--plot: {source} has nothing to draw.", NEEDS)
    return [panel for kind, found in panels.items() if kinds is None or kind in kinds for panel in found]
