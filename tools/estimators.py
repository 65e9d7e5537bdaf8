"""How far estimates of accuracy lie from the truth, over the labelled sets of some reports made with --estimate.

python -m tools.estimators RUN…

Prints, for each estimator, the mean absolute and the mean signed error in points over all sets and runs, and the mean
over the runs of Spearman's rank correlation between estimate and accuracy over the sets.
"""

import sys
from pathlib import Path
from statistics import fmean

from scipy.stats import spearmanr

from ftcli.measures.types import FiguresBySet
from ftcli.report.read import read_report

TRIVIAL = "accuracy of ID-val"
Pairs = list[tuple[float, float]]  # estimate and accuracy of each set


def pairs_of(results: FiguresBySet) -> dict[str, Pairs]:
    """By estimator, over the OOD sets of one run."""
    found: dict[str, Pairs] = {}
    for figures in results.ood.values():
        found.setdefault(TRIVIAL, []).append((results.id_val.accuracy, figures.accuracy))
        for name, estimate in figures.estimates.items():
            found.setdefault(name, []).append((estimate.value, figures.accuracy))
    return found


def rank_correlation(pairs: Pairs) -> float:
    """Spearman's; 0 where all estimates are equal, which order nothing."""
    estimates, accuracies = zip(*pairs, strict=True)
    return float(spearmanr(estimates, accuracies).statistic) if len(set(estimates)) > 1 else 0.0


def main(folders: list[str]) -> None:
    runs = [pairs_of(read_report(Path(folder)).results) for folder in folders]
    print("| estimator | mean absolute error | mean error | rank correlation |\n|---|---|---|---|")
    rows = []
    for name in runs[0]:
        every = [pair for run in runs for pair in run[name]]
        absolute = 100 * fmean(abs(estimate - accuracy) for estimate, accuracy in every)
        signed = 100 * fmean(estimate - accuracy for estimate, accuracy in every)
        several = [rank_correlation(run[name]) for run in runs if len(run[name]) > 2]
        rows.append((absolute, f"| {name} | {absolute:.1f} | {signed:+.1f} | {fmean(several):.2f} |" if several else
                     f"| {name} | {absolute:.1f} | {signed:+.1f} | |"))  # fmt: skip
    print(*(row for _, row in sorted(rows)), sep="\n")
    print(f"\n{len(runs)} runs, {sum(len(run[TRIVIAL]) for run in runs)} sets in all")


if __name__ == "__main__":
    main(sys.argv[1:])
