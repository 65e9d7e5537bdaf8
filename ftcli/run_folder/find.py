"""The run folders below a folder: finished where there is a report, unfinished where there is only a saved state."""

import heapq
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ftcli.errors import RequestError
from ftcli.limits import MAX_SEARCHED_FOLDERS
from ftcli.run_folder.names import REPORT, REQUEST, STATE
from ftcli.safe_text import reason

Kind = Literal["finished", "unfinished", "unreadable"]


@dataclass(frozen=True)
class Found:
    """A run folder, or a folder that cannot be read, and why. A finished run's report has not been read yet."""

    folder: Path
    kind: Kind
    problem: str = ""


def find_runs(root: Path) -> list[Found]:
    """The runs in a folder and below it, sorted by path.

    Folders whose name begins with a dot are not searched. Links are followed after all folders, and no folder is
    searched twice, so a link changes no run's name and a circle of links ends.

    Raises RequestError where `root` is no folder that can be read, or more than MAX_SEARCHED_FOLDERS lie below it.
    """
    found: list[Found] = []
    seen: set[tuple[int, int]] = set()
    folders, links = [root], list[Path]()
    while folders or links:
        folder = folders.pop() if folders else heapq.heappop(links)
        try:
            status = folder.stat()
            if (place := (status.st_dev, status.st_ino)) in seen:
                continue
            seen.add(place)
            if len(seen) > MAX_SEARCHED_FOLDERS:
                raise RequestError(
                    f"more than {MAX_SEARCHED_FOLDERS:,} folders lie below {str(root)!r}.",
                    "name one nearer to the runs",
                )
            kind, inner, linked = contents(folder)
        except (OSError, ValueError) as error:  # a ValueError: a name with a zero byte
            problem = getattr(error, "strerror", None) or reason(error)
            if folder is root:
                raise RequestError(f"the folder {str(root)!r} cannot be read: {problem}.", "name a folder") from None
            found.append(Found(folder, "unreadable", problem))
            continue
        found += [Found(folder, kind)] if kind else []
        folders += inner
        for link in linked:
            heapq.heappush(links, link)
    return sorted(found, key=lambda run: run.folder)


def contents(folder: Path) -> tuple[Kind | None, list[Path], list[Path]]:
    """What a folder is, the folders in it, and the links to folders in it. Raises OSError."""
    finished = unfinished = False
    inner: list[Path] = []
    linked: list[Path] = []
    for entry in entries_of(folder):
        if entry.name == REPORT:
            finished = True
        elif entry.name == STATE and os.path.isfile(os.path.join(entry.path, REQUEST)):
            unfinished = True
        elif entry.name.startswith("."):
            continue
        elif entry.is_symlink():
            linked += [folder / entry.name] if os.path.isdir(entry.path) else []
        elif entry.is_dir(follow_symlinks=False):
            inner.append(folder / entry.name)
    return "finished" if finished else "unfinished" if unfinished else None, inner, linked


def entries_of(folder: Path) -> Iterator["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        yield from entries
