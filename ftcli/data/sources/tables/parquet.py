"""Tables: parquet files as Arrow tables."""

from functools import partial
from pathlib import Path

import pyarrow as pa

from ftcli.data.classes.class_names import repeated
from ftcli.data.rows import SPLIT_ROLES, Features, Rows, Splits, numbered, stacked
from ftcli.data.sources.split_names import files_by_split
from ftcli.data.sources.tables.bounded_read import read_bounded
from ftcli.data.sources.tables.declared_features import features_of
from ftcli.errors import RequestError
from ftcli.safe_text import listed, quoted, reason


def open_parquet_folder(folder: Path) -> Splits | None:
    """A folder of parquet files; None where there are none. The hub keeps those of a set in a folder "data"."""
    for inside in (folder, folder / "data"):
        if files := sorted(inside.glob("*.parquet")):
            return open_parquet(files)
    return None


def open_parquet_below(folder: Path) -> Splits | None:
    """A folder whose subfolders are splits with parquet files, CONFIG/SPLIT/0000.parquet as the hub converts sets to.

    Raises:
        RequestError: the subfolders are no splits, but several sets.
    """
    subfolders = sorted(path for path in folder.glob("[!.]*") if path.is_dir())
    files_in = {subfolder.name: files for subfolder in subfolders if (files := sorted(subfolder.glob("*.parquet")))}
    if any(name.lower() in SPLIT_ROLES for name in files_in):
        return {name: partial(read_parquet_rows, files) for name, files in files_in.items()}
    sets = list(files_in) or [subfolder.name for subfolder in subfolders if any(subfolder.glob("*/*.parquet"))]
    if len(sets) > 1:
        raise RequestError(
            f'"{folder}" holds no .parquet files, but folders that do: {listed(sets)}',
            f"name one of them, as {folder / sets[0]}",
        )
    return open_parquet_folder(folder / sets[0]) or open_parquet_below(folder / sets[0]) if sets else None


def open_parquet(files: list[Path]) -> Splits:
    """One parquet file, or several: those named train…, validation…, test… are splits, otherwise all are one.

    Read with pyarrow: `datasets` would first write a copy of it all into its cache.
    """
    named = files_by_split(list(map(str, files)))
    return {split: partial(read_parquet_rows, list(map(Path, of_split))) for split, of_split in named.items()}


def read_parquet_rows(files: list[Path], folders: tuple[str | Path, ...] = ()) -> Rows:
    """Files as one table.

    folders: paths or URLs below which its paths may lead; the folder of the files where none is given.
    """
    tables = [(file.name, *read_parquet(file)) for file in files]
    return numbered(stacked(tables), tables[0][2], folders or (files[0].parent,))


def read_parquet(file: Path) -> tuple[pa.Table, Features]:
    """One file, validated, and what its columns mean."""
    table = _table(file)
    return table, features_of(table.schema, f'"{file}"')


def _table(file: Path) -> pa.Table:
    if not file.is_file():
        raise RequestError(f'"{file}" is no regular file', "leave it out of the folder")
    try:
        return checked(read_bounded(file))
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise RequestError(
            f'"{file}" cannot be read as parquet: {reason(error)}', "check that it was copied whole"
        ) from error


def checked(table: pa.Table) -> pa.Table:
    """The table. Raises ValueError where two columns have one name, where text is not text, and where an offset leads
    out of the table: pyarrow would follow it.
    """
    table.validate(full=True)
    if (name := repeated(table.column_names)) is not None:
        raise ValueError(f"two columns are called {quoted(name)}")
    return table
