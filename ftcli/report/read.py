"""Reports read back: from a file or a folder, and only when they keep the schema."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from ftcli.errors import RequestError
from ftcli.files import read_regular
from ftcli.limits import MAX_REPORT_BYTES, MAX_REPORT_LISTS, MAX_REPORT_VALUES
from ftcli.report.schema import report_from
from ftcli.report.types import Report
from ftcli.run_folder.names import CELLS, PAGE, REPORT, STATE
from ftcli.safe_text import reason, shortened

NOT_OF_ONE_MODEL = ("distortion", "agreement", "criticality", "rank", "theory")  # figures of several, by command
FIX = "name folders or report.json files that ftcli wrote, e.g. runs/*/report.json"


def read_report(path: Path) -> Report:
    """A report from its file or its folder. Raises RequestError where there is none, or where it breaks the schema."""
    return read_both(path)[1]


def read_both(path: Path) -> tuple[dict[str, Any], Report]:
    """The JSON of a report, with the keys that this version does not know, and the report. Raises RequestError as
    `read_report` does.
    """
    file = report_file(path)
    try:
        text = read_regular(file, MAX_REPORT_BYTES)
    except OSError as error:
        if (path / STATE).is_dir():
            raise RequestError(
                f"{str(path)!r} holds an unfinished run: there is no report yet.",
                f"go on with it: the command that began it, with --out {path}",
            ) from None
        if (path / CELLS).is_file():
            raise holds_study(path) from None
        raise RequestError(f"the report {str(file)!r} cannot be read: {error.strerror}.", FIX) from None
    for what, number, most in (
        ("values", text.count(b","), MAX_REPORT_VALUES),
        ("lists and objects", text.count(b"[") + text.count(b"{"), MAX_REPORT_LISTS),
    ):
        if number > most:
            raise RequestError(f"{str(file)!r} has {number:,} {what}, and at most {most:,} are read.", FIX)
    try:
        content = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError):
        raise RequestError(f"{str(file)!r} is not JSON.", FIX) from None
    try:
        report = report_from(content)
        report.to_dict()  # whoever uses the report walks through it so
        return content, report
    except RecursionError:
        raise RequestError(f"{str(file)!r} is nested too deeply for a report.", FIX) from None
    except ValueError as error:
        raise RequestError(
            f"{str(file)!r} is not a report of ftcli: {error}.", f"{FIX}; `ftcli schema` says what it holds"
        ) from None


def holds_study(path: Path, study: Path | None = None) -> RequestError:
    """The error that a folder is that of a study, or below it, in which a run is one seed of a method."""
    page = (study or path) / PAGE
    where = f" and are in {page}" if page.is_file() else ""
    part = "a part of a study" if study else "a study"
    return RequestError(
        f"{str(path)!r} holds {part}, and its runs are single seeds.",
        f"its tables, seeds joined, are printed when the study is typed again{where}; or name run folders below it",
    )


def report_file(path: Path) -> Path:
    """The file of a report that is named by its file or its folder."""
    return path / REPORT if path.is_dir() else path


@contextmanager
def untrusted(what: str) -> Iterator[None]:
    """Inside, reports that keep the schema are used and may yet be anybody's, with figures of runs that are not there.
    Raises RequestError for whatever that leads to.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise RequestError(f"{what} is not as ftcli writes it: {type(error).__name__}: {reason(error)}", FIX) from error


def _finite(digits: str) -> float:
    value = float(digits)
    return value if isfinite(value) else _no_number(digits)


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{shortened(word)} is no number of JSON")
