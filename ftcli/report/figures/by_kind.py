"""Every figure that a report has, and those of several reports side by side, by kind."""

from collections.abc import Mapping
from pathlib import Path

from ftcli.figures.panels import Panel
from ftcli.report.figures.accuracy import distortion_panels, id_ood_panels
from ftcli.report.figures.confusion import confusion_panels
from ftcli.report.figures.learning_curves import learning_curve_panels
from ftcli.report.types import Report


def report_panels(report: Report, folder: Path) -> dict[str, list[Panel]]:
    """The panels of a report by kind; without the kinds that it has nothing for. `folder`: where predictions.parquet
    lies.

    Raises RequestError for a predictions.parquet that holds no predictions.
    """
    from ftcli.report.figures.answers import answers_of  # NumPy and Arrow
    from ftcli.report.figures.calibration import reliability_panels

    one = {report.command: report}
    panels = {
        "id-ood": id_ood_panels(one),
        "distortion": distortion_panels(one),
        "learning-curves": learning_curve_panels(report),
        "reliability": reliability_panels(report, answers_of(report, folder)),
        "confusion": confusion_panels(report),
    }
    return {kind: found for kind, found in panels.items() if found}


def comparison_panels(reports: Mapping[str, Report]) -> dict[str, list[Panel]]:
    """The panels of several reports by kind; without the kinds that they have nothing for."""
    panels = {"id-ood": id_ood_panels(reports), "distortion": distortion_panels(reports)}
    return {kind: found for kind, found in panels.items() if found}
