"""The most confident mistakes of a report's model as a contact sheet: a row for each set."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from msgspec import UNSET

from ftcli.console.cells import set_name
from ftcli.data.examples import examples_of
from ftcli.data.images import ImageSet
from ftcli.data.preparation import Drafts, read_sets
from ftcli.data.sources.source import open_source
from ftcli.data.specs.parse import parse
from ftcli.data.storage.retries import waits_announced_to
from ftcli.errors import RequestError
from ftcli.figures.contact_sheet import PER_ROW, Row, check_sheet, save_rows
from ftcli.log import Log
from ftcli.report.figures.answers import Answers, answers_of
from ftcli.report.types import Report
from ftcli.safe_text import counted, quoted

CHANGED = "leave the data where they were when the command ran, or run it again"


def save_mistakes(path: Path, report: Report, folder: Path, log: Log) -> None:
    """Write the contact sheet; a warning and no file where nothing is misclassified. `folder`: of predictions.parquet.

    Raises RequestError without predictions, for another ending than .png, and where the data are not there any more or
    have changed.
    """
    check_sheet(path, "--sheet")
    answers = answers_of(report, folder)
    if not answers:
        raise RequestError(
            f"--sheet: there is no predictions.parquet in {str(folder)!r} with answers of the saved model.",
            "name the folder of a run",
        )
    with waits_announced_to(log.note):
        rows = list(mistake_rows(report, answers, log))
    if rows:
        save_rows(rows, path)
    else:
        log.warn("no-sheet", "nothing is misclassified, so there is no sheet")


def mistake_rows(report: Report, answers: dict[str, Answers], log: Log) -> Iterator[Row]:
    """A row for each set that has mistakes: the most confident first, below each picture its class, what it is taken
    for, and with which probability. Only these pictures are read.
    """
    for name, of_set in answers.items():
        wrong = of_set.mistakes()
        shown = wrong[:PER_ROW].tolist()
        if not shown:
            continue
        label = [set_name(name), "most confident of", counted(len(wrong), "mistake", "mistakes")]
        captions = [
            [of_set.labels[i], f"as {of_set.predicted[i]}", f"{100 * of_set.probability[i]:.1f} %"] for i in shown
        ]
        images = pictures(spec_of(report, name), [(of_set.examples[i], of_set.labels[i]) for i in shown], log)
        yield Row(label, images, range(len(shown)), captions)


def spec_of(report: Report, name: str) -> str:
    """The SPEC of the data that hold the images of a set: of one that was cut from the training set, of that."""
    train = report.data.train
    cut = name in ("id_val", "id_test") and report.config.get(name) is None
    return train.spec if cut and train is not UNSET else report.data.by_set()[name].spec


def pictures(spec: str, wanted: list[tuple[str, str]], log: Log) -> ImageSet:
    """The images of a data SPEC with these names, in this order, each with the class that it has to have.

    Raises RequestError where one is not there, or has another class.
    """
    images = examples_of(open_source(parse(spec), log), log)
    places = {example: i for i, example in enumerate(images.ids)}
    for example, label in wanted:
        if example not in places:
            raise RequestError(f"--sheet: {quoted(example)} is not in {spec} any more.", CHANGED)
        own = images.classes[images.labels[places[example]]]
        if images.named and not images.flip and own != label:
            raise RequestError(
                f"--sheet: {quoted(example)} of {spec} is {quoted(own)} now, and was {quoted(label)}.", CHANGED
            )
    chosen = images.select([places[example] for example, _ in wanted])
    with Drafts(None) as drafts:
        return read_sets({"": replace(chosen, flip=False)}, drafts, damaged="stop", log=log)[""]
