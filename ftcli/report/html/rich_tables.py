"""The tables of a terminal as tables of a page."""

from rich.table import Table
from rich.text import Text

from ftcli.report.html.components import Cell, Column, DataTable

WIDTH = 110  # characters of the terminal for which tables are laid out that a page shows
MEANINGS = {
    "lr": "learning rate",
    "C": "inverse strength of the probe's L2 regularisation",
    "seed": "of the random numbers; runs that differ in it alone show how much is chance",
    "epoch": "passes over the training set until the weights that are kept",
    "tuned": "number of parameters that were trained",
    "seconds": "all runs of the row together",
    "recall": "share of the images of the class that are recognised",
    "precision": "share of the images given this class that are of it",
    "F1": "harmonic mean of recall and precision",
    "before": "accuracy of the model as it was",
    "stream": "accuracy of the predictions made while adapting",
    "CKA": "linear centred kernel alignment: 1 where features are the same up to rotation and scale",
    "BatchNorm": "eval: the checkpoint's statistics are kept; train: those of each batch",
}  # of heads that not everybody knows


def from_rich(table: Table) -> DataTable:
    """The same title, cells and caption; what is bold at the beginning of a cell stays so."""
    columns = [
        Column(head := plain(column.header), MEANINGS.get(head, ""), words=column.justify == "left")
        for column in table.columns
    ]
    rows = zip(*(map(cell_of, column.cells) for column in table.columns), strict=True)
    return DataTable(plain(table.title), columns, [list(row) for row in rows], plain(table.caption))


def cell_of(cell: object) -> Cell:
    words = plain(cell)
    if isinstance(cell, Text) and cell.style == "bold":
        return Cell(strong=words)
    spans = cell.spans if isinstance(cell, Text) else []
    bold = next((span.end for span in spans if span.start == 0 and span.style == "bold"), 0)
    return Cell(words[bold:], strong=words[:bold])


def plain(words: object) -> str:
    return words.plain if isinstance(words, Text) else str(words or "")
