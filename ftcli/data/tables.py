"""Tables: parquet files, folders written by `save_to_disk`, and sets of the Hugging Face hub, as Arrow tables."""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from ftcli.data.rows import SPLIT_ROLES, Rows, Splits, numbered, stacked
from ftcli.errors import RequestError
from ftcli.log import Log


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
        try:
            table = pq.read_table(file, partitioning=None)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
            raise RequestError(
                f'"{file}" cannot be read as parquet: {error}', "check that it was copied whole"
            ) from error
        tables.append((file.name, table, _features(table.schema)))
    return numbered(stacked(tables), tables[0][2], files[0].parent)


def _features(schema: pa.Schema) -> dict[str, Any]:
    """The class and image columns in the metadata that `datasets` leaves in a parquet file.

    Read here and not by `datasets.Features`, which gives up on the whole where one other column is of a type unknown
    to it, and loses the class names where a label is not int64.
    """
    try:
        described = json.loads(schema.metadata[b"huggingface"])["info"]["features"].items()
        known = {name: feature for name, feature in described if isinstance(feature, dict) and name in schema.names}
    except (TypeError, KeyError, ValueError, AttributeError):
        return {}  # no such metadata
    images = {name: datasets.Image() for name, feature in known.items() if feature.get("_type") == "Image"}
    named = {name: feature for name, feature in known.items() if feature.get("_type") == "ClassLabel"}
    labels = {
        name: datasets.ClassLabel(names=feature["names"]) for name, feature in named.items() if "names" in feature
    }
    return images | labels


def open_saved(folder: Path) -> Splits:
    """A folder written by `Dataset.save_to_disk` or `DatasetDict.save_to_disk`, mapped into memory."""
    if not (folder / "dataset_dict.json").is_file():
        return {"train": partial(_read_saved, folder)}
    try:
        names = json.loads((folder / "dataset_dict.json").read_text(encoding="utf-8"))["splits"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(f'"{folder / "dataset_dict.json"}" does not list splits', "save the set anew") from error
    return {name: partial(_read_saved, folder / name) for name in names}


def _read_saved(folder: Path) -> Rows:
    try:
        return _rows_of(datasets.load_from_disk(str(folder)), folder)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise RequestError(f'"{folder}" is not a whole save_to_disk folder: {error}', "save it anew") from error


def open_hub(location: str, log: Log) -> Splits:
    """A set of the hub: NAME, OWNER/NAME or OWNER/NAME/CONFIG. Code that comes with a set is never run.

    Raises:
        RequestError: it cannot be had; the message names it and what to check.
    """
    parts = location.split("/")
    name, config = "/".join(parts[:2]), "/".join(parts[2:]) or None
    log.note(f"loading {location} from the hub or its cache")
    # Bars of another library would mix with ftcli's own, and fill a log file with carriage returns.
    datasets.disable_progress_bars()
    try:
        found = datasets.load_dataset(name, config)
    except Exception as error:  # hub, network, builder and script errors have no common type
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise RequestError(
            f'the data set "{location}" cannot be had from the hub: {reason}',
            "check the name (hf:OWNER/NAME or hf:OWNER/NAME/CONFIG), the network, and for a private set the login "
            "(hf auth login); a set that was saved with save_to_disk is given by its path",
        ) from error
    return {str(split): partial(_rows_of, part, None) for split, part in found.items()}


def _rows_of(dataset: datasets.Dataset, base: Path | None) -> Rows:
    """The Arrow table under a Dataset: the stored pictures, not decoded."""
    return numbered(dataset.with_format("arrow")[:], dataset.features, base)
