"""Folders written by `Dataset.save_to_disk` or `DatasetDict.save_to_disk`, mapped into memory.

Read with pyarrow, from the folder itself only: `datasets` would open whatever file the folder's JSON names, and make
of its features whatever object they name.
"""

import struct
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from ftcli.data.rows import Rows, Splits, numbered
from ftcli.data.sources.declared_features import features_in, features_of
from ftcli.data.sources.table_files import checked
from ftcli.data.sources.unpacked_size import check_rows
from ftcli.errors import RequestError
from ftcli.files import read_json
from ftcli.text import quoted, reason

SPLITS, STATE, INFO = "dataset_dict.json", "state.json", "dataset_info.json"
HEADER_TYPE, HEADER = 1, 2  # places in the table Message of Arrow's format
RECORD_BATCH, COMPRESSION = 3, 3  # the kind of header that holds rows; a place in the table RecordBatch


def is_saved(folder: Path) -> bool:
    return (folder / SPLITS).is_file() or (folder / STATE).is_file()


def open_saved(folder: Path) -> Splits:
    """The splits of a folder, each read when it is called for; "train" alone where it is not split."""
    if not (folder / SPLITS).is_file():
        return {"train": partial(_read_saved, folder)}
    names = _object(folder / SPLITS).get("splits")
    if not isinstance(names, list) or not names or not all(_is_name(name) for name in names):
        raise RequestError(f'"{folder / SPLITS}" does not list splits', "save the set anew")
    return {name: partial(_read_saved, folder / name) for name in names}


def _read_saved(folder: Path) -> Rows:
    listed = _object(folder / STATE).get("_data_files")
    files = [one.get("filename") if isinstance(one, dict) else None for one in listed] if listed else None
    if not isinstance(files, list) or not all(_is_name(name) for name in files):
        raise RequestError(f'"{folder / STATE}" does not list files of its own folder', "save the set anew")
    try:
        table = pa.concat_tables([_table(folder / name) for name in files])
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise RequestError(f'"{folder}" is not a whole save_to_disk folder: {reason(error)}', "save it anew") from error
    described = _object(folder / INFO).get("features") if (folder / INFO).is_file() else None
    where = f'"{folder}"'
    found = features_in(described, table.schema, where) if described else features_of(table.schema, where)
    return numbered(table, found, (folder,))


def _object(file: Path) -> dict[str, Any]:
    """A JSON object from a file."""
    try:
        content = read_json(file)
    except (OSError, ValueError) as error:
        raise RequestError(f'"{file}" cannot be read: {reason(error)}', "save the set anew") from error
    if not isinstance(content, dict):
        raise RequestError(f'"{file}" holds no object', "save the set anew")
    return content


def _is_name(name: Any) -> bool:
    """Whether it is the name of something in a folder, and leads nowhere else."""
    return isinstance(name, str) and name not in ("", ".", "..") and not any(sign in name for sign in "/\\\0")


def _table(file: Path) -> pa.Table:
    """One file in Arrow's stream format.

    Raises:
        RequestError: it says to have more rows than its bytes can hold.
        ValueError: it is compressed, which `save_to_disk` does not do: what it unpacks to could not be told before.
    """
    if not file.is_file():
        raise ValueError(f"{quoted(file.name)} is no regular file")
    with pa.memory_map(str(file)) as mapped:
        for message in pa.ipc.MessageReader.open_stream(mapped):
            if _is_compressed(message.metadata.to_pybytes()):
                raise ValueError(f"{quoted(file.name)} is compressed")
    table = pa.ipc.open_stream(pa.memory_map(str(file))).read_all()
    check_rows(file, table.num_rows, 0)
    return checked(table)


def _is_compressed(metadata: bytes) -> bool:
    """Whether a message (a Flatbuffers table) is a batch of rows, or a dictionary, whose buffers are compressed."""
    try:
        message = struct.unpack_from("<I", metadata)[0]
        kind = _place_of(metadata, message, HEADER_TYPE)
        header = _place_of(metadata, message, HEADER)
        if not kind or not header or metadata[kind] not in (2, RECORD_BATCH):
            return False
        batch = header + struct.unpack_from("<I", metadata, header)[0]
        if metadata[kind] == 2:  # a dictionary: its rows are a batch of their own
            rows = _place_of(metadata, batch, 1)
            if not rows:
                return False
            batch = rows + struct.unpack_from("<I", metadata, rows)[0]
        return bool(_place_of(metadata, batch, COMPRESSION))
    except (struct.error, IndexError) as error:
        raise ValueError("a message is damaged") from error


def _place_of(metadata: bytes, table: int, field: int) -> int:
    """Where a field of a Flatbuffers table is, 0 where it is left out."""
    listing = table - struct.unpack_from("<i", metadata, table)[0]
    if listing < 0:
        raise IndexError
    length = struct.unpack_from("<H", metadata, listing)[0]
    place = 4 + 2 * field
    offset = struct.unpack_from("<H", metadata, listing + place)[0] if place + 2 <= length else 0
    return table + offset if offset else 0
