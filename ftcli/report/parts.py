"""The type of all reports, with what only some commands' reports hold: the registry names these parts."""

import copyreg
from functools import cache
from typing import Any

from ftcli.commands import COMMANDS, import_named
from ftcli.records import decoded
from ftcli.report.types import Report, report_type


def whole_type() -> type[Report]:
    """The type of all reports."""
    return type_with(tuple(row.parts for row in COMMANDS.values() if row.parts))


@cache
def type_with(parts: tuple[str, ...]) -> type[Report]:
    """The type of a report with these parts, each named as in the registry."""
    types: dict[str, type] = {}
    for name in parts:
        types |= import_named(name)
    kind = report_type(types)
    copyreg.pickle(kind, lambda report: (restored, (report.to_dict(),)))  # pickle finds no class that is made in a call
    return kind


def restored(content: dict[str, Any]) -> Report:
    """A report from what `to_dict` gave."""
    return decoded(content, whole_type())
