"""What the norm of the probed head goes with: the calibration of each stage, and the change of the features."""

from msgspec import UNSET
from rich.table import Table

from ftcli.console.cells import Layout, percent, set_name, text
from ftcli.measures.types import FiguresBySet
from ftcli.model.names import PENULTIMATE
from ftcli.report.types import Report

NOTHING = "-"
ROWS = {"probe": "probe", "start": "scaled", "saved": "saved"}
SETS = ("id_test", "id_val")  # of which the figures are shown: the first that there is
HEADS = ["", "C", "‖W‖", "‖b‖", "ECE", "ECE, T", "feature change"]


def heads_table(report: Report) -> Table | None:
    """The heads of a report, with the calibration and the feature change of their models; None where it has none, or
    where neither --probe-c nor --head-scale is given.
    """
    if report.heads is UNSET or not asked_for(report) or report.stages is UNSET:
        return None
    shown = next(name for name in SETS if name in report.results.by_set())
    probe = report.stages["probe"]
    results = {"probe": probe.results, "saved": report.results}
    C = {"probe": f"{probe.selected.C:.3g}"}
    rows = [
        [
            ROWS[name], C.get(name, ""), f"{norms.weight:.4g}", f"{norms.bias:.4g}",
            *calibration(results.get(name), shown), feature_change(report, shown) if name == "saved" else "",
        ]
        for name, norms in report.heads.items()
    ]  # fmt: skip
    measured = "ECE and feature change" if "distortion" in report else "ECE"
    caption = f"{measured} on {set_name(shown)}, in per cent; T: with the temperature fitted on ID-val"
    layout = Layout(HEADS, [[text(cell) for cell in row] for row in rows])
    return layout.without([] if "distortion" in report else HEADS[-1:]).table("Head", caption)


def asked_for(report: Report) -> bool:
    """Whether the head was changed on purpose."""
    return bool(report.config.get("probe_c")) or report.config.get("head_scale", 1.0) != 1.0


def calibration(results: FiguresBySet | None, name: str) -> list[str]:
    """ECE of a stage on a set, plain and with the temperature."""
    if results is None:
        return ["", ""]
    figures = results.by_set()[name]
    return [percent(figures.ece), NOTHING if figures.ece_calibrated is UNSET else percent(figures.ece_calibrated)]


def feature_change(report: Report, name: str) -> str:
    """The mean distance of the head's input from that of the start, over the start's norm."""
    relative = report["distortion"].sets[name][PENULTIMATE].relative if "distortion" in report else None
    return NOTHING if relative is None else percent(relative)
