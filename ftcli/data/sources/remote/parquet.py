"""Parquet files behind URLs: everything but the images is read when the set is opened."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa

from ftcli.data.decoding.column import ImageColumn, Images, can_hold_images, is_text
from ftcli.data.rows import Rows, Splits, numbered, stacked
from ftcli.data.sources.remote.row_groups import ADDRESS, RemoteParquet, RowGroupImages
from ftcli.data.sources.split_names import files_by_split
from ftcli.data.sources.tables.declared_features import features_of
from ftcli.data.sources.tables.parquet import checked
from ftcli.data.sources.tables.tables import base_of
from ftcli.data.storage.retries import SourceGone
from ftcli.data.threads import REMOTE_THREADS, map_in_order
from ftcli.errors import RequestError
from ftcli.limits import MAX_ROW_GROUP_BYTES, ROW_BYTES, UNPACKED_BYTES, UNPACKED_RATIO, VALUE_BYTES
from ftcli.safe_text import quoted, reason, redacted


def open_parquet_urls(urls: Sequence[str], root: str | None = None) -> Splits:
    """The splits of parquet files, named by the files as `files_by_split` says. root: where the paths in them lead."""
    return named_splits(files_by_split(urls), root)


def named_splits(urls: dict[str, list[str]], root: str | None = None) -> Splits:
    """The splits of parquet files by the names of the splits."""
    source = _Files([url for of_split in urls.values() for url in of_split], root)
    return {split: partial(source.rows, of_split) for split, of_split in urls.items()}


class _Files:
    """All parquet files of a source. Their numbers are in the addresses of the images, so that rows of several splits
    can be joined.
    """

    def __init__(self, urls: list[str], root: str | None) -> None:
        self.urls, self.root = urls, root
        self.files: dict[str, RemoteParquet] = {}
        self.columns: list[str] = []  # of images, by number

    def rows(self, urls: list[str]) -> Rows:
        """The rows of some of the files, without their images. Raises RequestError where they cannot be read."""
        for url, file in zip(
            urls, map_in_order(opened, urls, threads=REMOTE_THREADS, ahead=2 * REMOTE_THREADS), strict=True
        ):
            self.files[url] = file
        tables = []
        for url in urls:
            schema = self.files[url].schema
            name = redacted(url).rpartition("/")[2]
            tables.append((name, self._table(url), features_of(schema, quoted(redacted(url)))))
        folder = base_of(urls[0], self.root)
        return replace(numbered(stacked(tables), tables[0][2], (folder,)), open_images=partial(self.images, folder))

    def images(self, folder: str, column: pa.ChunkedArray) -> Images:
        """A column of images: of addresses, or of paths that lie beside the file."""
        if column.type != ADDRESS:
            return ImageColumn(column, (folder,))
        files = {number: self.files[url] for number, url in enumerate(self.urls) if url in self.files}
        return RowGroupImages(column, files, self.columns)

    def _table(self, url: str) -> pa.Table:
        """A file's columns, with addresses in the place of images."""
        file = self.files[url]
        heavy = [field.name for field in file.schema if _is_heavy(field.type)]
        self.columns += [name for name in heavy if name not in self.columns]
        light = [name for name in file.schema.names if name not in heavy]
        groups = range(file.metadata.num_row_groups)
        try:
            read = partial(file.read, columns=light)
            tables = list(map_in_order(read, groups if light else (), threads=REMOTE_THREADS, ahead=REMOTE_THREADS))
            table = checked(pa.concat_tables(tables)) if tables else pa.table({})
        except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
            raise unreadable(url, error) from error
        lengths = [file.metadata.row_group(group).num_rows for group in groups]
        parts = [np.full(sum(lengths), self.urls.index(url)), np.repeat(groups, lengths)]
        parts.append(np.concatenate([np.arange(length) for length in lengths] or [np.arange(0)]))
        columns = {
            name: _addresses([*parts, np.full(sum(lengths), self.columns.index(name))])
            if name in heavy
            else table.column(name)
            for name in file.schema.names
        }
        return pa.table(columns)


def opened(url: str) -> RemoteParquet:
    """A file, its footer read. Raises RequestError where that cannot be read, or says that too much is in it."""
    try:
        file = RemoteParquet(url)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise unreadable(url, error) from error
    metadata = file.metadata
    names = file.schema.names
    groups = [file.group_bytes(group, names) for group in range(metadata.num_row_groups)]
    rows, limit = metadata.num_rows, UNPACKED_BYTES + UNPACKED_RATIO * file.size
    if min([0, rows, *groups]) < 0 or sum(groups) + (ROW_BYTES + VALUE_BYTES * len(names)) * rows > limit:
        raise RequestError(
            f'"{redacted(url)}" has {file.size:,} bytes and says that it unpacks to {rows:,} rows of {sum(groups):,} '
            f"bytes; at most {limit:,} bytes are believed",
            "get it from somebody you trust",
        )
    if (largest := max(groups, default=0)) > MAX_ROW_GROUP_BYTES:
        raise RequestError(
            f'"{redacted(url)}" has a row group of {largest:,} bytes, and images behind a URL are read one row group '
            f"at a time, of at most {MAX_ROW_GROUP_BYTES:,}",
            "write it anew by pyarrow.parquet.write_table(table, FILE, row_group_size=1000)",
        )
    if len(set(names)) < len(names):
        raise RequestError(f'"{redacted(url)}" has two columns of one name', "rename one of them")
    return file


def _is_heavy(type: pa.DataType) -> bool:
    """Whether a column may hold images themselves, and is left where it is."""
    return can_hold_images(type) and not is_text(type)


def _addresses(parts: list[np.ndarray]) -> pa.StructArray:
    return pa.StructArray.from_arrays([pa.array(part.astype(np.int32)) for part in parts], fields=list(ADDRESS))


def unreadable(url: str, error: Exception) -> RequestError:
    """The error for a file that cannot be read."""
    gone = isinstance(error, SourceGone)
    why = error.strerror if isinstance(error, OSError) and error.strerror else reason(error)
    return RequestError(
        f'"{redacted(url)}" cannot be read{"" if isinstance(error, OSError) else " as parquet"}: {why}',
        "check the network and the server" if gone else "check the URL, and that the file was uploaded whole",
    )
