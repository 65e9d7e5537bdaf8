"""Walking through folders: links are followed, and no circle of them is walked twice."""

import os
import re
from collections.abc import Iterator
from glob import escape, glob
from pathlib import Path
from typing import TypeAlias

from ftcli.errors import RequestError
from ftcli.files import read_beginning
from ftcli.safe_text import quoted

FolderId: TypeAlias = tuple[int, int]  # device and inode of a folder, whatever links lead to it

SYSTEM_FOLDERS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found")
ANY_FOLDERS = re.compile(r"(?:^|(?<=/))\*\*(?:/+|$)")  # `**` as a whole part of a path
REPORT, REPORT_BEGINS = "report.json", b'"ftcli/report/'  # of a folder that ftcli wrote


def walk(folder: str, excluded: frozenset[FolderId]) -> Iterator[tuple[str, list[str]]]:
    """Every folder from `folder` on, with the names of its files; each once, those behind links last.

    Left out: hidden files and folders, those that do not `may_hold_data`, and the folders of `excluded`.

    Raises:
        RequestError: a folder cannot be read.
    """
    entered, plain, linked = set(excluded), [folder], list[str]()
    while plain or linked:
        if not plain:
            linked.sort(reverse=True)
        path = plain.pop() if plain else linked.pop()
        if (own := _id(path)) in entered:
            continue
        entered.add(own)
        folders, files = list_folder(path)
        for subfolder in filter(may_hold_data, folders.values()):
            (linked if os.path.islink(subfolder) else plain).append(subfolder)
        yield path, files


def matching(pattern: str) -> list[str]:
    """The files and folders that a pattern of a shell matches, sorted. `**` stands for any number of folders, those
    that `walk` enters; a hidden name is matched only where the pattern has its dot.
    """
    stars = ANY_FOLDERS.search(pattern)
    if stars is None:
        return sorted(glob(pattern))
    above, below = pattern[: stars.start()], pattern[stars.end() :] or "*"
    found = set[str]()
    for root in glob(above) if above else [""]:
        for folder, _ in walk(root or ".", frozenset()) if os.path.isdir(root or ".") else ():
            beginning = escape(os.path.join(folder if root else folder[2:], ""))
            found.update(matching(beginning + below))
    return sorted(found)


def may_hold_data(folder: str) -> bool:
    """Whether a folder is none that systems and archivers leave behind, and no run of ftcli."""
    return os.path.basename(folder) not in SYSTEM_FOLDERS and not is_run(folder)


def is_run(folder: str) -> bool:
    """Whether ftcli has written a report there, beside which its figures may lie."""
    return REPORT_BEGINS in read_beginning(os.path.join(folder, REPORT), 100)


def list_folder(folder: str) -> tuple[dict[str, str], list[str]]:
    """The folders in a folder, name -> path in sorted order, and the names of all else, without what is hidden.

    Raises:
        RequestError: it cannot be read.
    """
    folders, files = {}, []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if _is_folder(entry):
                    folders[entry.name] = entry.path
                else:
                    files.append(entry.name)
    except OSError as error:
        raise _unreadable(folder, error) from error
    return dict(sorted(folders.items())), files


def ancestors(folder: str) -> frozenset[FolderId]:
    """A folder and all that hold it, up to the root."""
    real = Path(os.path.realpath(folder))
    return frozenset(_id(str(path)) for path in (real, *real.parents))


def _id(folder: str) -> FolderId:
    try:
        status = os.stat(folder)
    except OSError as error:
        raise _unreadable(folder, error) from error
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _unreadable(folder: str, error: OSError) -> RequestError:
    return RequestError(
        f"the folder {quoted(folder)} cannot be read: {error.strerror}", "check its permissions, or leave it out"
    )
