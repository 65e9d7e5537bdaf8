"""Image folders: a class is the name of a subfolder; train, validation and test folders of class folders are splits."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa

from ftcli.data.classes.labels import numbers
from ftcli.data.pictures.decode import FORMATS
from ftcli.data.rows import Rows, Splits
from ftcli.data.sources.image_files import endings_of, found_in, holds_picture, loose
from ftcli.data.sources.layout import check_inner, has_classes, splits_in
from ftcli.data.sources.table_files import as_parquet, can_become_parquet
from ftcli.data.sources.walk import listing, places_to, wanted
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.text import counted, listed, quoted


def open_folder(root: Path, log: Log, *, labelled: bool) -> Splits:
    """The splits of an image folder, each read when it is called for; "train" alone where it is not split.

    Classes and order are those of torchvision's ImageFolder, without hidden files and folders; folders named exactly
    "0" … "K - 1" stand in numeric order, as the class numbers they are. A folder without pictures is no class, unless
    it is one in another split. What is left out is counted in a warning. Links are followed, but within a class into
    no folder twice, and never into one that holds the class itself.

    Raises:
        RequestError: the layout is one that could be read in two ways, or that gives no labels where they are wanted.
    """
    parts = splits_in(str(root), log) or {"train": str(root)}
    if labelled and len(parts) > 1 and not any(map(has_classes, parts.values())):
        raise _flat(next(iter(parts.values())))
    return {
        name: partial(_read, root, path, [other for other in parts.values() if other != path], labelled, log)
        for name, path in parts.items()
    }


def one_picture(path: Path) -> Rows:
    """A set of one picture, without a label."""
    return _rows(path.parent, [str(path)], {}, {})


def _read(root: Path, folder: str, others: list[str], labelled: bool, log: Log) -> Rows:
    """One split: a table of image paths, with labels where they are wanted. `others`: the folders of other splits."""
    if not labelled:
        everything = found_in(folder)
        _say_files(folder, everything.others, log)
        return _rows(root, everything.pictures, {}, {})
    below, (single, files) = listing(folder)[0], loose(folder)
    holders = places_to(folder)
    found = {name: found_in(path, holders) for name, path in below.items() if wanted(path)}
    # A folder that holds runs is where --out puts them, with a figure or two beside them.
    found = {name: one for name, one in found.items() if not one.holds_runs}
    files += [path for one in found.values() for path in one.others]
    if not any(one.pictures for one in found.values()):
        raise _flat(folder) if single or not below else _bare(folder, len(below), files)
    classes = {name: one for name, one in found.items() if one.pictures or _is_class_of(others, name)}
    _say_files(folder, files, log)
    _say_folders(folder, [name for name in below if name not in classes], single, log)
    check_inner(folder, classes, log)
    names = list(classes)
    if set(names) == set(numbers(len(names))):
        names = list(numbers(len(names)))
    shown = [_shown(name) for name in names]
    if len(set(shown)) < len(names):
        raise RequestError(f"two folders in {quoted(folder)} have names that read the same", "rename one of them")
    per_class = [classes[name].pictures for name in names]
    labels = [label for label, paths in enumerate(per_class) for _ in paths]
    columns = {"label": pa.array(labels, pa.int64())}
    features = {"label": datasets.ClassLabel(names=shown)}
    return _rows(root, [path for paths in per_class for path in paths], columns, features)


def _is_class_of(splits: list[str], name: str) -> bool:
    """Whether one of these splits has pictures of a class: then it is a class where it has none, too."""
    folders = (os.path.join(split, name) for split in splits)
    return any(os.path.isdir(folder) and holds_picture(folder) for folder in folders)


def _flat(folder: str) -> RequestError:
    """What is said of a folder without class folders where labels are wanted."""
    listings = [path for path in loose(folder)[1] if can_become_parquet(path)]
    problem = f"the folder {quoted(folder)} holds no class folders: an image folder has one subfolder per class"
    fix = "move the images of each class into a subfolder named after it"
    if listings:
        problem += f"; {quoted(os.path.basename(listings[0]))} in it, which may name pictures and labels, is not read"
        fix += f"; or make a table of it: {as_parquet(listings[0])}"
    return RequestError(problem, fix)


def _bare(folder: str, count: int, files: list[str]) -> RequestError:
    """What is said of a folder whose subfolders hold no pictures."""
    return RequestError(
        f"the folder {quoted(folder)} has no rows: no picture in {counted(count, 'subfolder', 'subfolders')}, "
        + (f"files: {endings_of(files)}" if files else "and no other file"),
        f"name a folder of pictures in one of the formats {', '.join(FORMATS)}",
    )


def _say_files(folder: str, files: list[str], log: Log) -> None:
    """Warn of files that are no pictures."""
    if files:
        what = "file of {} is no picture" if len(files) == 1 else "files of {} are no pictures"
        log.warn("files-left-out", f"{len(files):,} {what.format(quoted(folder))}, left out: {endings_of(files)}")


def _say_folders(folder: str, folders: list[str], single: list[str], log: Log) -> None:
    """Warn of folders that are no classes, and of pictures that lie in none."""
    if folders:
        log.warn(
            "folders-left-out",
            f"{counted(len(folders), 'folder', 'folders')} of {quoted(folder)} with no pictures, or with runs of "
            f"ftcli, taken for no class: {listed(folders)}",
        )
    if single:
        names = [os.path.basename(path) for path in single]
        log.warn(
            "files-left-out",
            f"{counted(len(single), 'picture', 'pictures')} of {quoted(folder)} beside the class folders, left out: "
            + listed(names, 3),
        )


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


def _shown(name: str) -> str:
    """A name as text: bytes that are no UTF-8 are written as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
