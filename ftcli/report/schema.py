"""The JSON Schema of report.json, made from its types, and the check that a file from elsewhere keeps them."""

from typing import Any

from msgspec import ValidationError
from msgspec.json import schema_components

from ftcli.commands import COMMANDS
from ftcli.records import OTHERS, Record, decoded, problem_with
from ftcli.report.parts import whole_type
from ftcli.report.types import NOT_OF_THEORY, Report
from ftcli.run_folder.names import SCHEMA
from ftcli.safe_text import shortened

Schema = dict[str, Any]


def report_schema() -> Schema:
    """The schema: other keys may stand in any object, so that a report can grow."""
    schema = schema_of(whole_type(), SCHEMA, "Report of ftcli")
    schema["properties"]["command"] = {"enum": sorted(COMMANDS)}
    parts = schema.pop("$defs")
    return schema | {
        "if": {"properties": {"command": {"const": "theory"}}},
        "then": {"required": ["theory"]},
        "else": {"required": [*NOT_OF_THEORY]},
        "$defs": parts,
    }


def schema_of(kind: type[Record], name: str, title: str) -> Schema:
    """The JSON Schema of a type, in which any object may have other keys."""
    _, parts = schema_components([kind], ref_template="#/$defs/{name}")
    for part in parts.values():
        if others := part.get("properties", {}).pop(OTHERS, None):
            part["additionalProperties"] = others["additionalProperties"]
            part["required"].remove(OTHERS)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": name,
        **parts.pop(kind.__name__),
        "title": title,
        "description": "Accuracies are fractions, losses are in nats, times in seconds. NaN and Infinity never occur.",
        "$defs": parts,
    }


def report_from(content: Any) -> Report:
    """JSON values as a report. Raises ValueError that says what breaks the schema first."""
    try:
        report = decoded(content, whole_type())
    except ValidationError:
        raise ValueError(problem_with(content, whole_type())) from None
    if report.command not in COMMANDS:
        raise ValueError(f"command: {shortened(repr(report.command), 60)} is no command")
    needed = ("theory",) if report.command == "theory" else NOT_OF_THEORY
    if missing := [key for key in needed if key not in report]:
        raise ValueError(f"the whole: {missing[0]!r} is a required property")
    return report
