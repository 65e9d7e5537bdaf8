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
from ftcli.data.sources.tables.bounded_read import check_rows
from ftcli.data.sources.tables.declared_features import features_in, features_of
from ftcli.data.sources.tables.parquet import checked
from ftcli.errors import RequestError
from ftcli.files import read_json
from ftcli.safe_text import quoted, reason

SPLITS, STATE, INFO = "dataset_dict.json", "state.json", "dataset_info.json"
HEADER, DATA, COMPRESSION = 2, 1, 3  # fields of Arrow's Flatbuffers tables Message, DictionaryBatch and RecordBatch


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
    entries = _object(folder / STATE).get("_data_files")
    entries = entries if isinstance(entries, list) else []
    files: list[Any] = [entry.get("filename") if isinstance(entry, dict) else None for entry in entries]
    if not files or not all(_is_name(name) for name in files):
        raise RequestError(f'"{folder / STATE}" does not list files of its own folder', "save the set anew")
    try:
        table = pa.concat_tables([_table(folder / name) for name in files])
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise RequestError(f'"{folder}" is not a whole save_to_disk folder: {reason(error)}', "save it anew") from error
    described = _object(folder / INFO).get("features") if (folder / INFO).is_file() else None
    where = f'"{folder}"'
    features = features_in(described, table.schema, where) if described else features_of(table.schema, where)
    return numbered(table, features, (folder,))


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
    return isinstance(name, str) and name not in ("", ".", "..") and not any(character in name for character in "/\\\0")


def _table(file: Path) -> pa.Table:
    """One file in Arrow's stream format.

    Raises:
        RequestError: it says to have more rows than its bytes can hold.
        ValueError: it is compressed, which `save_to_disk` does not do: pyarrow unpacks a batch whole, whatever its
            size, and does not tell the size before.
    """
    if not file.is_file():
        raise ValueError(f"{quoted(file.name)} is no regular file")
    with pa.memory_map(str(file)) as mapped:
        for message in pa.ipc.MessageReader.open_stream(mapped):
            if _is_compressed(message.type, message.metadata.to_pybytes()):
                raise ValueError(f"{quoted(file.name)} is compressed")
    table = pa.ipc.open_stream(pa.memory_map(str(file))).read_all()
    check_rows(file, table.num_rows, 0)
    return checked(table)


def _is_compressed(kind: str, metadata: bytes) -> bool:
    """Whether a message of an Arrow stream is a batch of rows, or a dictionary, whose buffers are compressed.

    The metadata of a message is a Flatbuffers table Message; its header is a RecordBatch, or a DictionaryBatch, whose
    data is a RecordBatch; and a RecordBatch that is compressed has a field that says how.
    """
    if kind not in ("record batch", "dictionary"):
        return False
    try:
        batch = _follow(metadata, _field(metadata, _follow(metadata, 0), HEADER))
        if kind == "dictionary":
            batch = _follow(metadata, _field(metadata, batch, DATA))
        return bool(_field(metadata, batch, COMPRESSION))
    except (struct.error, IndexError) as error:
        raise ValueError("a message is damaged") from error


def _follow(metadata: bytes, position: int) -> int:
    """The position of the table that an offset at `position` leads to."""
    return position + struct.unpack_from("<I", metadata, position)[0]


def _field(metadata: bytes, table: int, field: int) -> int:
    """The position of a field of a table, 0 where it is left out."""
    vtable = table - struct.unpack_from("<i", metadata, table)[0]
    if vtable < 0:
        raise IndexError
    size = struct.unpack_from("<H", metadata, vtable)[0]
    entry = 4 + 2 * field
    offset = struct.unpack_from("<H", metadata, vtable + entry)[0] if entry + 2 <= size else 0
    return table + offset if offset else 0
