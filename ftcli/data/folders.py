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
from ftcli.data.walk import Place, listing, places_to, walk
from ftcli.errors import RequestError
from ftcli.text import quoted


def open_folder(root: Path, *, labelled: bool) -> Splits:
    """The splits of an image folder, each read when it is called for; "train" alone where it is not split.

    Classes and order are those of torchvision's ImageFolder, without hidden files and folders; folders named exactly
    "0" … "K - 1" stand in numeric order, as the class numbers they are. Links are followed, but within a class into
    no folder twice, and never into one that holds the class itself.
    """
    parts = _splits(str(root))
    if not parts:
        return {"train": partial(_read, root, str(root), labelled)}
    return {name: partial(_read, root, path, labelled) for name, path in parts.items()}


def _splits(root: str) -> dict[str, str]:
    """Subfolders with the names of splits that hold class folders, if no class folder stands beside them: name -> path.

    A class may itself be called "train": its folder holds images, not folders of images.
    """
    below, _ = listing(root)
    parts = {}
    for name, path in below.items():
        if name.lower() in SPLIT_ROLES:
            folders, files = listing(path)
            if folders and not any(_is_image(file) for file in files):
                parts[name] = path
    if not parts or any(_images(path) for name, path in below.items() if name not in parts):
        return {}
    return parts


def _read(root: Path, folder: str, labelled: bool) -> Rows:
    """One split: a table of image paths, with labels where they are wanted."""
    if not labelled:
        return _rows(root, _images(folder), {}, {})
    below, _ = listing(folder)
    if not below:
        raise RequestError(
            f"the folder {quoted(folder)} holds no class folders: an image folder has one subfolder per class",
            "move the images of each class into a subfolder named after it",
        )
    names = list(below)
    if set(names) == set(numbers(len(names))):
        names = list(numbers(len(names)))
    shown = [_shown(name) for name in names]
    if len(set(shown)) < len(names):
        raise RequestError(f"two folders in {quoted(folder)} have names that read the same", "rename one of them")
    holders = places_to(folder)
    per_class = [_images(below[name], holders) for name in names]
    labels = [label for label, paths in enumerate(per_class) for _ in paths]
    columns = {"label": pa.array(labels, pa.int64())}
    features = {"label": datasets.ClassLabel(names=shown)}
    return _rows(root, [path for paths in per_class for path in paths], columns, features)


def _rows(root: Path, paths: list[str], columns: dict[str, pa.Array], features: dict[str, Any]) -> Rows:
    empty = pa.nulls(len(paths), pa.binary())
    try:
        files = pa.array(paths, pa.string())
    except UnicodeEncodeError:  # a name need not be text
        files = pa.array([os.fsencode(path) for path in paths], pa.large_binary())
    image = pa.StructArray.from_arrays([empty, files], names=["bytes", "path"])
    table = pa.table({"image": image, **columns})
    ids = [_shown(Path(path).relative_to(root).as_posix()) for path in paths]
    return Rows(table, {"image": datasets.Image(), **features}, ids, unit="file")


def _images(folder: str, holders: frozenset[Place] = frozenset()) -> list[str]:
    """All image files under a folder, however deep, in ImageFolder's order; `holders` are not entered from it."""
    if not holders or os.path.islink(folder):
        holders |= places_to(os.path.dirname(os.path.realpath(folder)))
    found = walk(folder, holders)
    places = sorted((place, sorted(filter(_is_image, files))) for place, files in found)
    return [os.path.join(place, name) for place, names in places for name in names]


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMG_EXTENSIONS)


def _shown(name: str) -> str:
    """A name as text: bytes that are no UTF-8 are written as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
