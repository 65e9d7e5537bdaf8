"""Tables: parquet files as Arrow tables."""

import shlex
from functools import partial
from pathlib import Path

import pyarrow as pa

from ftcli.data.classes.class_names import repeated
from ftcli.data.rows import SPLIT_ROLES, Rows, Splits, numbered, stacked
from ftcli.data.sources.bounded_read import read_bounded
from ftcli.data.sources.declared_features import features_of
from ftcli.data.sources.split_names import files_by_split
from ftcli.errors import RequestError
from ftcli.safe_text import listed, quoted, reason

# Tables of text: the module of pyarrow that reads one, and how.
READERS = {
    ".csv": ("csv", "read_csv({})"),
    ".tsv": ("csv", r"read_csv({}, parse_options=r.ParseOptions(delimiter=chr(9)))"),
    ".jsonl": ("json", "read_json({})"),
    ".ndjson": ("json", "read_json({})"),
}


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
        return {name: partial(_read_parquet, files) for name, files in files_in.items()}
    sets = list(files_in) or [subfolder.name for subfolder in subfolders if any(subfolder.glob("*/*.parquet"))]
    if len(sets) > 1:
        raise RequestError(
            f'"{folder}" holds no .parquet files, but folders that do: {listed(sets)}',
            f"name one of them, as {folder / sets[0]}",
        )
    return open_parquet_folder(folder / sets[0]) or open_parquet_below(folder / sets[0]) if sets else None


def can_become_parquet(path: str | Path) -> bool:
    return Path(path).suffix.lower() in READERS


def parquet_command(path: str | Path) -> str:
    """The command that writes a table of text as parquet, beside it, so that paths in it stay true."""
    table, target = str(path), str(Path(path).with_suffix(".parquet"))
    module, call = READERS[Path(path).suffix.lower()]
    code = (
        f"import pyarrow.{module} as r, pyarrow.parquet as w; w.write_table(r.{call.format(repr(table))}, {target!r})"
    )
    return f"python -c {shlex.quote(code)}, then name {target} (a column of paths is named with image=COLUMN)"


def open_parquet(files: list[Path]) -> Splits:
    """One parquet file, or several: those named train…, validation…, test… are splits, otherwise all are one.

    Read with pyarrow: `datasets` would first write a copy of it all into its cache.
    """
    named = files_by_split(list(map(str, files)))
    return {split: partial(_read_parquet, list(map(Path, of_split))) for split, of_split in named.items()}


def _read_parquet(files: list[Path]) -> Rows:
    tables = []
    for file in files:
        table = _table(file)
        tables.append((file.name, table, features_of(table.schema, f'"{file}"')))
    return numbered(stacked(tables), tables[0][2], (files[0].parent,))


def _table(file: Path) -> pa.Table:
    """One file, validated."""
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
