"""The paths of images in a table: each leads to a file, and to none outside the folder of the data."""

import os
from collections import defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ftcli.arrow import number_array
from ftcli.data.decoding.column import ImageColumn, Images, is_text
from ftcli.data.decoding.decode import DamagedImage
from ftcli.data.rows import Rows
from ftcli.data.storage.storage import URL
from ftcli.errors import RequestError
from ftcli.safe_text import quoted

# Paths that could lead elsewhere than below a folder; every other does not, whatever the folder is.
DOUBTFUL = r"^/|^[A-Za-z]:|(^|/)\.\.(/|$)|://|\x00"
FEWEST_LISTED = 50  # files of a folder from which on it is listed, instead of asked for each


def check_inside(images: Images, rows: Rows, name: str, spec: str) -> None:
    """Raises RequestError for the first path of the column `name`, among all rows, that leads out of the data's folder.

    Where rows hold images themselves, a path beside them is only a name.
    """
    paths = paths_of(images)
    if paths is None:
        return
    for row in pc.indices_nonzero(pc.match_substring_regex(paths, DOUBTFUL)).to_pylist():
        path = paths[row].as_py()
        if URL in path:
            what, fix = "is a URL", "name files below one folder, and the folder with root=DIR"
        elif "\0" in path:
            what, fix = "has a zero byte", "mend the path"
        elif (what := _outside(images, path)) is not None:
            fix = "write paths relative to that folder, or name the folder of the images with root=DIR"
        else:
            continue
        raise RequestError(f"{rows.place(row)} of {spec} has a path in {quoted(name)} that {what}: {quoted(path)}", fix)


def paths_of(images: Images) -> pa.ChunkedArray | None:
    """The paths of a table whose images are all files, as text; None for every other."""
    if not isinstance(images, ImageColumn) or images.folders is None or images.encoded is not None:
        return None
    return images.paths if images.paths is not None and is_text(images.paths.type) else None


def path_of(images: Images, row: int) -> str:
    """The path of a row, where the images are files; empty where it has none."""
    paths = paths_of(images)
    return "" if paths is None else paths[row].as_py() or ""


def _outside(images: Images, path: str) -> str | None:
    """Why a path may not be followed."""
    try:
        images.file(path)  # type: ignore[attr-defined]
    except DamagedImage:
        return "leads out of the folder of the data"
    return None


def missing(images: Images, index: np.ndarray) -> np.ndarray:
    """Which of the rows at `index` name no file, bool [N], by what the folders hold: no file is opened.

    Files behind a URL are not asked for: that takes as long as to read them.
    """
    paths = paths_of(images)
    absent = np.zeros(len(index), dtype=bool)
    if paths is None or type(images) is not ImageColumn:
        return absent
    folders: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for place, path in enumerate(paths.take(number_array(index)).to_pylist()):
        folder, _, name = images.file(path).rpartition("/") if path else ("", "", "")
        folders[folder].append((place, name))
    for folder, files in folders.items():
        known = _names_in(folder) if len(files) >= FEWEST_LISTED else frozenset()
        for place, name in files:
            # A file system may know a file by more names than it lists: those of another case, say.
            absent[place] = name not in known and not (name and os.path.isfile(f"{folder}/{name}"))
    return absent


def _names_in(folder: str) -> frozenset[str]:
    """The names of the files in a folder; none where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file())
    except OSError:
        return frozenset()
