"""Draws docs/figures/shuffle.svg from the reports of the block-shuffle study: `python docs/figures/shuffle.py RUNS`.

RUNS holds the folders shuffle-tuned-SIZE and shuffle-scratch-SIZE of docs/measures.md.
"""

import sys
from pathlib import Path
from statistics import fmean
from typing import Any

from ftcli.figures.panels import Curve, LinePlot
from ftcli.figures.plots import save_panels
from ftcli.report.read import read_report

SIZES = (1, 4, 8, 32)
KINDS = {"tuned": "fine-tuned", "scratch": "from scratch"}
FIGURE = Path(__file__).with_suffix(".svg")


def accuracy(reports: list[dict[str, Any]], label: str) -> Curve:
    """ID-test, with Wilson's 95 % interval as a band."""
    figures = [report["results"]["id_test"] for report in reports]
    low, high = ([100 * values["accuracy_ci95"][end] for values in figures] for end in (0, 1))
    return Curve(label, SIZES, [100 * values["accuracy"] for values in figures], low, high)


def speed(reports: list[dict[str, Any]], label: str) -> Curve:
    """The mean over epochs of ID-val accuracy."""
    histories = [report["runs"][0]["history"] for report in reports]
    return Curve(label, SIZES, [100 * fmean(epoch["id_val"]["accuracy"] for epoch in history) for history in histories])


def main(runs: Path) -> None:
    by_kind = {kind: [read_report(runs / f"shuffle-{kind}-{size}") for size in SIZES] for kind in KINDS}
    panels = [
        LinePlot(
            title, [curve(by_kind[kind], label) for kind, label in KINDS.items()], x="side of a patch (pixels)",
            y="accuracy (%)", log_x=True,
        )
        for title, curve in (("ID-test", accuracy), ("ID-val, mean over epochs", speed))
    ]  # fmt: skip
    save_panels(FIGURE, panels)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
