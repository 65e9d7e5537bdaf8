"""Image folders behind a URL, by a list of their files: a class is a subfolder, as in a folder on this machine.

Images are known by their endings alone: to look into each file would be to fetch it.
"""

from collections.abc import Mapping
from functools import partial

from ftcli.data.classes.labels import in_order
from ftcli.data.rows import SPLIT_ROLES, Rows, Splits, file_rows
from ftcli.data.sources.image_files import count_endings, image_endings
from ftcli.data.storage.storage import parent
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.safe_text import counted, listed, quoted, redacted


def is_image_name(path: str) -> bool:
    return path.lower().endswith(image_endings())


def single_image_url(url: str) -> Rows:
    """A set of one image, without a label."""
    return file_rows([url], parent(url))


def open_listed_folder(folder: str, paths: Mapping[str, str], log: Log, *, labelled: bool) -> Splits:
    """The splits of an image folder, "train" alone where it is not split.

    Args:
        paths: URL of each file by its path below the folder.

    Raises:
        RequestError: it has no images, or no class folders where labels are needed.
    """
    images = {path: url for path, url in paths.items() if path.lower().endswith(image_endings())}
    if others := sorted(set(paths) - set(images)):
        what = "file of {} is no image" if len(others) == 1 else "files of {} are no images"
        log.warn(
            "files-left-out",
            f"{len(others):,} {what.format(quoted(redacted(folder)))}, left out: {count_endings(others)}",
        )
    if not images:
        raise RequestError(
            f'"{redacted(folder)}" holds no images and no tables, but {counted(len(paths), "file", "files")}: '
            + count_endings(paths),
            "give the URL of a table or of a folder of images",
        )
    splits = _splits(folder, images)
    return {name: partial(_rows, folder, prefix, images, labelled) for name, prefix in splits.items()}


def _splits(folder: str, images: Mapping[str, str]) -> dict[str, str]:
    """The beginnings of the paths of each split; "" of a set that has none."""
    names = {path.partition("/")[0] for path in images if "/" in path}
    splits = sorted(name for name in names if name.lower() in SPLIT_ROLES)
    if not splits:
        return {"train": ""}
    if others := sorted(names - set(splits)):
        raise RequestError(
            f'"{redacted(folder)}" has folders with names of splits, {listed(splits)}, beside others, {listed(others)}',
            f"name the folder that is meant, as {redacted(folder)}/{splits[0]}",
        )
    return {name: f"{name}/" for name in splits}


def _rows(folder: str, prefix: str, images: Mapping[str, str], labelled: bool) -> Rows:
    """One split: its images in the order of torchvision's ImageFolder, and their labels."""
    inside = {path.removeprefix(prefix): url for path, url in images.items() if path.startswith(prefix)}
    if not labelled:
        return file_rows([inside[path] for path in sorted(inside, key=_by_folder)], folder)
    names = sorted({path.partition("/")[0] for path in inside if "/" in path})
    if not names:
        raise RequestError(
            f'"{redacted(folder)}/{prefix}" holds no class folders: an image folder has one subfolder per class',
            "move the images of each class into a subfolder named after it, or give the URL of a table",
        )
    names = in_order(names)
    of_classes = [sorted((path for path in inside if path.startswith(f"{name}/")), key=_by_folder) for name in names]
    labels = [label for label, paths in enumerate(of_classes) for _ in paths]
    return file_rows([inside[path] for paths in of_classes for path in paths], folder, labels, names)


def _by_folder(path: str) -> tuple[str, str]:
    """Folder after folder, and the files of each."""
    folder, _, name = path.rpartition("/")
    return folder, name
