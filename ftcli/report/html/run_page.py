"""The page about one run: everything that its report holds, for a colleague who has never seen ftcli."""

from collections.abc import Mapping
from pathlib import Path

from msgspec import UNSET

from ftcli.commands import title_of
from ftcli.data.images import ImageSet
from ftcli.files import make_folder, write_atomically
from ftcli.report.figures.answers import answers_of
from ftcli.report.html.details import calibration, classes, measures
from ftcli.report.html.mistakes import mistakes
from ftcli.report.html.page import page
from ftcli.report.html.provenance import glossary, provenance
from ftcli.report.html.results import accuracy, summary, warnings
from ftcli.report.html.training import choices, training
from ftcli.report.types import Report


def run_page(report: Report, folder: Path, images: Mapping[str, ImageSet] | None = None) -> str:
    """The HTML of the page. folder: where predictions.parquet lies, if the run has left one. images: the sets by name,
    for pictures of mistakes; without them these are listed.

    Raises RequestError for a predictions.parquet that holds no predictions.
    """
    answers = {} if report.results is UNSET else answers_of(report, folder)
    sections = [
        summary(report), warnings(report), accuracy(report), training(report), choices(report), *measures(report),
        calibration(report, answers), classes(report, answers), mistakes(answers, images), provenance(report),
        glossary(),
    ]  # fmt: skip
    method = title_of(report.command, report.config)
    what = method if method and report.selected else report.command
    title = what if report.model is UNSET else f"{what}, {report.model.name}"
    return page(title, sections, f"A run of ftcli {report.command}, {report.created[:10]}")


def write_run_page(path: Path, report: Report, folder: Path, images: Mapping[str, ImageSet] | None = None) -> None:
    """Write the page into a file. Raises RequestError as `run_page` does."""
    content = run_page(report, folder, images).encode("utf-8", "replace")
    make_folder(path.parent)
    write_atomically(path, lambda temporary: temporary.write_bytes(content), len(content))
