"""Walking through folders: links are followed, and no circle of them is walked twice."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from ftcli.errors import RequestError
from ftcli.text import quoted

Place: TypeAlias = tuple[int, int]  # device and number of a folder, whatever links lead to it


def walk(folder: str, without: frozenset[Place]) -> Iterator[tuple[str, list[str]]]:
    """Every folder from `folder` on, with the names of its files; each once, those behind links last.

    Hidden files and folders are left out, as are the folders of `without`.

    Raises:
        RequestError: a folder cannot be read.
    """
    entered, plain, linked = set(without), [folder], list[str]()
    while plain or linked:
        if not plain:
            linked.sort(reverse=True)
        path = plain.pop() if plain else linked.pop()
        if (place := _place(path)) in entered:
            continue
        entered.add(place)
        folders, files = listing(path)
        for below in folders.values():
            (linked if os.path.islink(below) else plain).append(below)
        yield path, files


def listing(folder: str) -> tuple[dict[str, str], list[str]]:
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


def places_to(folder: str) -> frozenset[Place]:
    """A folder and all that hold it, up to the root."""
    real = Path(os.path.realpath(folder))
    return frozenset(_place(str(one)) for one in (real, *real.parents))


def _place(folder: str) -> Place:
    try:
        found = os.stat(folder)
    except OSError as error:
        raise _unreadable(folder, error) from error
    return found.st_dev, found.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _unreadable(folder: str, error: OSError) -> RequestError:
    return RequestError(
        f"the folder {quoted(folder)} cannot be read: {error.strerror}", "check its permissions, or leave it out"
    )
