"""Image files in folders, recognised by their endings or by their content, and all other files."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from PIL import Image
from torchvision.datasets.folder import IMG_EXTENSIONS

from ftcli.data.decoding.decode import FORMATS
from ftcli.data.sources.walk import FolderId, ancestors, is_run, list_folder, walk
from ftcli.files import read_beginning
from ftcli.safe_text import quoted

MOST_LISTED = 8  # endings in a message


@dataclass(frozen=True)
class Contents:
    """What lies under a folder, however deep."""

    images: list[str]  # paths, in the order of torchvision's ImageFolder
    others: list[str]  # paths of all other files
    subfolders: frozenset[str]  # names of the folder's own subfolders that hold images
    holds_runs: bool  # one of its own subfolders is a run of ftcli


def contents_of(folder: str, excluded: frozenset[FolderId] = frozenset()) -> Contents:
    """Everything under a folder; no link leads from it to `excluded`, or to a folder that holds it."""
    images, others, subfolders = [], [], set()
    for path, files in sorted(walk(folder, excluded | _above(folder))):
        own_images, own_others = _sorted_by_kind(path, files)
        images += own_images
        others += own_others
        if own_images and path != folder:
            subfolders.add(os.path.relpath(path, folder).split(os.sep)[0])
    return Contents(images, others, frozenset(subfolders), any(map(is_run, list_folder(folder)[0].values())))


def holds_image(folder: str) -> bool:
    """Whether an image lies under a folder, however deep."""
    return any(is_image(os.path.join(path, name)) for path, files in walk(folder, _above(folder)) for name in files)


def files_in(folder: str) -> tuple[list[str], list[str]]:
    """Paths of the images, and of all other files, that lie in a folder itself."""
    return _sorted_by_kind(folder, list_folder(folder)[1])


def _sorted_by_kind(folder: str, files: list[str]) -> tuple[list[str], list[str]]:
    paths = [os.path.join(folder, name) for name in sorted(files)]
    images = list(filter(is_image, paths))
    return images, sorted({*paths}.difference(images)) if len(images) < len(paths) else []


def _above(folder: str) -> frozenset[FolderId]:
    return ancestors(os.path.dirname(os.path.realpath(folder)))


def is_image(path: str) -> bool:
    """By the ending where it is an image's; only files with other endings, or none, are opened."""
    if path.lower().endswith(image_endings()):
        return True
    beginning = read_beginning(path, 16)  # nothing of what is empty, no regular file, or not allowed
    accepts = (accept for _, accept in map(Image.OPEN.__getitem__, FORMATS))
    if not beginning or not any(accept is None or accept(beginning) for accept in accepts):
        return False
    try:
        with Image.open(path, formats=FORMATS):
            return True
    except Image.DecompressionBombError:
        return True
    except Exception:  # Pillow's plugins meet foreign bytes with errors of many kinds
        return False


@cache
def image_endings() -> tuple[str, ...]:
    """The endings of the formats that are read, and those that torchvision's ImageFolder takes."""
    of_formats = (ending for ending, format in Image.registered_extensions().items() if format in FORMATS)
    return tuple(sorted({*IMG_EXTENSIONS, *of_formats}))


def count_endings(paths: Iterable[str]) -> str:
    """How many files have which ending, the most frequent first: ".txt 10, .csv 2"."""
    return listed_endings(Counter(os.path.splitext(path)[1].lower() for path in paths))


def listed_endings(counts: Mapping[str, int]) -> str:
    """Endings with the number of files of each, the most frequent first; "" counts those without one."""
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0] or "no ending"))
    some = ", ".join(f"{quoted(ending or 'no ending')[1:-1]} {count:,}" for ending, count in ranked[:MOST_LISTED])
    return some + (", …" if len(ranked) > MOST_LISTED else "")
