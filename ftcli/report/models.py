"""The models that a measure holds against each other: short names, and how each was made where a report says it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from ftcli.console.cells import new_table, text
from ftcli.errors import RequestError
from ftcli.model.loading.load import Loaded
from ftcli.report.build import describe_model
from ftcli.report.read import read_report
from ftcli.run_folder.folder import REPORT
from ftcli.text import shortest_tails


def names_of(models: Sequence[str]) -> list[str]:
    """What each is called in tables: the end of what was typed, as short as tells them apart."""
    return shortest_tails([str(Path(model)) for model in models])


def describe_models(typed: Sequence[str], models: Sequence[Loaded]) -> list[dict[str, Any]]:
    """The report's `models`: each with its `label`, and `made_by` where its folder holds a report."""
    return [
        {"label": label, **describe_model(model, ()), "made_by": made_by(Path(where))}
        for label, where, model in zip(names_of(typed), typed, models, strict=True)
    ]


def made_by(folder: Path) -> dict[str, Any] | None:
    """Command, learning rate, epoch and BatchNorm mode of the run whose folder this is; None where no report is."""
    if not (folder / REPORT).is_file():
        return None
    try:
        report = read_report(folder)
    except RequestError:  # of another version, or not ours: it says nothing then
        return None
    selected = report["selected"] or {}
    return {
        "command": report["command"], "lr": selected.get("lr"), "C": selected.get("C"),
        "epoch": selected.get("epoch"), "bn": report["config"].get("bn") if selected.get("lr") else None,
    }  # fmt: skip


def models_table(models: Sequence[dict[str, Any]]) -> Table:
    """What is held against what. Rate and BatchNorm mode drive how far features move, so they stand here."""
    table = new_table("Models")
    for head in ("", "architecture", "made by", "rate", "epoch", "BatchNorm"):
        table.add_column(head, justify="right" if head in ("rate", "epoch") else "left", overflow="fold")
    for letter, model in zip(letters(len(models)), models, strict=True):
        made = model["made_by"] or {}
        rate = f"{made['lr']:g}" if made.get("lr") else f"C = {made['C']:.3g}" if made.get("C") else "-"
        table.add_row(
            text(f"{letter}  {model['label']}"), text(model["name"]), made.get("command") or "-", rate,
            str(made.get("epoch") or "-"), made.get("bn") or "-",
        )  # fmt: skip
    return table


def letters(count: int) -> list[str]:
    """A, B, C, …"""
    return [chr(ord("A") + i) if i < 26 else str(i + 1) for i in range(count)]
