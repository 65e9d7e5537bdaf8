"""Reports checked against themselves, their predictions and each other: figures that were edited, or predictions of
another run copied beside them, are refused before anything is computed from them.
"""

from statistics import fmean

import pyarrow.compute as pc

from ftcli.arrow import text_array
from ftcli.comparison.predictions import SetPredictions
from ftcli.comparison.reports import Accuracy, ComparedReport
from ftcli.errors import RequestError
from ftcli.measures.intervals import wilson
from ftcli.run_folder.names import PREDICTIONS
from ftcli.safe_text import quoted

ROUNDING = 1e-6  # of an accuracy that was written and read back, or summed in another order
RUN_AGAIN = "run the command again into another folder"
RUN_AGAIN_OR_MOVE = f"{RUN_AGAIN}, or move {PREDICTIONS} away to compare without paired differences"


def check_accuracies(report: ComparedReport) -> None:
    """Raises RequestError where an accuracy does not fit its own interval, or the OOD mean its sets."""
    accuracies = {name: entry for name, entry in report.accuracies.items() if name != "ood_mean"}
    mean = report.accuracies.get("ood_mean")
    ood = [entry.accuracy for name, entry in accuracies.items() if name in report.ood_sets]
    if mean and ood and abs(mean.accuracy - fmean(ood)) > ROUNDING:
        raise RequestError(
            f"{str(report.file)!r}: ood_mean is {mean.accuracy:.6g}, and the mean over its OOD sets is "
            f"{fmean(ood):.6g}.",
            RUN_AGAIN,
        )
    for name, entry in accuracies.items():
        if not (entry.n and entry.ci95):
            continue
        expected = wilson(entry.accuracy, entry.n)
        if any(abs(a - b) > ROUNDING for a, b in zip(expected, entry.ci95, strict=True)):
            interval = " to ".join(f"{end:.6g}" for end in entry.ci95)
            raise RequestError(
                f"{str(report.file)!r}: {quoted(name)} has an accuracy of {entry.accuracy:.6g} on {entry.n:,} "
                f"examples, which does not fit its interval, {interval}.",
                RUN_AGAIN,
            )


def check_predictions(report: ComparedReport) -> None:
    """Raises RequestError where the predictions on a set have other examples, seeds, classes or accuracies than the
    report says.
    """
    classes = text_array(report.class_names)
    file = f"{str(report.predictions_file)!r} is not of the report beside it"
    for name, entry in report.accuracies.items():
        predictions = (report.predictions or {}).get(name)
        if predictions is None:
            continue
        seeds = {seed: by_set[name] for seed, by_set in report.seed_accuracies.items() if name in by_set}
        for what, reported, predicted, tolerance in expectations(entry, seeds, predictions):
            if reported is not None and abs(reported - predicted) > tolerance + ROUNDING:
                raise RequestError(
                    f"{file}: {what} of {quoted(name)}, the report says {reported:.6g}, the predictions "
                    f"{predicted:.6g}.",
                    RUN_AGAIN_OR_MOVE,
                )
        unknown = predictions.class_names.filter(pc.invert(pc.is_in(predictions.class_names, classes)))
        if len(unknown):
            raise RequestError(
                f"{file}: {quoted(unknown[0].as_py())}, in {quoted(name)}, is not among the report's classes.",
                RUN_AGAIN_OR_MOVE,
            )


def expectations(
    entry: Accuracy, seeds: dict[int, Accuracy], predictions: SetPredictions
) -> list[tuple[str, float | None, float, float]]:
    """What predictions on a set must have: its name, the report's figure, that of the predictions, the tolerance."""
    of_seed = {predictions.seeds[0]: entry} | seeds if len(predictions.seeds) == 1 else seeds
    return [
        ("examples", entry.n, len(predictions.examples), 0.0),
        ("seeds", entry.seeds, len(predictions.seeds), 0.0),
        ("accuracy", entry.accuracy, float(predictions.correct.mean()), 0.5 / predictions.correct.size),
        *(
            (
                f"accuracy of seed {seed}",
                of_seed[seed].accuracy if seed in of_seed else None,
                float(correct.mean()),
                0.5 / len(correct),
            )
            for seed, correct in zip(predictions.seeds, predictions.correct, strict=True)
        ),
    ]


def check_labels(
    name: str, first: ComparedReport, second: ComparedReport, predictions: tuple[SetPredictions, SetPredictions]
) -> None:
    """Raises RequestError where two runs that saw the same examples of a set, by id, have different labels for them."""
    a, b = predictions
    if a.labels.equals(b.labels):
        return
    i = pc.index(pc.not_equal(a.labels, b.labels), True).as_py()
    label, other = (quoted(table.labels[i].as_py()) for table in predictions)
    raise RequestError(
        f"{str(first.predictions_file)!r} and {str(second.predictions_file)!r} have the same examples of "
        f"{quoted(name)} under other labels: {quoted(str(a.examples[i]))} is {label} in the first and {other} in the "
        "second.",
        RUN_AGAIN_OR_MOVE,
    )
