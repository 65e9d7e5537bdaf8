"""Image folders: a class is the name of a subfolder; train, validation and test folders of class folders are splits."""

import os
from functools import partial
from pathlib import Path

from ftcli.data.classes.labels import in_order
from ftcli.data.decoding.decode import FORMATS
from ftcli.data.rows import Rows, Splits, as_text, file_rows
from ftcli.data.sources.image_files import contents_of, count_endings, files_in, holds_image
from ftcli.data.sources.layout import check_subfolders, has_classes, splits_in
from ftcli.data.sources.tables.tables import TEXT_ENDINGS
from ftcli.data.sources.walk import ancestors, list_folder, may_hold_data
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.safe_text import counted, listed, quoted


def open_folder(root: Path, log: Log, *, labelled: bool) -> Splits:
    """The splits of an image folder, each read when it is called; "train" alone where it is not split.

    Classes and order are those of torchvision's ImageFolder, without hidden files and folders; folders named exactly
    "0" … "K - 1" stand in numeric order, as the class numbers they are. A folder without images is no class, unless it
    is one in another split. What is left out is counted in a warning. Links are followed, but within a class into no
    folder twice, and never into one that holds the class itself.

    Raises:
        RequestError: the layout is one that could be read in two ways, or that gives no labels where they are needed.
    """
    splits = splits_in(str(root), log) or {"train": str(root)}
    if labelled and len(splits) > 1 and not any(map(has_classes, splits.values())):
        raise _no_class_folders(next(iter(splits.values())))
    if not labelled:
        return {name: partial(_read_without_labels, root, path, log) for name, path in splits.items()}
    return {
        name: partial(_read, root, path, [other for other in splits.values() if other != path], log)
        for name, path in splits.items()
    }


def single_image(path: Path) -> Rows:
    """A set of one image, without a label."""
    return file_rows([str(path)], path.parent)


def _read_without_labels(root: Path, folder: str, log: Log) -> Rows:
    """All images under the folder of a split."""
    contents = contents_of(folder)
    _warn_files(folder, contents.others, log)
    return file_rows(contents.images, root)


def _read(root: Path, folder: str, other_splits: list[str], log: Log) -> Rows:
    """One split: its images and their labels."""
    subfolders, (images, files) = list_folder(folder)[0], files_in(folder)
    above = ancestors(folder)
    contents = {name: contents_of(path, above) for name, path in subfolders.items() if may_hold_data(path)}
    # A folder that holds runs is where --out puts them, with a figure or two.
    contents = {name: inside for name, inside in contents.items() if not inside.holds_runs}
    files += [path for inside in contents.values() for path in inside.others]
    if not any(inside.images for inside in contents.values()):
        raise _no_class_folders(folder) if images or not subfolders else _no_images(folder, len(subfolders), files)
    classes = {
        name: inside
        for name, inside in contents.items()
        if inside.images or any(_has_class(split, name) for split in other_splits)
    }
    _warn_files(folder, files, log)
    if others := [name for name in subfolders if name not in classes]:
        log.warn(
            "folders-left-out",
            f"{counted(len(others), 'folder', 'folders')} of {quoted(folder)} with no images, or with runs of ftcli, "
            f"taken for no class: {listed(others)}",
        )
    if images:
        log.warn(
            "files-left-out",
            f"{counted(len(images), 'image', 'images')} of {quoted(folder)} beside the class folders, left out: "
            + listed([os.path.basename(path) for path in images], 3),
        )
    check_subfolders(folder, classes, log)
    names = in_order(list(classes))
    texts = [as_text(name) for name in names]
    if len(set(texts)) < len(names):
        raise RequestError(f"two folders in {quoted(folder)} have names that read the same", "rename one of them")
    labels = [label for label, name in enumerate(names) for _ in classes[name].images]
    return file_rows([path for name in names for path in classes[name].images], root, labels, texts)


def _has_class(split: str, name: str) -> bool:
    """Whether another split has images of a class: then it is a class where it has none, too."""
    folder = os.path.join(split, name)
    return os.path.isdir(folder) and holds_image(folder)


def _no_class_folders(folder: str) -> RequestError:
    """The error for a folder without class folders where labels are needed."""
    tables = [path for path in files_in(folder)[1] if path.lower().endswith(TEXT_ENDINGS)]
    problem = f"the folder {quoted(folder)} holds no class folders: an image folder has one subfolder per class"
    fix = "move the images of each class into a subfolder named after it"
    if tables:
        problem += f"; {quoted(os.path.basename(tables[0]))} in it, which may name images and labels, is not read"
        fix += f"; or name the table itself: {tables[0]}"
    return RequestError(problem, fix)


def _no_images(folder: str, count: int, files: list[str]) -> RequestError:
    """The error for a folder whose subfolders hold no images."""
    return RequestError(
        f"the folder {quoted(folder)} has no rows: no image in {counted(count, 'subfolder', 'subfolders')}, "
        + (f"files: {count_endings(files)}" if files else "and no other file"),
        f"name a folder of images in one of the formats {', '.join(FORMATS)}",
    )


def _warn_files(folder: str, files: list[str], log: Log) -> None:
    """Warn of files that are no images."""
    if files:
        what = "file of {} is no image" if len(files) == 1 else "files of {} are no images"
        log.warn("files-left-out", f"{len(files):,} {what.format(quoted(folder))}, left out: {count_endings(files)}")
