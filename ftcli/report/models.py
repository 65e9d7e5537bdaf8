"""The models that a measure holds against each other: short names, and how each was made where a report says it."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from ftcli.console.cells import Layout, text
from ftcli.errors import RequestError
from ftcli.model.loading.load import Loaded
from ftcli.records import decoded
from ftcli.report.build import describe_model
from ftcli.report.read import read_report
from ftcli.report.types import ComparedModel, MadeBy
from ftcli.run_folder.folder import REPORT
from ftcli.safe_text import shortest_unique_suffixes

NOTHING_KNOWN = MadeBy("", None, None, None, None)


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
    return MadeBy(report.command, pick and pick.lr, pick and pick.C, pick and pick.epoch, bn)


def models_table(models: Sequence[ComparedModel]) -> Table:
    """The models that are compared. Rate and BatchNorm mode drive how far features move, so they are shown."""
    rows = []
    for letter, model in zip(letters(len(models)), models, strict=True):
        made = model.made_by or NOTHING_KNOWN
        rate = f"{made.lr:g}" if made.lr else f"C = {made.C:.3g}" if made.C else "-"
        cells = (made.command or "-", rate, str(made.epoch or "-"), made.bn or "-")
        rows.append([*map(text, (f"{letter}  {model.label}", model.name, *cells))])
    layout = Layout(["", "architecture", "made by", "rate", "epoch", "BatchNorm"], rows)
    return layout.table("Models", left=("", "architecture", "made by", "BatchNorm"))


def letters(count: int) -> list[str]:
    """A, B, C, …"""
    return [chr(ord("A") + i) if i < 26 else str(i + 1) for i in range(count)]
