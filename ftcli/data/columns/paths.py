"""The paths of images in a table: each leads to a file, and to none outside the folder of the data."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ftcli.arrow import number_array
from ftcli.data.decoding.column import ImageColumn, Images, is_text
from ftcli.data.decoding.decode import DamagedImage
from ftcli.data.rows import Rows
from ftcli.data.storage.url import URL
from ftcli.errors import RequestError
from ftcli.safe_text import quoted

# Paths that could lead elsewhere than below a folder; every other does not, whatever the folder is.
DOUBTFUL = r"^/|^[A-Za-z]:|(^|/)\.\.(/|$)|://|\x00"
TOGETHER = 2**16  # paths that are made Python's texts at a time


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
        elif _leads_out(images, path):
            what = "leads out of the folder of the data"
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


def _leads_out(images: Images, path: str) -> bool:
    try:
        images.file(path)  # type: ignore[attr-defined]
    except DamagedImage:
        return True
    return False


def missing(images: Images, index: np.ndarray) -> np.ndarray:
    """Which of the rows at `index` name no file, bool [N]; no file is opened.

    Files behind a URL are not asked for: that takes as long as to read them.
    """
    paths = paths_of(images)
    if paths is None or not isinstance(images, ImageColumn) or images.remote:
        return np.zeros(len(index), dtype=bool)
    absent, start = np.zeros(len(index), dtype=bool), 0
    for chunk in paths.chunks:
        here = np.flatnonzero((index >= start) & (index < start + len(chunk)))
        for places in np.split(here, range(TOGETHER, len(here), TOGETHER)):
            texts = chunk.take(number_array(index[places] - start)).to_pylist()
            absent[places] = [not (path and images.leads_to_file(path)) for path in texts]
        start += len(chunk)
    return absent
