"""Reports made by hand, with no more in them than a test needs."""

from typing import Any

from ftcli.records import decoded
from ftcli.report.parts import whole_type
from ftcli.report.types import Report


def report_with(command: str, **parts: Any) -> Report:
    """A report of a command that holds these parts, in JSON or typed."""
    opening = {"schema": "ftcli/report/1", "command": command, "version": "0", "created": "", "argv": [], "config": {}}
    return decoded({**opening, "timing": {"total_s": 0.0}, "warnings": [], **parts}, whole_type())


def model_named(label: str) -> dict[str, Any]:
    """One of several models in a report."""
    sizes = {"parameters": 0, "trainable": 0, "blocks": []}
    return {"label": label, "name": "test_resnet", "checkpoint": None, "sha256": None, **sizes, "made_by": None}
