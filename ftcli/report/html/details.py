"""Where a model errs, and what further measures say, as sections of a page."""

from collections.abc import Mapping, Sequence
from itertools import chain

from msgspec import UNSET, structs
from rich.table import Table

from ftcli.commands import COMMANDS, import_named
from ftcli.measures.types import FiguresBySet
from ftcli.report.class_tables import class_tables, group_tables
from ftcli.report.figures.accuracy import distortion_panels
from ftcli.report.figures.answers import Answers
from ftcli.report.figures.calibration import reliability_panels
from ftcli.report.figures.confusion import confusion_panels
from ftcli.report.figures.sets import MOST_SETS, shown_of
from ftcli.report.html.components import Figure, Paragraph, Part, Section
from ftcli.report.html.mistakes import with_confusions
from ftcli.report.html.rich_tables import WIDTH, from_rich
from ftcli.report.model_tables import models_table
from ftcli.report.types import Report

CALIBRATION = (
    "Images are grouped by how sure the saved model was, its confidence; each point is the accuracy of one group. On "
    "the dotted line a model that is 80 % sure is right 80 times in 100; below it the model is too sure. ECE is the "
    "mean distance from the line."
)
CONFUSION = (
    "A row holds the images of one true class, a column those that were given one class; a cell is its share of the "
    "row. Right answers lie on the diagonal, and a dark cell beside it is a class that is often taken for another."
)
DISTORTION = (
    "Each point is a set: to the right the distance that training moved its features, the head's input; upward its "
    "accuracy. Features that move far can lose what the pretrained network knew about other data."
)
CAPTIONS = {
    "distortion": "How far training moved the features of each block of the network on each set (longer: further), and "
    "how alike the features of pairs of blocks are where that was measured.",
    "interpolate": "Loss and accuracy of the models on the straight line between two models in weight space, from the "
    "first at 0 to the second at 1. A bump of the loss is a barrier between them.",
    "criticality": "Error of the model when one block is moved back towards its start (rows) and perturbed with noise "
    "(columns). A block is critical where the error rises early.",
    "rank": "Accuracy of each checkpoint before any fine-tuning: of a linear probe and of the nearest neighbours, on "
    "images of the training set that they are not fitted to, and, called oracle, of the probe on labelled OOD sets.",
    "theory": "OOD loss of LP and LP-FT over that of FT in simulated networks; below 1 a method is better than FT. The "
    "line is the median over random problems, the band holds 80 % of them.",
}  # of the figures of commands that compare models


def calibration(report: Report, answers: Mapping[str, Answers]) -> Section:
    """Reliability diagrams, where there are predictions."""
    panels = reliability_panels(report, answers)
    return Section("Calibration", [Figure("Reliability diagrams", panels, CALIBRATION)] if panels else [])


def classes(report: Report, answers: Mapping[str, Answers]) -> Section:
    """Confusion matrices, groups and classes."""
    if report.results is UNSET:
        return Section("Classes", [])
    parts: list[Part] = []
    if panels := confusion_panels(with_confusions(report, answers)):
        parts.append(Figure("Confusion matrices", panels, CONFUSION))
    shown, left_out = least_accurate(report.results)
    parts += [from_rich(table) for table in group_tables(shown) if isinstance(table, Table)]
    parts += [from_rich(table) for table in class_tables(shown, width=0) if isinstance(table, Table)]
    return Section("Classes", [*parts, *([Paragraph(left_out)] if left_out and parts else [])])


def least_accurate(results: FiguresBySet) -> tuple[FiguresBySet, str]:
    """The results on as many sets as a page has room for in detail, and what is left out in words."""
    found = results.by_set()
    kept = set(shown_of(list(found), lambda name: found[name].accuracy))
    if len(kept) == len(found):
        return results, ""
    ood = {name: figures for name, figures in results.ood.items() if name in kept}
    inside = {name: results[name] if name in kept else UNSET for name in ("id_val", "id_test") if name in results}
    words = f"Details are shown of the {MOST_SETS} least accurate of {len(found)} sets; report.json has all."
    return structs.replace(results, ood=ood, **inside), words


def measures(report: Report) -> list[Section]:
    """A section for the command that compares models, or for each measure of a training command."""
    names = [name for name, row in COMMANDS.items() if row.measure and name in report and report.models is UNSET]
    if COMMANDS[report.command].tables:
        names = [report.command]
    return [measure(report, name) for name in names]


def measure(report: Report, name: str) -> Section:
    """Figures and tables of one measure."""
    row = COMMANDS[name]
    panels = import_named(row.panels)(report) if row.panels else []
    parts: list[Part] = [] if report.models is UNSET else [from_rich(models_table(report.models))]
    if panels:
        parts.append(Figure(row.help.rstrip("."), panels, CAPTIONS[name]))
    if name == "distortion" and (scatter := distortion_panels({report.command: report})):
        parts.append(Figure("Distortion and OOD accuracy", scatter, DISTORTION))
    shown = import_named(row.tables)(report, WIDTH)
    parts += [from_rich(table) if isinstance(table, Table) else Paragraph(str(table)) for table in flat(shown)]
    return Section(name.capitalize(), parts, row.help)


def flat(shown: Sequence[object]) -> list[object]:
    """Tables and texts; sketches for a terminal are left out, since the page has their figures."""
    from rich.text import Text

    return [one for one in chain(shown) if isinstance(one, Table | Text)]
