"""Table `published`: our accuracies beside those that the papers of the presets state.

The interval of a difference has the seeds of both sides as chance: Welch's, with the paper's spread taken as 1.645
standard errors over three seeds, which is how Kumar et al. 2022 make it.
"""

import math
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from msgspec import UNSET
from rich.table import Table

from ftcli.console.cells import Layout, interval, percent, set_name, text
from ftcli.errors import RequestError
from ftcli.measures.intervals import deviation
from ftcli.measures.student_t import two_sided_quantile
from ftcli.presets import preset_names, read_preset
from ftcli.presets.placing import put_root
from ftcli.presets.published import published_for
from ftcli.presets.sets import sets_of
from ftcli.studies.added_tables.material import Material
from ftcli.studies.added_tables.types import PublishedMean, PublishedRow, PublishedTable
from ftcli.studies.cells import Planned
from ftcli.studies.joining import Comparison, FinishedCell

LEVEL = 0.90
PAPER_SEEDS, PAPER_QUANTILE = 3, 1.645
ALL_OOD = "OOD"  # the set of a paper's one figure for all its OOD data
INSIDE = ("id_val", "id_test")


def check(planned: Sequence[Planned], benchmarks: Sequence[str]) -> None:
    """Raises RequestError where no paper states anything of the benchmarks."""
    if not any(figures_of(name) for name in benchmarks):
        known = [name for name in preset_names() if "published" in read_preset(name)]
        raise RequestError(
            "--tables published: no benchmark of the study has published accuracies.", f"--preset {','.join(known)}"
        )


def figures_of(benchmark: str) -> list[dict[str, Any]]:
    """What a paper states of a benchmark; nothing of one that is no preset."""
    return read_preset(benchmark).get("published", {}).get("figures", []) if benchmark in preset_names() else []


def make(study: Material) -> PublishedTable:
    """Every published figure of the commands of the study, with ours where there is one."""
    commands = {cell.command for cell in study.cells}
    rows = []
    for name, one in study.comparisons.items():
        rows += [row_of(name, one, figure) for figure in figures_of(one.benchmark) if figure["command"] in commands]
    for name in study.not_here:
        rows += [row_from(name, figure, "not here") for figure in figures_of(name) if figure["command"] in commands]
    return PublishedTable(rows, list(means_of(rows)))


def row_of(name: str, comparison: Comparison, figure: dict[str, Any]) -> PublishedRow:
    """A published figure with ours."""
    row = comparison.row_of(figure["command"])
    if row is None:
        return row_from(name, figure, "not measured")
    if not on_the_papers_sets(row.best, comparison.benchmark, figure["set"]):
        return row_from(name, figure, "other data")
    ours = [accuracy_of(one, figure) for one in row.picks]
    known = [accuracy for accuracy in ours if accuracy is not None]
    if len(known) < len(ours):
        return row_from(name, figure, "not measured")
    found = row_from(name, figure, "measured")
    found.accuracy, found.n_seeds = fmean(known), len(known)
    found.difference = found.accuracy - found.published
    if half := half_width(known, figure.get("plus_minus"), fixed=not row.draws_numbers):
        found.interval = [found.difference - half, found.difference + half]
    return found


def row_from(name: str, figure: dict[str, Any], state: Any) -> PublishedRow:
    return PublishedRow(
        benchmark=name, command=figure["command"], choice=figure.get("choice", UNSET), set=figure["set"], state=state,
        published=figure["accuracy"], plus_minus=figure.get("plus_minus", UNSET),
    )  # fmt: skip


def on_the_papers_sets(cell: FinishedCell, preset: str, of_set: str) -> bool:
    """Whether a cell was trained, and measured on a set, as the preset says; on all OOD sets for their one figure."""
    options = dict(cell.report.config)
    if of_set != ALL_OOD:
        return any(one["set"] == of_set for one in published_for(cell.cell.command, options))
    return options.get("train") in own_specs(preset, cell, "train") and all(
        spec in own_specs(preset, cell, "ood") for spec in (text.partition("=")[2] for text in options.get("ood") or [])
    )


def own_specs(preset: str, cell: FinishedCell, role: str) -> list[str]:
    """The SPECs of a preset's sets of a role, for the command of a cell, with its --root."""
    content, root = read_preset(preset), str(cell.report.config.get("root") or "")
    return [
        put_root(one.spec, root)
        for one in sets_of(content)
        if one.role == role and one.command in ("", cell.cell.command)
    ]


def accuracy_of(cell: FinishedCell, figure: dict[str, Any]) -> float | None:
    """Our accuracy that a published one is held against; None where it was not measured."""
    results = cell.results
    if choice := figure.get("choice"):
        choices = cell.report.choices
        found = choices[choice].results if choices is not UNSET and choice in choices else None
        if found is None:
            return None
        results = found
    if figure["set"] == ALL_OOD:
        return results.ood_mean.accuracy if results.ood_mean else None
    entry = results.by_set().get(figure["set"])
    return entry.accuracy if entry else None


def half_width(ours: Sequence[float], plus_minus: float | None, *, fixed: bool) -> float | None:
    """Half the interval of the difference; None where the spread of one side is not known, or both are nil.

    fixed: ours would be the same with every seed.
    """
    if plus_minus is None or (len(ours) < 2 and not fixed):
        return None
    mine = 0.0 if fixed else deviation(ours) ** 2 / len(ours)
    theirs = (plus_minus / PAPER_QUANTILE) ** 2
    if mine + theirs == 0:
        return None
    df = (mine + theirs) ** 2 / ((mine**2 / (len(ours) - 1) if mine else 0.0) + theirs**2 / (PAPER_SEEDS - 1))
    return two_sided_quantile(LEVEL, df) * math.sqrt(mine + theirs)


def means_of(rows: Sequence[PublishedRow]) -> Iterator[PublishedMean]:
    """The means over what was measured; choices of blocks are no methods of their own here."""
    plain = [row for row in rows if row.choice is UNSET]
    for kind in ("ID", "OOD"):
        for command in dict.fromkeys(row.command for row in plain):
            mine = [row for row in plain if row.command == command and (row.set in INSIDE) == (kind == "ID")]
            known = [row for row in mine if row.state == "measured"]
            if known:
                yield PublishedMean(
                    command=command, kind=kind, sets=len(known), of_sets=len(mine),
                    accuracy=fmean(row.accuracy for row in known if row.accuracy is not UNSET),
                    published=fmean(row.published for row in known),
                )  # fmt: skip


def shown(table: PublishedTable, width: int) -> list[Table]:
    """A row per published figure, and one per command and kind of set."""
    rows = []
    for row in table.rows:
        choice = "" if row.choice is UNSET else f" {row.choice}"
        spread = "" if row.plus_minus is UNSET else f" ± {percent(row.plus_minus)}"
        ours = row.state if row.accuracy is UNSET else percent(row.accuracy)
        bounds = "-" if row.interval is UNSET else interval(row.interval)
        points = "-" if row.difference is UNSET else f"{100 * row.difference:+z.1f}"
        rows.append([
            text(row.benchmark), text(set_name(row.set)), text(row.command + choice), text(ours),
            text(percent(row.published) + spread), text(points), text(bounds),
        ])  # fmt: skip
    caption = (
        "Ours minus the paper's, with a 90 % interval over the seeds of both where their spread is known. OOD: the "
        "paper's one figure for all OOD data, and our mean over the sets. With other weights than the paper's the "
        "figures differ"
    )
    words = ["benchmark", "set", "method"]
    whole = Layout([*words, "ours", "paper", "points", "interval"], rows)
    found = whole.tables(width, "Published accuracies in per cent", caption, left=words, kept=len(words))
    return [*found, means_table(table.means)] if table.means else found


def means_table(means: Sequence[PublishedMean]) -> Table:
    """A row per kind of set and command."""
    rows = [
        [
            text(f"{mean.kind}, {mean.command}"), text(f"{mean.sets} of {mean.of_sets}"), text(percent(mean.accuracy)),
            text(percent(mean.published)), text(f"{100 * (mean.accuracy - mean.published):+z.1f}"),
        ]
        for mean in means
    ]  # fmt: skip
    heads = ["", "figures", "ours", "paper", "points"]
    return Layout(heads, rows).table("Means over the published figures that were measured", "")
