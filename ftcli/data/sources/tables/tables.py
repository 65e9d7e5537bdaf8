"""Tables and lists by their endings: .csv, .tsv, .jsonl, .ndjson, .parquet and .txt."""

from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa

from ftcli.data.rows import Features, Rows, Splits, numbered
from ftcli.data.sources.tables.delimited import DELIMITERS, read_delimited
from ftcli.data.sources.tables.json_lines import ENDINGS, read_json_lines
from ftcli.data.sources.tables.lists import ENDING, read_list
from ftcli.data.sources.tables.parquet import read_parquet, read_parquet_rows
from ftcli.data.storage.storage import is_url, parent
from ftcli.errors import RequestError
from ftcli.safe_text import quoted

TEXT_ENDINGS = (*DELIMITERS, *ENDINGS)
TABLE_ENDINGS = (*TEXT_ENDINGS, ".parquet")


def ending(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def is_table(path: str) -> bool:
    """Whether a file or URL is a table or a list, by its ending."""
    return ending(path) in (*TABLE_ENDINGS, ENDING)


def open_table(path: str, root: str | None, *, labelled: bool) -> Splits:
    """The only split of a table or list.

    Args:
        path: a path or a URL.
        root: the folder, or URL, of the files that it names; None: its own.

    Raises:
        RequestError: `root` is no folder.
    """
    base = base_of(path, root)
    if ending(path) == ".parquet":
        return {"train": partial(read_parquet_rows, [Path(path)], (base,))}
    return {"train": partial(_read, path, base, labelled=labelled)}


def read_table(path: str) -> tuple[pa.Table, Features, np.ndarray | None]:
    """A table, what its columns mean where it says so, and the line of each row where it is text."""
    if ending(path) == ".parquet":
        return *read_parquet(Path(path)), None
    table, lines = (read_delimited if ending(path) in DELIMITERS else read_json_lines)(path)
    return table, {}, lines


def _read(path: str, base: str, *, labelled: bool) -> Rows:
    if ending(path) == ENDING:
        rows = read_list(path, labelled=labelled)
    else:
        table, features, lines = read_table(path)
        rows = numbered(table, features, lines=lines)
    return replace(rows, folders=(base,))


def base_of(path: str, root: str | None) -> str:
    """The folder or URL that the paths in a table lead to."""
    if root is None:
        return parent(path)
    if is_url(root):
        return root
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise RequestError(f"root={root}: there is no folder {quoted(str(folder))}", "name the folder of the images")
    return str(folder)
