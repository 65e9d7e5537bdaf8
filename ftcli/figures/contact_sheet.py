"""Contact sheets: images in rows on one PNG, such as the first few of each class of a set."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ftcli.data.images import ImageSet
from ftcli.errors import RequestError
from ftcli.files import write_atomically
from ftcli.safe_text import printable

SIDE, LABEL_WIDTH, GAP, LINE_HEIGHT = 96, 160, 4, 13  # pixels; LINE_HEIGHT: of the caption of an image
PER_ROW, MAX_ROWS = 8, 40
MAX_LABEL, MAX_CAPTION = 24, 16  # characters on a line of the label of a row, and on one of a caption


@dataclass(frozen=True)
class Row:
    """Examples of one set side by side. `label`: lines to their left; `captions` [len(examples)]: lines below each."""

    label: Sequence[str]
    images: ImageSet
    examples: Sequence[int]
    captions: Sequence[Sequence[str]] = ()


def check_sheet(path: Path, option: str) -> None:
    """Raises RequestError where the name that `option` gives does not end in .png."""
    if path.suffix.lower() != ".png":
        raise RequestError(f"{option} {str(path)!r}: the picture is a PNG.", "end its name with .png")


def save_classes(images: ImageSet, path: Path) -> None:
    """Write a PNG with a row per class that occurs, and in it its first examples; of a set without labels one row."""
    labels = images.labels
    if not images.labelled:
        return save_rows([Row(["no labels"], images, range(len(images)))], path)
    save_rows((Row([images.classes[k]], images, np.flatnonzero(labels == k).tolist()) for k in np.unique(labels)), path)


def save_rows(rows: Iterable[Row], path: Path) -> None:
    """Write the first MAX_ROWS rows as a PNG, in each its first PER_ROW images. There is one row at least."""
    shown = list(islice(rows, MAX_ROWS))
    lines = max(len(caption) for row in shown for caption in (*row.captions, ()))
    width, height = SIDE + GAP, SIDE + GAP + lines * LINE_HEIGHT  # of a place on the sheet
    sheet = Image.new("RGB", (LABEL_WIDTH + PER_ROW * width, len(shown) * height), "white")
    draw = ImageDraw.Draw(sheet)
    for i, row in enumerate(shown):
        draw.text((GAP, i * height + SIDE // 2), cut_lines(row.label, MAX_LABEL), fill="black", anchor="lm")
        for j, index in enumerate(row.examples[:PER_ROW]):
            x, y = LABEL_WIDTH + j * width, i * height
            sheet.paste(square(row.images.image(int(index))), (x, y))
            if row.captions:
                draw.multiline_text((x, y + SIDE), cut_lines(row.captions[j], MAX_CAPTION), fill="black", spacing=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda temporary: sheet.save(temporary, format="PNG"))


def cut_lines(lines: Sequence[str], width: int) -> str:
    return "\n".join(printable(line)[:width] for line in lines)


def square(image: Image.Image) -> Image.Image:
    """An image as a square of SIDE; one that is smaller keeps its pixels as squares."""
    return image.resize((SIDE, SIDE), Image.Resampling.NEAREST if image.width < SIDE else Image.Resampling.LANCZOS)
