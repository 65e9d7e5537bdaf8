"""A picture of a set: a row per class, a few examples each."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ftcli.data.images import ImageSet
from ftcli.errors import RequestError
from ftcli.files import write_whole
from ftcli.text import printable

SIDE, PER_CLASS, MOST_CLASSES, LABEL, GAP = 96, 8, 40, 160, 4  # pixels, but for the two counts


def save_sheet(images: ImageSet, path: Path) -> None:
    """Write a PNG with the first examples of each class, in the set's order. Raises RequestError for another ending."""
    if path.suffix.lower() != ".png":
        raise RequestError(f"--save {str(path)!r}: the picture is a PNG.", "end its name with .png")
    assert images.labels is not None
    present = np.unique(images.labels)[:MOST_CLASSES]
    step = SIDE + GAP
    sheet = Image.new("RGB", (LABEL + PER_CLASS * step, len(present) * step), "white")
    draw = ImageDraw.Draw(sheet)
    for row, label in enumerate(present):
        draw.text((GAP, row * step + SIDE // 2), printable(images.classes[label])[:24], fill="black", anchor="lm")
        for column, index in enumerate(np.flatnonzero(images.labels == label)[:PER_CLASS]):
            tile = images.image(int(index))
            tile = tile.resize(
                (SIDE, SIDE), Image.Resampling.NEAREST if tile.width < SIDE else Image.Resampling.LANCZOS
            )
            sheet.paste(tile, (LABEL + column * step, row * step))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda place: sheet.save(place, format="PNG"))
