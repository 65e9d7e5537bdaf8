"""report.html of a study: the verdict, every method on every set, their differences, what each cell did."""

import shlex
from collections.abc import Mapping

from msgspec import UNSET, structs

from ftcli.console.overall import duration
from ftcli.report.figures.accuracy import distortion_panels, id_ood_panels
from ftcli.report.figures.learning_curves import learning_curve_panels
from ftcli.report.html.components import Cell, Code, Column, DataTable, Facts, Figure, Paragraph, Part, Section
from ftcli.report.html.page import page
from ftcli.report.html.provenance import data_table, glossary, named
from ftcli.report.html.rich_tables import WIDTH, from_rich
from ftcli.report.types import Report
from ftcli.safe_text import counted
from ftcli.studies.added_tables.registry import shown_tables
from ftcli.studies.tables import accuracy_tables, difference_table, rank_table
from ftcli.studies.types import Benchmark, StudyReport


def study_page(study: StudyReport, reports: Mapping[str, Mapping[str, Report]]) -> str:
    """The HTML of the page. reports: by benchmark and method, that of the best seed's cell."""
    sections = [summary(study)]
    for name, benchmark in study.benchmarks.items():
        if benchmark.methods:
            sections.append(results(name, benchmark, reports[name]))
    if study.tables is not UNSET:
        sections.append(Section("Tables", [from_rich(table) for table in shown_tables(study.tables, WIDTH)]))
    sections += [curves(reports), cells(study), provenance(study, reports), glossary()]
    return page("Study of fine-tuning methods", sections, f"A study of ftcli, {study.created[:10]}")


def summary(study: StudyReport) -> Section:
    """The verdicts, what is missing, and how large the study is."""
    several = len(study.benchmarks) > 1
    parts: list[Part] = []
    for name, benchmark in study.benchmarks.items():
        if benchmark.verdict is not UNSET:
            parts.append(Paragraph(f"{name}: {benchmark.verdict.text}" if several else benchmark.verdict.text))
        if benchmark.not_here is not UNSET:
            parts.append(Paragraph(f"{name}: not here: {benchmark.not_here}", warning=True))
    if study.ranks:
        parts.append(from_rich(rank_table(study.ranks)))
    parts += [Paragraph(warning.text, warning=True) for warning in study.warnings]
    parts += [Paragraph(note, warning=True) for note in study.notes]
    states = [cell.state for cell in study.cells]
    missing = len(states) - states.count("finished")
    facts = {
        "benchmarks": ", ".join(study.benchmarks),
        "cells": f"{counted(len(states), 'command', 'commands')}, {f'{missing} not' if missing else 'all'} finished",
        "time of the last call": duration(study.timing.total_s),
    }
    return Section("Summary", [*parts, Facts(facts)])


def results(name: str, benchmark: Benchmark, reports: Mapping[str, Report]) -> Section:
    """The accuracies of a benchmark's methods, ID against OOD, and the differences."""
    parts: list[Part] = [from_rich(table) for table in accuracy_tables(name, benchmark, WIDTH)]
    joined = {
        method.method: structs.replace(reports[method.method], results=method.results)
        for method in benchmark.methods
        if method.picked
    }
    if panels := id_ood_panels(joined):
        caption = (
            "Further to the right a method recognises more images like those of training, further up more of the other "
            "data. On the dotted line both would be equal; the distance below it is what is lost on other data. Bars "
            "are the intervals of the table."
        )
        parts.append(Figure("OOD against ID accuracy", panels, caption))
    if panels := distortion_panels(joined):
        caption = "How far training has moved the features of the penultimate layer, and the accuracy on other data."
        parts.append(Figure("OOD accuracy against distortion", panels, caption))
    if benchmark.differences:
        parts.append(from_rich(difference_table(benchmark.differences, WIDTH)))
    introduction = (
        "ID (in distribution) are images like those of training; OOD (out of distribution) are other images of the "
        "same classes. Rates, epochs and settings are selected on ID-val; no OOD set takes part in any selection."
    )
    return Section(f"Results: {name}", parts, introduction)


def curves(reports: Mapping[str, Mapping[str, Report]]) -> Section:
    """The learning curves of each method's best seed."""
    parts: list[Part] = []
    for benchmark, by_method in reports.items():
        for method, report in by_method.items():
            if panels := learning_curve_panels(report):
                title = f"{benchmark}: {method}, best seed"
                parts.append(Figure(title, panels, "What each epoch of the picked run gave, and of other rates."))
    return Section("Learning curves", parts)


def cells(study: StudyReport) -> Section:
    """Every command with its state."""
    columns = [
        Column("cell", words=True), Column("state", words=True), Column("command", words=True),
    ]  # fmt: skip
    rows = [
        [
            Cell(cell.folder),
            Cell(cell.state if cell.problem is UNSET else f"{cell.state}: {cell.problem}"),
            Cell(cell.line, code=True),
        ]
        for cell in study.cells
    ]
    return Section("Cells", [DataTable("Every command of the study", columns, rows)])


def provenance(study: StudyReport, reports: Mapping[str, Mapping[str, Report]]) -> Section:
    """The command, the data and weights of each benchmark, and versions."""
    parts: list[Part] = []
    if study.argv:
        line = shlex.join(["ftcli", *(word for word in study.argv if word != "--json")])
        parts.append(Code("The command, which goes on with the study or shows it again:", line))
    for name, by_method in reports.items():
        for report in list(by_method.values())[:1]:
            weights = {
                "weights": report.model.checkpoint or "random",
                "SHA-256 of the weights": report.model.sha256 or "",
            }
            parts += [Facts({"benchmark": name, **weights}), data_table(report.data)]
            parts.append(Facts({"environment": named(report.environment)}))
    parts.append(Facts({"made by": f"ftcli {study.version}, {study.created}", "options": named(study.config)}))
    return Section("Provenance", parts)
