"""The index of shards: the table of their samples, made in one pass over the headers and kept in the cache."""

import inspect
import os
from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

import pyarrow as pa

from ftcli.arrow import text_array
from ftcli.cache import entries
from ftcli.cache.cache import Cache, key
from ftcli.cache.entries import FORM, length
from ftcli.data.sources.image_files import listed_endings
from ftcli.data.sources.shards import archive, samples, values
from ftcli.data.sources.shards.samples import Samples
from ftcli.data.storage.storage import is_url, versions_of
from ftcli.data.storage.url import without_query
from ftcli.log import Log
from ftcli.safe_text import quoted

KIND = "shards"


class Index(NamedTuple):
    """The samples of shards."""

    ids: list[str]
    table: pa.Table
    left_out: str  # how many members are not used, by their endings; empty where there are none


def index_of(shards: Sequence[str], cache: Cache | None, log: Log) -> Index:
    """The index of shards at paths or URLs; an earlier run's where none of them has changed since.

    Raises:
        RequestError: what `Samples` says of a shard.
    """
    name = _name(shards) if cache else None
    if cache and name and (file := entries.find(cache, KIND, name)):
        with file:
            return _read(pa.py_buffer(file.read(length(file))))
    what = quoted(shards[0]) + (f" and {len(shards) - 1:,} more" if len(shards) > 1 else "")
    found, names = Samples(), names_of(shards)
    for number, path in enumerate(log.track(shards, f"indexing {what}", len(shards))):
        found.add(number, path, names[number])
    index = Index(found.ids, found.table(what), listed_endings(found.left_out))
    if cache and name and name == _name(shards):  # otherwise one has changed in the meantime
        content = _written(index)
        if file := entries.add(cache, KIND, name, lambda path: path.write_bytes(content), len(content)):
            file.close()
    return index


def names_of(shards: Sequence[str]) -> list[str]:
    """What the ids of a shard's samples begin with: its path from the folder that holds all the shards."""
    parts = [without_query(path).split("/") for path in shards]
    folders = zip(*(names[:-1] for names in parts), strict=False)
    common = len(list(takewhile(lambda names: len(set(names)) == 1, folders)))
    return ["/".join(names[common:]) for names in parts]


def _name(shards: Sequence[str]) -> str | None:
    """The key of the index: shards in order, as they are now, and our own code. None where that cannot be told."""
    code = [inspect.getsource(module) for module in (archive, samples, values)]
    paths = [without_query(path) if is_url(path) else os.path.abspath(path) for path in shards]
    versions = versions_of(shards)
    return None if versions is None else key(FORM, *code, *paths, *versions)


def _written(index: Index) -> pa.Buffer:
    table = index.table.add_column(0, "", text_array(index.ids))
    table = table.replace_schema_metadata({"left out": index.left_out})
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()


def _read(content: pa.Buffer) -> Index:
    table = pa.ipc.open_stream(content).read_all()
    left_out = table.schema.metadata[b"left out"].decode()
    return Index(table.column(0).to_pylist(), table.remove_column(0).replace_schema_metadata(None), left_out)
