"""What only some commands have: the types of their parts of the report by key, and their tables."""

import copyreg
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

from rich.console import RenderableType

from ftcli.records import decoded
from ftcli.report.types import Report, report_type

Tables = Callable[[Report, int], list[RenderableType]]  # of a report, for a terminal of so many characters
FOLDERS = {  # in explain/, of the commands that have tables of their own
    "distortion": "distortion", "agreement": "agreement", "interpolate": "interpolation", "criticality": "criticality",
    "theory": "theory",
}  # fmt: skip


@cache
def whole_type() -> type[Report]:
    """The type of all reports."""
    parts: dict[str, Any] = {}
    for folder in FOLDERS.values():
        parts |= import_module(f"ftcli.explain.{folder}.types").PARTS
    kind = report_type(parts)
    copyreg.pickle(kind, lambda report: (restored, (report.to_dict(),)))  # pickle finds no class that is made in a call
    return kind


def restored(content: dict[str, Any]) -> Report:
    """A report from what `to_dict` gave."""
    return decoded(content, whole_type())


def tables_of(command: str) -> Tables:
    """The tables of a command in FOLDERS."""
    tables: Tables = import_module(f"ftcli.explain.{FOLDERS[command]}.tables").tables
    return tables
