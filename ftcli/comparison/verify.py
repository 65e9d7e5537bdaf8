"""A report held against itself and against its predictions: figures that were edited, or predictions of another run
copied beside, are refused before anything is computed from them.
"""

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

import pyarrow as pa
import pyarrow.compute as pc

from ftcli.comparison.predictions import PredictionTable
from ftcli.errors import RequestError
from ftcli.measures.intervals import wilson
from ftcli.measures.types import Figures, MeanAccuracy
from ftcli.report.types import Report, SeedResult
from ftcli.run_folder.folder import PREDICTIONS
from ftcli.text import quoted

ROUNDING = 1e-6  # of an accuracy that was written and read back, or summed in another order
AGAIN = "run the command again into another folder"
ALONE = f"{AGAIN}, or move {PREDICTIONS} away to compare without paired differences"


def figures_of(content: Report | SeedResult) -> dict[str, Figures | MeanAccuracy]:
    """The figures of every set, in the order of the report; `ood_mean` last."""
    results = content.results
    return {**results.by_set(), **({"ood_mean": results.ood_mean} if results.ood_mean else {})}


def check_report(file: Path, content: Report) -> None:
    """Raises RequestError where an accuracy does not fit its own interval, or the OOD mean its sets."""
    figures = figures_of(content)
    figures.pop("ood_mean", None)
    mean = content.results.ood_mean.accuracy if content.results.ood_mean else None
    ood = [figures[name]["accuracy"] for name in content["results"].get("ood") or {} if name in figures]
    if mean is not None and ood and abs(mean - fmean(ood)) > ROUNDING:
        raise RequestError(
            f"{str(file)!r}: ood_mean is {mean:.6g}, and the mean over its OOD sets is {fmean(ood):.6g}.", AGAIN
        )
    for name, entry in figures.items():
        if not (entry.get("n") and entry.get("accuracy_ci95")):
            continue
        expected = wilson(entry["accuracy"], entry["n"])
        if any(abs(a - b) > ROUNDING for a, b in zip(expected, entry["accuracy_ci95"], strict=True)):
            said = " to ".join(f"{end:.6g}" for end in entry["accuracy_ci95"])
            raise RequestError(
                f"{str(file)!r}: {quoted(name)} has an accuracy of {entry['accuracy']:.6g} on {entry['n']:,} examples, "
                f"which does not fit its interval, {said}.",
                AGAIN,
            )


def check_predictions(file: Path, content: Report, scored: Mapping[str, PredictionTable | None]) -> None:
    """Raises RequestError where a set of predictions has other examples, seeds, classes or accuracies than the report
    beside it says. `file`: that of the predictions. Sets that are None are left out.
    """
    classes = pa.array(content["data"]["classes"], pa.string())
    of_seeds = {one["selected"]["seed"]: figures_of(one) for one in content.get("seeds") or []}
    for name, entry in figures_of(content).items():
        if (found := scored.get(name)) is None:
            continue
        one = {found.seeds[0]: entry["accuracy"]} if len(found.seeds) == 1 else {}
        one |= {seed: of_seeds[seed][name]["accuracy"] for seed in found.seeds if name in of_seeds.get(seed, {})}
        held = [
            ("examples", entry.get("n"), len(found.examples), 0.0),
            ("seeds", int(entry.get("n_seeds") or 1), len(found.seeds), 0.0),
            ("accuracy", entry["accuracy"], float(found.correct.mean()), 0.5 / found.correct.size),
            *(
                (f"accuracy of seed {seed}", one.get(seed), float(right.mean()), 0.5 / len(right))
                for seed, right in zip(found.seeds, found.correct, strict=True)
            ),
        ]
        for what, said, seen, within in held:
            if said is not None and abs(said - seen) > within + ROUNDING:
                raise RequestError(
                    f"{str(file)!r} is not of the report beside it: {what} of {quoted(name)}, the report says "
                    f"{said:.6g}, the predictions {seen:.6g}.",
                    ALONE,
                )
        unknown = found.names.filter(pc.invert(pc.is_in(found.names, classes)))
        if len(unknown):
            raise RequestError(
                f"{str(file)!r} is not of the report beside it: {quoted(unknown[0].as_py())}, in {quoted(name)}, is "
                "not among the report's classes.",
                ALONE,
            )


def check_labels(name: str, files: tuple[Path, Path], first: PredictionTable, second: PredictionTable) -> None:
    """Raises RequestError where two runs that saw the same examples of a set, by id, say that their labels differ."""
    if first.labels.equals(second.labels):
        return
    i = pc.index(pc.not_equal(first.labels, second.labels), True).as_py()
    one, other = (quoted(scored.labels[i].as_py()) for scored in (first, second))
    raise RequestError(
        f"{str(files[0])!r} and {str(files[1])!r} have the same examples of {quoted(name)} under other labels: "
        f"{quoted(str(first.examples[i]))} is {one} in the first and {other} in the second.",
        ALONE,
    )
