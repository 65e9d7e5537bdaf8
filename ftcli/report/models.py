"""The models that a measure holds against each other: short names, and how each was made where a report says it."""

from collections.abc import Sequence
from pathlib import Path

from msgspec import UNSET

from ftcli.errors import RequestError
from ftcli.model.loading.load import Loaded
from ftcli.records import decoded
from ftcli.report.build import describe_model
from ftcli.report.read import read_report
from ftcli.report.types import ComparedModel, MadeBy
from ftcli.run_folder.names import REPORT
from ftcli.safe_text import shortest_unique_suffixes


def names_of(models: Sequence[str]) -> list[str]:
    """What each is called in tables: the end of what was typed, as short as tells them apart."""
    return shortest_unique_suffixes([str(Path(model)) for model in models])


def describe_models(typed: Sequence[str], models: Sequence[Loaded]) -> list[ComparedModel]:
    """The report's `models`. typed: where each lies, as it was typed."""
    return [
        decoded({**describe_model(model), "label": label, "made_by": made_by(Path(where))}, ComparedModel)
        for label, where, model in zip(names_of(typed), typed, models, strict=True)
    ]


def made_by(folder: Path) -> MadeBy | None:
    """The run whose folder this is; None where no report is."""
    if not (folder / REPORT).is_file():
        return None
    try:
        report = read_report(folder)
    except RequestError:  # of another version, or not ours: it says nothing then
        return None
    pick = report.selected or None
    bn = report.config.get("bn") if pick and pick.lr else None
    average = pick.average if pick else UNSET
    return MadeBy(report.command, pick and pick.lr, pick and pick.C, pick and pick.epoch, bn, average)
