"""Tables: parquet files, and sets of the Hugging Face hub, as Arrow tables."""

import re
from functools import partial
from pathlib import Path

import datasets
import huggingface_hub.constants
import pyarrow as pa

from ftcli.data.described import features_of
from ftcli.data.names import twice
from ftcli.data.rows import SPLIT_ROLES, Rows, Splits, numbered, stacked
from ftcli.data.unpacked import read_bounded
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.text import quoted, reason

HUB_NAME = re.compile(r"\w[\w.-]{0,95}(/\w[\w.-]{0,95})?")
# Where `datasets` and the hub's library keep what they have downloaded and unpacked.
CACHES = (
    *(datasets.config.HF_CACHE_HOME, datasets.config.HF_DATASETS_CACHE, datasets.config.DOWNLOADED_DATASETS_PATH),
    huggingface_hub.constants.HF_HUB_CACHE,
)


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
