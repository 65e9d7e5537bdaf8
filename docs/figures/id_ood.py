"""Draws docs/figures/id-ood.svg, ID against OOD accuracy: `python docs/figures/id_ood.py PROBE FINETUNE LPFT`.

The arguments are the run folders of docs/results.md, section "ID against OOD accuracy". Each seed is one point.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib

from ftcli.report.read import read_report

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FIGURE = Path(__file__).with_name("id-ood.svg")
METHODS = (  # label, colour and marker, legible in grey and for colour-blind readers
    ("linear probing (LP)", "#0072B2", "s"),
    ("fine-tuning (FT)", "#D55E00", "o"),
    ("LP-FT", "#009E73", "^"),
)


def accuracies(folder: Path) -> list[tuple[float, float]]:
    """Accuracy on ID-test and mean accuracy over the OOD sets, in per cent, of every seed."""
    report = read_report(folder)
    seeds = [seed["results"] for seed in report.get("seeds") or []] or [report["results"]]
    return [(100 * sets["id_test"]["accuracy"], 100 * sets["ood_mean"]["accuracy"]) for sets in seeds]


def main(folders: Sequence[str]) -> None:
    plt.rcParams.update({"svg.hashsalt": "ftcli", "svg.fonttype": "path", "font.size": 9})  # the same bytes each time
    figure, axes = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
    for (label, colour, marker), folder in zip(METHODS, folders, strict=True):
        points = accuracies(Path(folder))
        axes.scatter(
            *zip(*points, strict=True), s=60, c=colour, marker=marker, label=label, edgecolor="white", zorder=2
        )
    axes.set_xlabel("in distribution: accuracy on other photographs (%)")
    axes.set_ylabel("out of distribution: mean accuracy\non paintings and sketches (%)")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", frameon=False)
    figure.savefig(FIGURE, metadata={"Date": None})


if __name__ == "__main__":
    main(sys.argv[1:])
