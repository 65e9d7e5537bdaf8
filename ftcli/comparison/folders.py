"""Which reports a comparison is of: files and run folders as typed, and the finished runs below other folders."""

from collections.abc import Sequence
from pathlib import Path

from ftcli.errors import RequestError
from ftcli.limits import MAX_COMPARED_REPORTS
from ftcli.report.read import NOT_OF_ONE_MODEL, holds_study, read_both
from ftcli.run_folder.find import Found, find_runs
from ftcli.run_folder.names import CELLS, REPORT


def find_reports(typed: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The reports in the order typed, those of one folder sorted by path; and a note on each run that is left out.

    A folder that holds a report is that run, any other folder the runs in it and below it.
    Raises RequestError for a folder without any finished run that can be compared, for too many of them, and for the
    folder of a study.
    """
    files: list[Path] = []
    notes: list[str] = []
    for path in typed:
        if not path.is_dir() or (path / REPORT).exists():
            files.append(path)  # whatever is wrong with it, the comparison says
            continue
        if (path / CELLS).is_file():
            raise holds_study(path)
        found = find_runs(path)
        if (study := study_above(path)) and len({run.folder.parent for run in found}) < len(found):
            raise holds_study(path, study)
        problems = [problem_of(run) for run in found]
        left_out = [f"left out: {problem}" for problem in problems if problem]
        finished = [run.folder for run, problem in zip(found, problems, strict=True) if not problem]
        if not finished:
            detail = f": {left_out[0].removeprefix('left out: ')}" if left_out else ""
            raise RequestError(
                f"{str(path)!r} holds no finished run to compare{detail.rstrip('.')}.", f"ftcli runs {path} lists all"
            )
        if len(finished) > MAX_COMPARED_REPORTS:
            raise RequestError(
                f"{str(path)!r} holds {len(finished):,} finished runs, and at most {MAX_COMPARED_REPORTS:,} are "
                "compared.",
                "name fewer of them, or a folder further down",
            )
        files += finished
        notes += left_out
    return files, notes


def study_above(path: Path) -> Path | None:
    """The study that a folder is a part of."""
    return next((parent for parent in path.absolute().parents if (parent / CELLS).is_file()), None)


def problem_of(run: Found) -> str:
    """Why a run cannot be compared; empty where it can."""
    if run.kind == "unfinished":
        return f"{str(run.folder)!r} is not finished"
    if run.kind == "unreadable":
        return f"{str(run.folder)!r} cannot be read: {run.problem}"
    try:
        command = read_both(run.folder)[0]["command"]
    except RequestError as error:
        return error.problem
    return f"{str(run.folder)!r} is of `{command}`, not of one model" if command in NOT_OF_ONE_MODEL else ""
