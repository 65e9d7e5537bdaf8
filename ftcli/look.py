"""The commands that only show what is there: reports, comparisons, lists of runs, presets, the cache, the schema.

No module that computes is imported here, nor by what is: they answer at once.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ftcli.config import looking as options
from ftcli.console.answer import Answer, show_parts, write_json
from ftcli.console.cells import new_table, text
from ftcli.console.streams import Console
from ftcli.errors import CONDITION_HOLDS, RequestError
from ftcli.presets import preset_names, read_preset
from ftcli.presets.show import check_content, check_tables, list_of_presets, preset_tables
from ftcli.report.read import NOT_OF_ONE_MODEL, read_both, read_report, report_file, untrusted
from ftcli.report.tables import tables as report_tables
from ftcli.report.types import Report


def compare(config: options.Compare) -> Answer:
    """`compare`: many reports as one table, CSV, Markdown, LaTeX or JSON; exit code 3 where a condition holds."""
    from dataclasses import asdict, replace

    from ftcli.comparison import export
    from ftcli.comparison.compare import compare as compared
    from ftcli.comparison.folders import find_reports
    from ftcli.comparison.gate import check_conditions
    from ftcli.comparison.latex import to_latex

    conditions = config.conditions()
    with untrusted("one of the reports"):
        files, left_out = find_reports(config.reports)
        # The differences shown are then those that the conditions are on.
        on_differences = any(not condition.absolute for condition in conditions)
        against = config.against or (str(report_file(files[0]).resolve()) if on_differences else None)
        found = compared(files, against)
        found = replace(found, notes=(*left_out, *found.notes))
        checked = check_conditions(conditions, found, against)
        if config.plot:
            plot_comparison(config.plot, {row.name: Path(row.file) for row in found.rows}, config.figures)
    holding = [f"--fail-if {one.condition} holds: {one.words()}" for one in checked if one.holds]
    formats = {"csv": export.to_csv, "markdown": export.to_markdown, "latex": to_latex}

    def show(out: Console) -> None:
        if config.format in formats:
            sys.stdout.write(formats[config.format](found))
        else:
            notes = [text(f"note: {note}") for note in found.notes]
            notes += [
                text(f"--fail-if {one.condition} does not hold: {one.words()}") for one in checked if not one.holds
            ]
            last = [text(found.verdict.sentence)] if found.verdict else []
            show_parts(out, [*export.tables(found, out.width), *notes, *last])

    content = export.to_json(found) | {"conditions": [asdict(one) for one in checked]}
    return Answer(content, show, exit_code=CONDITION_HOLDS if holding else 0, reasons=holding)


def plot_comparison(plot: Path, files: Mapping[str, Path], figures: Sequence[str] | None) -> None:
    """Draw the reports, by their names in the comparison."""
    from ftcli.figures.plots import check_plot, save_panels
    from ftcli.report.figures.by_kind import chosen_panels, comparison_panels

    check_plot(plot)
    panels = comparison_panels({name: read_report(file) for name, file in files.items()})
    save_panels(plot, chosen_panels(panels, figures, "the comparison"))


def report(config: options.Report) -> Answer:
    """`report`: the tables of a finished run, its figures in another format, or its JSON again; and its plots."""
    from ftcli.formats import figures

    content, found = read_both(config.file)
    formats = {"csv": figures.figures_csv, "markdown": figures.figures_markdown, "latex": figures.figures_latex}
    if config.format in formats and found.command in NOT_OF_ONE_MODEL:
        raise RequestError(
            f"{str(config.file)!r} is a report of `{found.command}`, which has no figures of one model.",
            "--format table, or --json for all that it holds",
        )
    if config.html is not None:
        write_page(config, config.html, found)
    with untrusted(f"the report {str(config.file)!r}"):
        draw_report(found, config)

    def show(out: Console) -> None:
        with untrusted(f"the report {str(config.file)!r}"):
            if config.format in formats:
                sys.stdout.write(formats[config.format](found.results))
            else:
                show_parts(out, report_tables(found, out.width))

    return Answer(content, show, found)


def write_page(config: options.Report, path: Path, found: Report) -> None:
    """`report --html`: the page of a finished run; with --images the data layer opens its sets again."""
    from ftcli.console.progress import ConsoleLog
    from ftcli.report.html.run_page import write_run_page

    folder = config.file if config.file.is_dir() else config.file.parent
    with ConsoleLog(config.quiet) as log, untrusted(f"the report {str(config.file)!r}"):
        images = None
        if config.images:
            from ftcli.report.html.stored_images import stored_images

            images = stored_images(found, log)
        write_run_page(path, found, folder, images)


def draw_report(found: Report, config: options.Report) -> None:
    """Draw what a report has, and what its model mistook most confidently."""
    if config.plot is None and config.sheet is None:
        return
    folder = config.file if config.file.is_dir() else config.file.parent
    if config.plot:
        from ftcli.figures.plots import check_plot, save_panels
        from ftcli.report.figures.by_kind import chosen_panels, report_panels

        check_plot(config.plot)
        save_panels(config.plot, chosen_panels(report_panels(found, folder), config.figures, "the report"))
    if config.sheet:
        from ftcli.console.progress import ConsoleLog
        from ftcli.report.figures.mistakes import save_mistakes

        with ConsoleLog(config.quiet) as log:
            save_mistakes(config.sheet, found, folder, log)


def runs(config: options.Runs) -> Answer:
    """`runs`: a line for every run in a folder and below it."""
    from dataclasses import asdict

    from ftcli.run_list import tables
    from ftcli.run_list.summary import SCHEMA, list_runs

    found, folder = list_runs(config.folder), str(config.folder)

    def show(out: Console) -> None:
        if config.format == "csv":
            sys.stdout.write(tables.runs_csv(found))
        elif config.format == "markdown":
            sys.stdout.write(tables.runs_markdown(found, folder))
        else:
            notes = [text(f"note: {problem}") for problem in tables.problems(found)]
            show_parts(out, [tables.runs_table(found, folder, out.width), *notes])

    return Answer({"schema": SCHEMA, "folder": folder, "runs": [asdict(run) for run in found]}, show)


def presets(config: options.Presets) -> Answer:
    """`presets`: the list of named benchmarks, one of them whole, or what of its data is there."""
    names = [config.name] if config.name else preset_names()
    contents = {name: read_preset(name) for name in names}
    if config.check:
        return check_preset(str(config.name), contents[str(config.name)], config)
    parts = preset_tables(config.name, contents[config.name]) if config.name else list_of_presets(contents)
    return Answer(contents, lambda out: show_parts(out, parts))


def check_preset(name: str, content: dict[str, Any], config: options.Presets) -> Answer:
    """`presets NAME --check`: what is there, counted against what is published; exit code 1 where that differs."""
    from ftcli.console.progress import ConsoleLog
    from ftcli.presets.check import count_sets, missing_files

    root = config.root or ""  # of a preset without files
    with ConsoleLog(config.quiet) as log:
        missing, found = missing_files(content, root), count_sets(content, root, log)
    answer = check_content(found, missing)
    return Answer(
        answer, lambda out: show_parts(out, check_tables(name, found, missing)), exit_code=int(not answer["right"])
    )


def cache(config: options.Cache) -> Answer:
    """`cache`: what is kept between runs, by kind; `clear` removes it and says what it was."""
    from datetime import UTC, datetime

    from ftcli.cache.cache import KINDS, open_cache
    from ftcli.log import Log

    found = open_cache(Log())
    if found is None:
        raise RequestError("there is no home folder that a cache could lie in.", "name a folder by FTCLI_CACHE")
    asked = KINDS if config.kind == "all" else (config.kind,)
    entries = [entry for kind in asked for entry in (found.clear if config.action == "clear" else found.entries)(kind)]
    kinds: dict[str, dict[str, Any]] = {}
    for kind in asked:
        own = [entry for entry in entries if entry.kind == kind]
        last = max((datetime.fromtimestamp(entry.used, UTC) for entry in own), default=None)
        used = last.isoformat(timespec="seconds") if last else None
        kinds[kind] = {"entries": len(own), "bytes": sum(entry.size for entry in own), "last_used": used}
    total = sum(entry.size for entry in entries)
    content = {"action": config.action, "folder": str(found.folder), "cap": found.cap, "bytes": total, "kinds": kinds}
    size = f"{total / 1e6:,.1f}" + (" MB removed" if config.action == "clear" else f" of {found.cap / 1e6:,.0f} MB")
    table = new_table(f"{found.folder}: {size}")
    for column in ("kind", "entries", "MB", "last use (UTC)"):
        table.add_column(column, justify="left" if column == "kind" else "right")
    for name, row in kinds.items():
        used = row["last_used"][:16].replace("T", " ") if row["last_used"] else "-"
        table.add_row(name, f"{row['entries']:,}", f"{row['bytes'] / 1e6:,.1f}", used)
    return Answer(content, lambda out: show_parts(out, [table]))


def schema(config: options.Schema) -> Answer:
    """`schema`: the JSON Schema of report.json, or of study.json."""
    from ftcli.report.schema import report_schema, schema_of
    from ftcli.studies.types.study import SCHEMA, StudyReport

    content = schema_of(StudyReport, SCHEMA, "Study of ftcli") if config.of == "study" else report_schema()
    return Answer(content, lambda _: write_json(content))
