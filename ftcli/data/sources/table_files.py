"""Tables: parquet files, and sets of the Hugging Face hub, as Arrow tables."""

import re
import shlex
from functools import partial
from pathlib import Path

import datasets
import huggingface_hub.constants
import pyarrow as pa

from ftcli.data.classes.class_names import twice
from ftcli.data.rows import SPLIT_ROLES, Rows, Splits, numbered, stacked
from ftcli.data.sources.declared_features import features_of
from ftcli.data.sources.unpacked_size import read_bounded
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.text import listed, quoted, reason

# Tables of text: the module of pyarrow that reads one, and how.
READERS = {
    ".csv": ("csv", "read_csv({})"),
    ".tsv": ("csv", r"read_csv({}, parse_options=r.ParseOptions(delimiter=chr(9)))"),
    ".jsonl": ("json", "read_json({})"),
    ".ndjson": ("json", "read_json({})"),
}
HUB_NAME = re.compile(r"\w[\w.-]{0,95}(/\w[\w.-]{0,95})?")
# Where `datasets` and the hub's library keep what they have downloaded and unpacked.
CACHES = (
    *(datasets.config.HF_CACHE_HOME, datasets.config.HF_DATASETS_CACHE, datasets.config.DOWNLOADED_DATASETS_PATH),
    huggingface_hub.constants.HF_HUB_CACHE,
)


def open_parquet_folder(folder: Path) -> Splits | None:
    """A folder of parquet files; None where there are none. The hub keeps those of a set in a folder "data"."""
    for place in (folder, folder / "data"):
        if files := sorted(place.glob("*.parquet")):
            return open_parquet(files)
    return None


def open_parquet_below(folder: Path) -> Splits | None:
    """A folder whose subfolders are splits with parquet files, CONFIG/SPLIT/0000.parquet as the hub converts sets to.

    Raises:
        RequestError: the subfolders are no splits, but several sets.
    """
    subfolders = sorted(one for one in folder.glob("[!.]*") if one.is_dir())
    below = {one.name: files for one in subfolders if (files := sorted(one.glob("*.parquet")))}
    if any(name.lower() in SPLIT_ROLES for name in below):
        return {name: partial(_read_parquet, files) for name, files in below.items()}
    sets = list(below) or [one.name for one in subfolders if any(one.glob("*/*.parquet"))]
    if len(sets) > 1:
        raise RequestError(
            f'"{folder}" holds no .parquet files, but folders that do: {listed(sets)}',
            f"name one of them, as {folder / sets[0]}",
        )
    return open_parquet_folder(folder / sets[0]) or open_parquet_below(folder / sets[0]) if sets else None


def can_become_parquet(path: str | Path) -> bool:
    return Path(path).suffix.lower() in READERS


def as_parquet(path: str | Path) -> str:
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
    named: dict[str, list[Path]] = {}
    for file in files:
        name = re.match(r"([a-z]+)(?=[-_.])", file.name.lower())
        split = name.group(1) if name and name.group(1) in SPLIT_ROLES else ""
        named.setdefault(split, []).append(file)
    if len(files) == 1 or list(named) == [""]:
        return {"train": partial(_read_parquet, files)}
    if "" in named:
        raise RequestError(
            f'some files in "{files[0].parent}" are named after a split and others are not: '
            + ", ".join(file.name for file in named[""][:5]),
            "name the one file that is meant",
        )
    return {split: partial(_read_parquet, part) for split, part in named.items()}


def _read_parquet(files: list[Path]) -> Rows:
    tables = []
    for file in files:
        table = _table(file)
        tables.append((file.name, table, features_of(table.schema, f'"{file}"')))
    return numbered(stacked(tables), tables[0][2], (files[0].parent,))


def _table(file: Path) -> pa.Table:
    """One file, whole, with everything in it where it says that it is."""
    if not file.is_file():
        raise RequestError(f'"{file}" is no regular file', "leave it out of the folder")
    try:
        return checked(read_bounded(file))
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise RequestError(
            f'"{file}" cannot be read as parquet: {reason(error)}', "check that it was copied whole"
        ) from error


def checked(table: pa.Table) -> pa.Table:
    """The table, if its offsets lie within it, its text is text, and no two columns have one name.

    Raises:
        ValueError: they do not; pyarrow would read beyond the end of what it holds.
    """
    table.validate(full=True)
    if (name := twice(table.column_names)) is not None:
        raise ValueError(f"two columns are called {quoted(name)}")
    return table


def open_hub(location: str, log: Log) -> Splits:
    """A set of the hub: NAME, OWNER/NAME or OWNER/NAME/CONFIG. Code that comes with a set is never run.

    Raises:
        RequestError: it cannot be had; the message names it and what to check.
    """
    parts = location.split("/")
    name, config = "/".join(parts[:2]), "/".join(parts[2:]) or None
    if not HUB_NAME.fullmatch(name) or Path(name).exists():  # `datasets` would read whatever folder has the name
        what = "is a file or folder here" if Path(name).exists() else "is no name of the hub"
        raise RequestError(
            f"hf:{location}: {quoted(name)} {what}", "give a set of this machine by its path, without hf:"
        )
    log.note(f"loading {location} from the hub or its cache")
    # Bars of another library would mix with ftcli's own, and fill a log file with carriage returns.
    datasets.disable_progress_bars()
    try:
        found = datasets.load_dataset(name, config)
    except Exception as error:  # hub, network, builder and script errors have no common type
        raise RequestError(
            f'the data set "{location}" cannot be had from the hub: {reason(error)}',
            "check the name (hf:OWNER/NAME or hf:OWNER/NAME/CONFIG), the network, and for a private set the login "
            "(hf auth login); a set that was saved with save_to_disk is given by its path",
        ) from error
    return {str(split): partial(_rows_of, part) for split, part in found.items()}


def _rows_of(dataset: datasets.Dataset) -> Rows:
    """The Arrow table under a Dataset: the stored pictures, not decoded."""
    return numbered(dataset.with_format("arrow")[:], dataset.features, tuple(map(Path, CACHES)))
