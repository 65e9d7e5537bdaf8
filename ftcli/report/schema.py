"""The JSON Schema of report.json, made from its types, and the check that a file from elsewhere keeps them."""

from typing import Any

from msgspec.json import schema_components

from ftcli import records
from ftcli.config import COMMANDS
from ftcli.records import OTHERS
from ftcli.report.parts import whole_type
from ftcli.report.types import NOT_OF_THEORY

Schema = dict[str, Any]


def report_schema() -> Schema:
    """The schema: other keys may stand in any object, so that a report can grow."""
    _, parts = schema_components([whole_type()], ref_template="#/$defs/{name}")
    for part in parts.values():
        if others := part.get("properties", {}).pop(OTHERS, None):
            part["additionalProperties"] = others["additionalProperties"]
            part["required"].remove(OTHERS)
    report = parts.pop("Report")
    report["properties"]["command"] = {"enum": sorted(COMMANDS)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "ftcli/report/1",
        **report,
        "title": "Report of ftcli",
        "description": "Accuracies are fractions, losses are in nats, times in seconds. NaN and Infinity never occur.",
        "if": {"properties": {"command": {"const": "theory"}}},
        "then": {"required": ["theory"]},
        "else": {"required": [*NOT_OF_THEORY]},
        "$defs": parts,
    }


def problem_with(content: Any) -> str:
    """What breaks the schema first, in words; empty where nothing does."""
    if problem := records.problem_with(content, whole_type()):
        return problem
    if content["command"] not in COMMANDS:
        return f"command: {content['command']!r} is no command"
    missing = [key for key in (["theory"] if content["command"] == "theory" else NOT_OF_THEORY) if key not in content]
    return f"the whole: Object missing required field {missing[0]}" if missing else ""
