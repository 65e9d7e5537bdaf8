"""Pictures in rows on a sheet, as a PNG: the first few of each class of a set."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ftcli.data.images import ImageSet
from ftcli.errors import RequestError
from ftcli.files import write_atomically
from ftcli.text import printable

SIDE, LABEL, GAP, LINE = 96, 160, 4, 13  # pixels; LINE: of the words below a picture
PER_ROW, MOST_ROWS = 8, 40
LONGEST, LONGEST_BELOW = 24, 16  # characters beside a row, and below a picture


@dataclass(frozen=True)
class Row:
    """Examples of one set side by side. `label`: lines beside them; `below` [len(examples)]: lines below each."""

    label: Sequence[str]
    images: ImageSet
    examples: Sequence[int]
    below: Sequence[Sequence[str]] = ()


def check_sheet(path: Path, option: str) -> None:
    """Raises RequestError where the name that `option` gives does not end in .png."""
    if path.suffix.lower() != ".png":
        raise RequestError(f"{option} {str(path)!r}: the picture is a PNG.", "end its name with .png")


def save_sheet(images: ImageSet, path: Path) -> None:
    """Write a PNG with the first examples of each class, in the set's order. Raises RequestError for another ending."""
    check_sheet(path, "--save")
    save_rows(rows_by_class(images), path)


def rows_by_class(images: ImageSet) -> Iterable[Row]:
    """A row per class that occurs, with its first examples."""
    for label in np.unique(images.labels):
        yield Row([images.classes[label]], images, np.flatnonzero(images.labels == label)[:PER_ROW].tolist())


def save_rows(rows: Iterable[Row], path: Path) -> None:
    """Write the first MOST_ROWS rows as a PNG, in each its first PER_ROW pictures. There is one row at least."""
    shown = list(islice(rows, MOST_ROWS))
    lines = max(len(words) for row in shown for words in (*row.below, ()))
    across, down = SIDE + GAP, SIDE + GAP + lines * LINE
    sheet = Image.new("RGB", (LABEL + PER_ROW * across, len(shown) * down), "white")
    draw = ImageDraw.Draw(sheet)
    for i, row in enumerate(shown):
        beside = "\n".join(printable(line)[:LONGEST] for line in row.label)
        draw.text((GAP, i * down + SIDE // 2), beside, fill="black", anchor="lm")
        for j, index in enumerate(row.examples[:PER_ROW]):
            corner = (LABEL + j * across, i * down)
            sheet.paste(tile(row.images.image(int(index))), corner)
            if row.below:
                words = "\n".join(printable(line)[:LONGEST_BELOW] for line in row.below[j])
                draw.multiline_text((corner[0], corner[1] + SIDE), words, fill="black", spacing=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda place: sheet.save(place, format="PNG"))


def tile(image: Image.Image) -> Image.Image:
    """A picture as a square of SIDE; one that is smaller keeps its pixels as squares."""
    return image.resize((SIDE, SIDE), Image.Resampling.NEAREST if image.width < SIDE else Image.Resampling.LANCZOS)
