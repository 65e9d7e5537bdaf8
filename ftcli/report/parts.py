"""What only the reports of some commands hold: its type by its key."""

from functools import cache
from importlib import import_module
from typing import Any

from ftcli.report.types import Report, report_type

ROOMS = ("distortion", "agreement", "interpolation", "criticality", "theory")


def parts() -> dict[str, Any]:
    """{key: type}, of all commands."""
    found: dict[str, Any] = {}
    for room in ROOMS:
        found |= import_module(f"ftcli.explain.{room}.types").PARTS
    return found


@cache
def whole_type() -> type[Report]:
    """The type of all reports."""
    return report_type(parts())
