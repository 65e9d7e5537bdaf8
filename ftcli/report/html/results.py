"""What came out, as sections of a page: a summary in words, and accuracy set by set."""

from msgspec import UNSET, structs

from ftcli.commands import COMMANDS
from ftcli.console.cells import interval, interval_of, name_intervals, percent, set_name
from ftcli.measures.types import Figures, FiguresBySet, MeanAccuracy
from ftcli.report.estimates.table import estimates_table
from ftcli.report.figures.accuracy import id_ood_panels
from ftcli.report.html.components import Cell, Column, DataTable, Facts, Figure, Paragraph, Part, Section
from ftcli.report.html.rich_tables import WIDTH, from_rich
from ftcli.report.selection.results import stages
from ftcli.report.selection.tables import picks_line
from ftcli.report.tables import published_of, run_table
from ftcli.report.types import Data, Report
from ftcli.safe_text import counted

MARKS = {
    "n": Column("images"),
    "accuracy": Column("accuracy"),
    "interval": Column("[low, high]"),
    "span": Column("0 to 100 %", words=True),
    "balanced_accuracy": Column("balanced", "mean of the recalls of the classes, so that each class counts the same"),
    "worst_class_recall": Column("worst class", "recall of the class that is recognised worst"),
    "worst_group_accuracy": Column("worst group", "accuracy on the group of images that is recognised worst"),
    "loss": Column("loss", "mean cross-entropy in nats; 0 is best, and confident mistakes cost most"),
    "ece": Column("ECE", "expected calibration error: how far confidence lies from accuracy on average"),
    "ece_calibrated": Column("ECE, T", "with probabilities softened by one temperature that was fitted on ID-val"),
}
MOST_NAMED = 20  # sets
OPTIONAL = ("worst_group_accuracy", "ece_calibrated")


def summary(report: Report) -> Section:
    """What was done with which model and data, and what came out, for somebody who has not seen the command."""
    facts = {"command": f"{report.command}: {COMMANDS[report.command].help}"}
    if report.model is not UNSET:
        model = report.model
        share = "all" if model.trainable == model.parameters else f"{model.trainable:,}"
        trained = f", {share} of them trained" if model.trainable else ""
        facts["model"] = f"{model.name}, {model.parameters:,} parameters{trained}"
        facts["weights"] = model.checkpoint or "random"
    if report.data is not UNSET:
        facts["data"] = data_in_words(report.data)
    if report.selected:
        facts["selection"] = f"{picks_line(report)}; of {counted(len(report.runs), 'candidate', 'candidates')}"
    facts["time"] = f"{report.timing.total_s:,.0f} s on {report.environment.device}" if report.environment else ""
    words = [Paragraph(verdict(report.results))] if report.results is not UNSET and verdict(report.results) else []
    return Section("Summary", [*words, Facts({name: what for name, what in facts.items() if what})])


def data_in_words(data: Data) -> str:
    """How many classes, and how many images in which sets."""
    sets = [f"{set_name(name)} ({counted(found.n, 'image', 'images')})" for name, found in data.by_set().items()]
    more = f" and {len(sets) - MOST_NAMED} more sets" if len(sets) > MOST_NAMED else ""
    return f"{counted(len(data.classes), 'class', 'classes')}; {', '.join(sets[:MOST_NAMED])}{more}"


def verdict(results: FiguresBySet) -> str:
    """The accuracy in distribution and on the OOD sets in words; empty where nothing has labels."""
    sentences = []
    inside = next((name for name in ("id_test", "id_val") if name in results), None)
    if inside:
        sentences.append(f"Accuracy on {set_name(inside)}, data like that of training: {in_words(results[inside])}.")
    if mean := results.ood_mean:
        several = len(results.ood) > 1
        what = f"Mean over {len(results.ood)} sets of other data (OOD)" if several else "On other data (OOD)"
        sentences.append(f"{what}: {in_words(mean if several else next(iter(results.ood.values())))}.")
        if inside:
            points = 100 * (results[inside].accuracy - mean.accuracy)
            sentences.append(f"That is {abs(points):.1f} points {'lower' if points >= 0 else 'higher'}.")
        if several:
            worst = min(results.ood, key=lambda name: results.ood[name].accuracy)
            sentences.append(f"The hardest set is {worst}: {in_words(results.ood[worst])}.")
    return " ".join(sentences)


def in_words(entry: Figures | MeanAccuracy) -> str:
    found = interval_of(entry)
    return f"{percent(entry.accuracy)} %{f' {interval(found[1])}' if found else ''}"


def warnings(report: Report) -> Section:
    """The warnings of the run, and what a page says where there are none."""
    return Section("Warnings", [Paragraph(warning.text, warning=True) for warning in report.warnings])


def accuracy(report: Report) -> Section:
    """The figures of every set, of every stage, and ID against OOD."""
    if report.results is UNSET or not (report.results.by_set() or report.results.without_labels()):
        return Section("Accuracy", [])
    parts: list[Part] = [figures_table(report.results)]
    if len(stages(report)) > 1 or published_of(report):
        parts.append(from_rich(run_table(report, width=0)))
    if estimated := estimates_table(report.results, WIDTH):
        parts.append(from_rich(estimated))
    rows = {name: structs.replace(report, results=results) for name, results in stages(report).items()}
    if panels := id_ood_panels(rows):
        parts.append(
            Figure(
                "OOD against ID accuracy", panels,
                "Further to the right a model recognises more images like those of training, further up more of the "
                "other data. On the dotted line both would be equal; the distance below it is what is lost on other "
                "data. Bars are the intervals of the tables.",
            )
        )  # fmt: skip
    introduction = (
        "ID (in distribution) are images like those of training: models are selected on ID-val, and ID-test takes no "
        "part in anything. OOD (out of distribution) are other images of the same classes; they take no part either."
    )
    return Section("Accuracy", parts, introduction)


def figures_table(results: FiguresBySet) -> DataTable:
    """A row for every set: how many images, accuracy with its interval, and further figures, in per cent."""
    entries = results.by_set()
    marks = [mark for mark in MARKS if mark not in OPTIONAL or any(mark in figures for figures in entries.values())]
    rows = [[Cell(set_name(name)), *(cell(figures, mark) for mark in marks)] for name, figures in entries.items()]
    for name, unlabelled in results.without_labels().items():
        rows.append([Cell(set_name(name)), Cell(f"{unlabelled.n:,}"), Cell("no labels"), *[Cell()] * (len(marks) - 2)])
    if results.ood_mean and len(results.ood) > 1:
        rows.append([Cell(set_name("ood_mean")), *(cell(results.ood_mean, mark) for mark in marks)])
    found = [interval_of(figures) for figures in entries.values()]
    kinds = {kind for kind, _ in filter(None, found)}
    caption = f"[low, high]: {name_intervals(kinds)}." if kinds else ""
    return DataTable(
        "Every set, in per cent", [Column("set", words=True), *map(MARKS.__getitem__, marks)], rows, caption
    )


def cell(entry: Figures | MeanAccuracy, mark: str) -> Cell:
    """One figure of a set; empty where it has none."""
    found = interval_of(entry)
    if mark == "interval":
        return Cell(interval(found[1]) if found else "")
    if mark == "span":
        low, high = found[1] if found else (entry.accuracy, entry.accuracy)
        return Cell(span=(low, entry.accuracy, high))
    value = entry.get(mark, UNSET)
    if value is UNSET:
        return Cell()
    if mark == "accuracy":
        return Cell(strong=percent(value))
    return Cell(f"{value:,}" if mark == "n" else f"{value:.3f}" if mark == "loss" else percent(value))
