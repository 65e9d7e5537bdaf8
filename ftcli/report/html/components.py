"""What a page consists of: sections of paragraphs, facts, tables, figures and pictures. `page.py` turns them into HTML.

All text is plain text, from data too: the page escapes it and makes it printable.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from ftcli.figures.panels import Panel


@dataclass(frozen=True)
class Paragraph:
    """A paragraph. `warning`: it stands out."""

    kind: ClassVar[str] = "paragraph"
    text: str
    warning: bool = False


@dataclass(frozen=True)
class Facts:
    """Names and what each is, in two columns. `words`: what the name means, where it is not obvious."""

    kind: ClassVar[str] = "facts"
    rows: Mapping[str, str]
    words: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Code:
    """Words that can be copied into a terminal, below what they do."""

    kind: ClassVar[str] = "code"
    caption: str
    text: str


@dataclass(frozen=True)
class Cell:
    """A cell of a table: `strong` first, then `text`. `span`: an estimate with its interval (low, value, high) as
    fractions, drawn on an axis from 0 to 1. `code`: the text is a command.
    """

    text: str = ""
    strong: str = ""
    span: tuple[float, float, float] | None = None
    code: bool = False


@dataclass(frozen=True)
class Column:
    """A column: its head, and what that means where it is not obvious. `words`: of words, which begin at the left."""

    head: str
    meaning: str = ""
    words: bool = False


@dataclass(frozen=True)
class DataTable:
    """A table; each row has a cell per column."""

    kind: ClassVar[str] = "table"
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""


@dataclass(frozen=True)
class Figure:
    """Panels with one legend; `caption`: a sentence that explains them to who has never seen such a figure."""

    kind: ClassVar[str] = "figure"
    title: str
    panels: Sequence[Panel]
    caption: str


@dataclass(frozen=True)
class Picture:
    """A small picture: its bytes as a data: URI, and the lines below it."""

    uri: str
    lines: Sequence[str]


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side."""

    kind: ClassVar[str] = "gallery"
    title: str
    pictures: Sequence[Picture]
    caption: str


Part = Paragraph | Facts | Code | DataTable | Figure | Gallery


@dataclass(frozen=True)
class Section:
    """A section of a page; one without parts is left out."""

    title: str
    parts: Sequence[Part]
    introduction: str = ""
