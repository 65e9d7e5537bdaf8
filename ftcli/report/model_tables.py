"""The models that a measure holds against each other, as a table: their letters, and how each was made."""

from collections.abc import Sequence

from msgspec import UNSET
from rich.table import Table

from ftcli.console.cells import Layout, text
from ftcli.report.types import ComparedModel, MadeBy

NOTHING_KNOWN = MadeBy("", None, None, None, None)


def models_table(models: Sequence[ComparedModel]) -> Table:
    """The models that are compared. Rate and BatchNorm mode drive how far features move, so they are shown."""
    rows = []
    for letter, model in zip(letters(len(models)), models, strict=True):
        made = model.made_by or NOTHING_KNOWN
        rate = f"{made.lr:g}" if made.lr else f"C = {made.C:.3g}" if made.C else "-"
        average = "" if made.average is UNSET else f", average {made.average}"
        cells = (f"{made.command or '-'}{average}", rate, str(made.epoch or "-"), made.bn or "-")
        rows.append([*map(text, (f"{letter}  {model.label}", model.name, *cells))])
    layout = Layout(["", "architecture", "made by", "rate", "epoch", "BatchNorm"], rows)
    return layout.table("Models", left=("", "architecture", "made by", "BatchNorm"))


def letters(count: int) -> list[str]:
    """A, B, C, …"""
    return [chr(ord("A") + i) if i < 26 else str(i + 1) for i in range(count)]
