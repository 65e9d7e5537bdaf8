"""Pictures in folders: told by their endings, or by their content; and all that lies beside them."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from PIL import Image
from torchvision.datasets.folder import IMG_EXTENSIONS

from ftcli.data.pictures.decode import FORMATS
from ftcli.data.sources.walk import Place, is_run, listing, places_to, walk
from ftcli.files import read_beginning
from ftcli.text import quoted

MOST_LISTED = 8  # endings in a message


@dataclass(frozen=True)
class Found:
    """What lies under a folder, however deep."""

    pictures: list[str]  # paths, in the order of torchvision's ImageFolder
    others: list[str]  # paths of all other files
    inner: frozenset[str]  # names of the folder's own subfolders that hold pictures
    holds_runs: bool  # one of its own subfolders is a run of ftcli


def found_in(folder: str, holders: frozenset[Place] = frozenset()) -> Found:
    """Everything under a folder; the folders `holders` are not entered from it."""
    if not holders or os.path.islink(folder):
        holders |= places_to(os.path.dirname(os.path.realpath(folder)))
    skipped: list[str] = []
    pictures, others, inner = [], [], set()
    for place, files in sorted(walk(folder, holders, skipped)):
        paths = [os.path.join(place, name) for name in sorted(files)]
        own = [path for path in paths if is_picture(path)]
        pictures += own
        others += [path for path in paths if path not in set(own)] if len(own) < len(paths) else []
        if own and place != folder:
            inner.add(os.path.relpath(place, folder).split(os.sep)[0])
    return Found(
        pictures, others, frozenset(inner), any(os.path.dirname(one) == folder for one in filter(is_run, skipped))
    )


def holds_picture(folder: str) -> bool:
    """Whether a picture lies under a folder, however deep."""
    holders = places_to(os.path.dirname(os.path.realpath(folder)))
    return any(is_picture(os.path.join(place, name)) for place, files in walk(folder, holders, []) for name in files)


def loose(folder: str) -> tuple[list[str], list[str]]:
    """Paths of the pictures, and of all other files, that lie in a folder itself."""
    paths = sorted(os.path.join(folder, name) for name in listing(folder)[1])
    pictures = list(filter(is_picture, paths))
    return pictures, [path for path in paths if path not in set(pictures)]


def is_picture(path: str) -> bool:
    """By the ending where it is a picture's; only files with other endings, or none, are opened."""
    if path.lower().endswith(_endings()):
        return True
    beginning = read_beginning(path, 16)  # nothing of what is empty, no regular file, or not allowed
    known = (accept for _, accept in map(Image.OPEN.__getitem__, FORMATS))
    if not beginning or not any(accept is None or accept(beginning) for accept in known):
        return False
    try:
        with Image.open(path, formats=FORMATS):
            return True
    except Image.DecompressionBombError:
        return True
    except Exception:  # Pillow's plugins meet foreign bytes with errors of many kinds
        return False


@cache
def _endings() -> tuple[str, ...]:
    """The endings of the formats that are read, and those that torchvision's ImageFolder takes."""
    known = (ending for ending, format in Image.registered_extensions().items() if format in FORMATS)
    return tuple(sorted({*IMG_EXTENSIONS, *known}))


def endings_of(paths: Iterable[str]) -> str:
    """How many files have which ending, the most frequent first: ".txt 10, .csv 2"."""
    counts = Counter(os.path.splitext(path)[1].lower() or "no ending" for path in paths)
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    some = ", ".join(f"{quoted(ending)[1:-1]} {count:,}" for ending, count in ranked[:MOST_LISTED])
    return some + (", …" if len(ranked) > MOST_LISTED else "")
