"""Image folders: a class is the name of a subfolder; train, validation and test folders of class folders are splits."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from torchvision.datasets.folder import IMG_EXTENSIONS

from ftcli.data.labels import numbers
from ftcli.data.rows import SPLIT_ROLES, Rows, Splits
from ftcli.errors import RequestError


def open_folder(root: Path, *, labelled: bool) -> Splits:
    """The splits of an image folder, each read when it is called for; "train" alone where it is not split.

    Classes and order are those of torchvision's ImageFolder, without hidden files and folders; folders named exactly
    "0" … "K - 1" stand in numeric order, as the class numbers they are.
    """
    parts = _splits(root)
    if not parts:
        return {"train": partial(_read, root, root, labelled)}
    return {part.name: partial(_read, root, part, labelled) for part in parts}


def _splits(root: Path) -> list[Path]:
    """Subfolders with the names of splits that hold class folders, if no class folder stands beside them.

    A class may itself be called "train": its folder holds images, not folders of images.
    """
    below = _folders(root)
    parts = [folder for folder in below if folder.name.lower() in SPLIT_ROLES and _folders(folder)]
    parts = [part for part in parts if not any(_is_image(entry.name) for entry in os.scandir(part))]
    if not parts or any(_images(folder) for folder in below if folder not in parts):
        return []
    return parts


def _read(root: Path, folder: Path, labelled: bool) -> Rows:
    """One split: a table of image paths, with labels where they are wanted."""
    if not labelled:
        paths = _images(folder)
        return _rows(root, paths, {}, {})
    names = [entry.name for entry in _folders(folder)]
    if not names:
        raise RequestError(
            f'the folder "{folder}" holds no class folders: an image folder has one subfolder per class',
            "move the images of each class into a subfolder named after it",
        )
    if set(names) == set(numbers(len(names))):
        names = list(numbers(len(names)))
    per_class = [_images(folder / name) for name in names]
    labels = [label for label, paths in enumerate(per_class) for _ in paths]
    columns = {"label": pa.array(labels, pa.int64())}
    features = {"label": datasets.ClassLabel(names=names)}
    return _rows(root, [path for paths in per_class for path in paths], columns, features)


def _rows(root: Path, paths: list[str], columns: dict[str, pa.Array], features: dict[str, Any]) -> Rows:
    empty = pa.nulls(len(paths), pa.binary())
    image = pa.StructArray.from_arrays([empty, pa.array(paths, pa.string())], names=["bytes", "path"])
    table = pa.table({"image": image, **columns})
    ids = [Path(path).relative_to(root).as_posix() for path in paths]
    return Rows(table, {"image": datasets.Image(), **features}, ids, unit="file")


def _folders(folder: Path) -> list[Path]:
    return sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _images(folder: Path) -> list[str]:
    """All image files under a folder, however deep, in ImageFolder's order."""
    places = []
    for place, below, files in os.walk(folder, followlinks=True):
        below[:] = [name for name in below if not name.startswith(".")]  # not entered
        places.append((place, sorted(name for name in files if _is_image(name))))
    return [os.path.join(place, name) for place, names in sorted(places) for name in names]


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMG_EXTENSIONS) and not name.startswith(".")
