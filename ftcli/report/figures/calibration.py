"""Reliability diagrams of a report: accuracy against confidence."""

from collections.abc import Mapping

import numpy as np
from msgspec import UNSET

from ftcli.console.cells import set_name
from ftcli.figures.panels import Curve, LinePlot, Panel
from ftcli.measures.intervals import wilson
from ftcli.measures.reliability import BINS, reliability
from ftcli.report.figures.accuracy import saved_results
from ftcli.report.figures.answers import Answers
from ftcli.report.figures.sets import shown_of
from ftcli.report.types import Report

BANDS = f"{BINS} bins of confidence, with 95 % intervals of their accuracy"


def reliability_panels(report: Report, answers: Mapping[str, Answers]) -> list[Panel]:
    """A reliability diagram of the saved model for each set, of many the least accurate: accuracy in each of 15 bins of
    confidence at the mean confidence of the bin, in per cent, with Wilson's 95 % interval as a band; the diagonal is
    perfect calibration. The title has the expected calibration error (ECE), and where ID-val gave a temperature, that
    with it; how the curve looks with it cannot be told from the predictions.

    answers: of the sets of this report, as `answers_of` reads them; ID-val is left out where there is ID-test.
    """
    if "id_test" in answers:
        answers = {name: found for name, found in answers.items() if name != "id_val"}
    accuracy = {name: float(found.correct().mean()) for name, found in answers.items()}
    shown = shown_of(list(answers), accuracy.__getitem__)
    few = f"; shown are the {len(shown)} least accurate of {len(answers)} sets" if len(shown) < len(answers) else ""
    saved = saved_results(report)
    figures = saved.by_set() if saved else {}
    panels: list[Panel] = []
    for name in shown:
        after = figures[name].ece_calibrated if name in figures else UNSET
        scaled = "" if after is UNSET else f" ({100 * after:.1f} % after temperature scaling)"
        panels.append(diagram(f"Calibration on {set_name(name)}", scaled, answers[name], BANDS + few))
    return panels


def diagram(title: str, ending: str, answers: Answers, note: str) -> LinePlot:
    """The reliability diagram of one set."""
    bins = reliability(answers.probability, answers.correct())
    error = float(np.sum([one.n * abs(one.accuracy - one.confidence) for one in bins])) / len(answers.probability)
    intervals = [wilson(one.accuracy, one.n) for one in bins]
    x, y = [100 * one.confidence for one in bins], [100 * one.accuracy for one in bins]
    low, high = ([100 * bounds[end] for bounds in intervals] for end in (0, 1))
    curve = Curve("accuracy", x, y, low, high)
    whole = f"{title}: ECE {100 * error:.1f} %{ending}"
    return LinePlot(whole, [curve], "confidence (%)", "accuracy (%)", diagonal=True, note=note)
