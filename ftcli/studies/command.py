"""`ftcli study`: methods, benchmarks and seeds as cells, each a command with its own folder; then one answer.

    options ──> cells ──> those not finished ──> engine ──> their reports ──> study.json, tables, report.html

The list of the cells, study.jsonl, is all the state there is: a cell is done when its report is there.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.text import Text

from ftcli.config.shared import resolved
from ftcli.config.study import Study
from ftcli.console.answer import Answer, show_parts
from ftcli.console.json_lines import JsonLog
from ftcli.console.overall import duration
from ftcli.console.progress import ConsoleLog
from ftcli.console.streams import Console
from ftcli.errors import INTERRUPTED, RequestError, Stopped
from ftcli.files import make_folder, remove_partial_files, write_atomically
from ftcli.records import as_json
from ftcli.run_folder.folder import choose_output_folder, resume_command
from ftcli.run_folder.lock import LOCK, locked
from ftcli.run_folder.names import CELLS, PAGE, REPORT
from ftcli.safe_text import counted
from ftcli.studies.added_tables.registry import check_tables
from ftcli.studies.cells import LOGS, Cell, Planned, cells_as_text, is_started, read_cells
from ftcli.studies.engines.engine import Engine, open_engine
from ftcli.studies.plan import plan_cells
from ftcli.studies.progress import StudyProgress
from ftcli.studies.run_cells import Ended, run_cells
from ftcli.studies.settings import checkpoint_names
from ftcli.studies.summary import reports_of, summarize
from ftcli.studies.tables import dry_run_tables, study_answer
from ftcli.studies.time import CellWork, total_seconds, work_of
from ftcli.studies.types import StudyReport

ANSWER = "study.json"
# No figure depends on these.
NOT_IN_ANSWER = ("out", "jobs", "engine", "slurm", "json", "quiet", "debug", "print", "dry_run")


def study(config: Study) -> Answer:
    """Plan the cells, run those that are not finished, and say which method holds up."""
    started = time.perf_counter()
    folder = folder_of(config)
    with JsonLog(config.quiet) if config.progress == "json" else ConsoleLog(config.quiet) as log:
        earlier = read_cells(folder)
        begun = earlier if is_started(earlier, folder) else []  # a list alone, of --print, is replaced
        planned, not_here = plan_cells(config, begun, folder)
        check_tables(config.tables or (), planned, not_here)
        cells = [one.cell for one in planned]
        if config.print:
            for name, why in not_here.items():
                log.note(f"{name}: not here: {why}")
            if cells != earlier:
                with kept(folder, cells, log):
                    pass
            return lines_answer(cells, folder)
        left = [one for one in planned if not one.cell.is_finished(folder)]
        if config.dry_run:
            return dry_run_answer(planned, left, work_left(left, folder, log), not_here, config)
        with saying_how_to_go_on(folder), ExitStack() as stack:
            ended = Ended()
            if left:
                engine = open_engine(config, left)
                stack.callback(engine.stop)
                work = work_left(left, folder, log)
            stack.enter_context(kept(folder, cells, log))
            if left:
                ended = run_left([one.cell for one in left], work, folder, engine, log)
            seconds = time.perf_counter() - started
            report = summarize(
                cells, folder, options_of(config), ended.failed, not_here, log, seconds, checkpoint_names(config)
            )
            write_answer(folder, report, cells)
    return study_answer(report, folder)


def folder_of(config: Study) -> Path:
    """The folder of the study. Raises RequestError for a run folder, RunError where nothing may be written."""
    new = "name a folder that is new or empty"
    if config.out and (config.out / REPORT).exists():
        raise RequestError(f"--out {str(config.out)!r} holds a finished run, not a study.", new)
    folder = choose_output_folder(config.out, "study", overwrite=False, resumable=True)
    if folder.is_dir() and any(folder.iterdir()) and not any((folder / one).exists() for one in (CELLS, ANSWER, LOGS)):
        raise RequestError(f"--out {str(folder)!r} holds something else than a study.", new)
    return folder


@contextmanager
def kept(folder: Path, cells: list[Cell], log: ConsoleLog | JsonLog) -> Iterator[None]:
    """The list of the cells is in the folder, and inside no other process changes it."""
    make_folder(folder)
    with locked(folder, log):
        remove_partial_files(folder)
        write_atomically(folder / CELLS, lambda path: path.write_text(cells_as_text(cells, folder), "utf-8"))
        yield
        (folder / LOCK).unlink(missing_ok=True)


@contextmanager
def saying_how_to_go_on(folder: Path) -> Iterator[None]:
    """Inside, Ctrl-C and SIGTERM end in a message with the command that goes on. Raises Stopped."""
    try:
        yield
    except KeyboardInterrupt as stop:
        code = stop.exit_code if isinstance(stop, Stopped) else INTERRUPTED
        raise Stopped(
            "the study was stopped; what its cells have done is saved.", resume_command(folder), code
        ) from None


def options_of(config: Study) -> dict[str, Any]:
    """The options of the study that were given, as its answer has them."""
    given = {name: value for name, value in resolved(config).items() if value not in (None, False)}
    return {name: value for name, value in given.items() if name not in NOT_IN_ANSWER}


def work_left(left: Sequence[Planned], folder: Path, log: ConsoleLog | JsonLog) -> dict[str, CellWork]:
    """The work of every cell, without the epochs that are in its history."""
    if left:
        log.note(f"measuring the time of {counted(len(left), 'cell', 'cells')} on a few images")
    work = work_of(left, folder)
    return {one.cell.name: work[one.cell.name].after(one.cell.epochs_done(folder)) for one in left}


def seconds_left(cells: Sequence[Cell], work: Mapping[str, CellWork], slots: int) -> float:
    return total_seconds(cells, {cell.name: work[cell.name].seconds for cell in cells}, slots)


def run_left(
    cells: Sequence[Cell], work: Mapping[str, CellWork], folder: Path, engine: Engine, log: ConsoleLog | JsonLog
) -> Ended:
    """Run the cells that are left, after saying how much that is."""
    log.note(extent(cells, work, engine.slots))
    log.note(f"what each cell says is in {folder / LOGS}")
    with StudyProgress(log, cells, work, engine.slots) as progress:
        return run_cells(cells, folder, engine, progress)


def extent(cells: Sequence[Cell], work: Mapping[str, CellWork], slots: int) -> str:
    """How much there is to do, in words."""
    if not cells:
        return "nothing"
    runs, epochs = (sum(getattr(work[cell.name], name) for cell in cells) for name in ("runs", "epochs"))
    parts = [counted(len(cells), "cell", "cells")]
    parts += [counted(runs, "run", "runs")] * bool(runs) + [counted(epochs, "epoch", "epochs")] * bool(epochs)
    if all(one.measured for one in work.values()):
        parts.append(f"about {duration(seconds_left(cells, work, slots))}")
    return ", ".join(parts)


def lines_answer(cells: Sequence[Cell], folder: Path) -> Answer:
    """`--print`: the command of every cell, also of those that are finished."""
    lines = [cell.line_in(folder) for cell in cells]

    def show(out: Console) -> None:
        for line in lines:
            out.print(Text(line), soft_wrap=True)

    return Answer({"cells": lines}, show)


def dry_run_answer(
    planned: Sequence[Planned], left: Sequence[Planned], work: Mapping[str, CellWork], not_here: Mapping[str, str],
    config: Study,
) -> Answer:  # fmt: skip
    """`--dry-run`: the cells, and how long those that are not finished take."""
    slots = config.jobs if config.engine == "local" else len(left) or 1
    measured = all(one.measured for one in work.values())
    content = {
        "cells": [
            {"folder": one.cell.name, "finished": one not in left}
            | ({"seconds": work[one.cell.name].seconds} if one in left else {})
            for one in planned
        ],
        "left": len(left),
        "runs": sum(one.runs for one in work.values()),
        "epochs": sum(one.epochs for one in work.values()),
        "seconds": seconds_left([one.cell for one in left], work, slots) if measured else None,
        "not_here": dict(not_here),
    }
    last = Text(f"{counted(len(planned), 'cell', 'cells')}, of which {len(planned) - len(left)} finished; left: ")
    last.append(extent([one.cell for one in left], work, slots))
    return Answer(content, lambda out: show_parts(out, [*dry_run_tables(planned, left, work), last]))


def write_answer(folder: Path, report: StudyReport, cells: Sequence[Cell]) -> None:
    """study.json, and the page that a colleague reads."""
    from ftcli.studies.page import study_page

    page = study_page(report, reports_of(cells, folder))
    write_atomically(folder / ANSWER, lambda path: path.write_text(as_json(report), "utf-8"))
    write_atomically(folder / PAGE, lambda path: path.write_bytes(page.encode("utf-8", "replace")))
