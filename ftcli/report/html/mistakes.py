"""What a model got wrong, read from its predictions: the most confident mistakes, and confusion matrices."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
from msgspec import UNSET, structs
from PIL import Image

from ftcli.console.cells import percent, set_name
from ftcli.data.images import ImageSet
from ftcli.errors import RunError
from ftcli.measures.types import ConfusionMatrix, Figures
from ftcli.report.figures.answers import Answers
from ftcli.report.figures.sets import shown_of
from ftcli.report.html.components import Cell, Column, DataTable, Gallery, Paragraph, Part, Picture, Section
from ftcli.report.types import Report
from ftcli.safe_text import counted as in_words

MOST = 10  # mistakes of a set
SIDE = 104  # pixels of the longer side of a picture
SMALL = 48  # pixels; an image that is smaller stays as it is
MOST_CLASSES = 1000  # of a confusion matrix that is counted from predictions
CAPTION = (
    "The images that the saved model got wrong and was surest of, the surest first: true class → class that it gave "
    "instead, and its confidence in that. Look for wrong labels, for images of two classes, and for what they share."
)
NO_PICTURES = (
    "The pictures are not shown: the page was made from the report alone. ftcli report RUN --html FILE --images opens "
    "the data again and shows them."
)


def mistakes(answers: Mapping[str, Answers], images: Mapping[str, ImageSet] | None) -> Section:
    """The most confident mistakes of the least accurate sets: pictures where `images` has the set, else a table."""
    accuracy = {name: float(found.correct().mean()) for name, found in answers.items()}
    parts: list[Part] = []
    for name in shown_of(list(answers), accuracy.__getitem__):
        if len(wrong := answers[name].mistakes()):
            title = f"{set_name(name)}: {min(MOST, len(wrong))} of {in_words(len(wrong), 'mistake', 'mistakes')}"
            parts += of_set(title, answers[name], wrong[:MOST].tolist(), (images or {}).get(name))
    if parts and images is None:
        parts.append(Paragraph(NO_PICTURES))
    return Section("Most confident mistakes", parts, CAPTION)


def of_set(title: str, answers: Answers, wrong: Sequence[int], images: ImageSet | None) -> list[Part]:
    """The mistakes of one set."""
    if images is not None and list(images.ids) == answers.examples:
        try:
            pictures = [picture(images.image(i), words(answers, i)) for i in wrong]
            return [Gallery(title, pictures, "")]
        except RunError as error:  # an image that has changed or gone since: the page says it and stays
            return [mistakes_table(title, answers, wrong), Paragraph(str(error), warning=True)]
    return [mistakes_table(title, answers, wrong)]


def mistakes_table(title: str, answers: Answers, wrong: Sequence[int]) -> DataTable:
    columns = [
        Column(head, words=head != "confidence") for head in ("image", "true class", "given class", "confidence")
    ]
    rows = [
        [Cell(answers.examples[i]), Cell(answers.labels[i]), Cell(answers.predicted[i]), Cell(confidence(answers, i))]
        for i in wrong
    ]
    return DataTable(title, columns, rows)


def words(answers: Answers, i: int) -> list[str]:
    """What is written below a picture."""
    return [f"{answers.labels[i]} → {answers.predicted[i]}", confidence(answers, i)]


def confidence(answers: Answers, i: int) -> str:
    return f"{percent(float(answers.probability[i]))} %"


def picture(image: Image.Image, lines: Sequence[str]) -> Picture:
    """A picture of an image; the same bytes for the same pixels."""
    file = BytesIO()
    if max(image.size) <= SMALL:
        image.save(file, format="PNG")
        return Picture(f"data:image/png;base64,{b64encode(file.getvalue()).decode()}", lines)
    small = image.copy()
    small.thumbnail((2 * SIDE, 2 * SIDE), Image.Resampling.LANCZOS)
    small.save(file, format="JPEG", quality=75)
    return Picture(f"data:image/jpeg;base64,{b64encode(file.getvalue()).decode()}", lines)


def with_confusions(report: Report, answers: Mapping[str, Answers]) -> Report:
    """The report, with confusion matrices of the saved model where it has none and there are predictions."""
    results = report.results
    added: dict[str, Figures] = {}
    for name, figures in results.by_set().items():
        if figures.confusion is UNSET and name in answers and len(report.data.classes) <= MOST_CLASSES:
            counted = confusion_matrix(answers[name], report.data.classes)
            added[name] = structs.replace(figures, confusion=counted) if counted else figures
    inside = {name: added[name] for name in ("id_val", "id_test") if name in added}
    ood = {name: added.get(name, figures) for name, figures in results.ood.items()}
    return structs.replace(report, results=structs.replace(results, ood=ood, **inside))


def confusion_matrix(answers: Answers, classes: Sequence[str]) -> ConfusionMatrix | None:
    """The answers on a set counted, [true class][given class]; None where one names another class."""
    K, index = len(classes), {name: i for i, name in enumerate(classes)}
    if not index.keys() >= {*answers.labels, *answers.predicted}:
        return None
    pairs = np.array([index[a] * K + index[b] for a, b in zip(answers.labels, answers.predicted, strict=True)])
    counts = np.bincount(pairs.astype(np.int64), minlength=K * K).reshape(K, K)
    return ConfusionMatrix(classes=list(classes), counts=counts.tolist())
