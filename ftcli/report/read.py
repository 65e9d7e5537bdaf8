"""Reports read back: from a file or a folder, and only when they keep the schema."""

import json
from pathlib import Path
from typing import Any

from ftcli.errors import RequestError
from ftcli.report.folder import REPORT
from ftcli.report.schema import problem_with

FIX = "name folders or report.json files that ftcli wrote, e.g. runs/*/report.json"


def read_report(path: Path) -> dict[str, Any]:
    """A report from its file or its folder. Raises RequestError where there is none, or where it breaks the schema."""
    file = path / REPORT if path.is_dir() else path
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"the report {str(file)!r} cannot be read: {error.strerror}.", FIX) from None
    except (ValueError, RecursionError):
        raise RequestError(f"{str(file)!r} is not JSON.", FIX) from None
    if problem := problem_with(content):
        raise RequestError(
            f"{str(file)!r} is not a report of ftcli: {problem}.", f"{FIX}; `ftcli schema` says what it holds"
        )
    return content
