"""Which results the tables of a report show: by stage or choice, of the picks, of what is saved; as entries by set."""

from msgspec import UNSET
from rich.text import Text

from ftcli.commands import COMMANDS, title_of
from ftcli.console.cells import (
    interval,
    interval_of,
    percent,
    set_name,
)
from ftcli.measures.types import Figures, FiguresBySet, MeanAccuracy
from ftcli.report.types import Report

Entry = Figures | MeanAccuracy | None  # None: a set without labels


def entries(results: FiguresBySet) -> dict[str, Entry]:
    """Figures by the name of their set, in the order of the columns; sets without labels have none."""
    entries: dict[str, Entry] = {set_name(name): figures for name, figures in results.by_set().items()}
    entries |= {set_name(name): None for name in results.without_labels()}
    return entries | ({set_name("ood_mean"): results.ood_mean} if results.ood_mean else {})


def stages(report: Report) -> dict[str, FiguresBySet]:
    """The rows of the run's table: each choice or stage with its results, or the one method."""
    others = other_rows(report)
    before = {} if report.before is UNSET else {"before": report.before}
    earlier = {} if report.stages is UNSET else report.stages
    if report.choices is not UNSET:
        probed = {COMMANDS["probe"].title: earlier["probe"].results} if earlier else {}
        choices = {name: choice.results for name, choice in report.choices.items() if choice.results}
        return before | probed | choices
    if not earlier:
        name = title_of(report.command, report.config)
        several = report.config.get("seeds") or report.config.get("seed")
        if others and several and report.selected and report.selected.average is not UNSET:
            name += f", pick of seed {report.selected.seed}"
        return {name: results_of_pick(report)} | others
    last = list(earlier)[-1]
    rows = {COMMANDS[report.command if name == last else name].title: stage.results for name, stage in earlier.items()}
    return rows | others


def other_rows(report: Report) -> dict[str, FiguresBySet]:
    """The probe at the C of the usual rule, where another C is picked, and the average that is saved."""
    rows: dict[str, FiguresBySet] = {}
    if report.usual_pick is not UNSET and report.selected:
        probed = report.selected if report.stages is UNSET else report.stages["probe"].selected
        if probed.C != report.usual_pick.selected.C:
            rows[f"{COMMANDS['probe'].title}, usual C"] = report.usual_pick.results
    if report.selected and report.selected.average is not UNSET:
        rows[f"{report.selected.average}, saved"] = report.results
    return rows


def results_of_pick(report: Report) -> FiguresBySet:
    """The results of the picks, whatever is saved in their place."""
    saved = report.selected is not None and report.selected.average is not UNSET
    return report.averages.pick.results if saved and report.averages is not UNSET else report.results


def accuracy_of(entry: Entry) -> str:
    return "-" if entry is None else percent(entry.accuracy)


def cell(entry: Entry, between: str | None) -> Text:
    """An accuracy and its interval, on one line or two, or without (None); a dash where there are no labels."""
    if entry is None:
        return Text("-")
    kind = None if between is None else interval_of(entry)
    return Text.assemble((percent(entry.accuracy), "bold"), f"{between}{interval(kind[1])}" if kind else "")
