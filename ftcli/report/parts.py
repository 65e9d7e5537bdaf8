"""What only some commands have: the types of their parts of the report by key, and their tables."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

from rich.console import RenderableType

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
    return report_type(parts)


def tables_of(command: str) -> Tables:
    """The tables of a command in FOLDERS."""
    tables: Tables = import_module(f"ftcli.explain.{FOLDERS[command]}.tables").tables
    return tables
