"""A file or folder, on this machine or behind a URL, whose kind is detected from its content."""

import os
from functools import partial
from pathlib import Path

from ftcli.cache.cache import Cache
from ftcli.data.rows import Splits
from ftcli.data.sources.folders import open_folder, single_image
from ftcli.data.sources.image_files import holds_image, is_image
from ftcli.data.sources.npy.open import open_array
from ftcli.data.sources.remote.location import open_url
from ftcli.data.sources.saved import is_saved, open_saved
from ftcli.data.sources.shards.open import open_shards
from ftcli.data.sources.shards.patterns import names_shards, shards_in, shards_of
from ftcli.data.sources.tables.metadata import open_metadata_folder
from ftcli.data.sources.tables.parquet import open_parquet_below, open_parquet_folder
from ftcli.data.sources.tables.tables import TABLE_ENDINGS, is_table, open_table
from ftcli.data.specs.spec import Spec
from ftcli.data.storage.storage import is_url
from ftcli.data.storage.url import without_query
from ftcli.errors import RequestError, suggest
from ftcli.log import Log


def open_splits(spec: Spec, log: Log, *, labelled: bool, cache: Cache | None = None) -> Splits:
    """The splits of a file or folder. Raises RequestError where it is not there, or is no set of images."""
    _check_root(spec)
    if is_url(spec.location):
        return open_url(spec, log, labelled=labelled, cache=cache)
    path = Path(spec.location).expanduser()  # no shell expands a ~ behind NAME=
    if names_shards(str(path)) and not path.is_dir():
        return open_shards(shards_of(str(path)), log, labelled=labelled, cache=cache)
    try:
        if path.exists():
            return _detected(path, spec, labelled, log, cache)
        near = suggest(path.name, [entry.name for entry in path.parent.iterdir()]) if path.parent.is_dir() else ""
    except (OSError, ValueError) as error:  # not allowed, too long, a zero byte
        raise RequestError(f'"{path}" cannot be read: {error}', "check the path and its permissions") from error
    raise RequestError(f'there is no file or folder "{path}"', near or "check the path")


def _check_root(spec: Spec) -> None:
    """Raises RequestError where root= stands with what is no table or list."""
    location = without_query(spec.location)
    if spec.root is not None and (not is_table(location) or os.path.isdir(os.path.expanduser(location))):
        raise RequestError(f"{spec.text} has a root, and is no table or list of paths", "leave root= out")


def _detected(path: Path, spec: Spec, labelled: bool, log: Log, cache: Cache | None) -> Splits:
    if spec.names_array:
        return open_array(str(path), spec, labelled=labelled)
    if path.is_file() and is_table(str(path)):
        return open_table(str(path), spec.root, labelled=labelled)
    if path.is_file():
        if is_image(str(path)) and not labelled:
            return {"train": partial(single_image, path)}
        raise _not_a_set(path)
    if is_saved(path):
        return open_saved(path)
    if splits := open_metadata_folder(path, spec, log, labelled=labelled):
        return splits
    if splits := open_parquet_folder(path):
        return splits
    if not holds_image(str(path)):
        if splits := open_parquet_below(path):
            return splits
        if shards := shards_in(str(path)):
            return open_shards(shards, log, labelled=labelled, cache=cache)
    return open_folder(path, log, labelled=labelled)


def _not_a_set(path: Path) -> RequestError:
    """The error for a file that is no table."""
    if is_image(str(path)):
        return RequestError(
            f'"{path}" is one image, without a label',
            "name a folder with one subfolder per class; `ftcli predict MODEL IMAGE` takes an image",
        )
    return RequestError(
        f'the file "{path}" is no table ({", ".join(TABLE_ENDINGS)}) and no list (.txt); data is one of these, a '
        "folder with one subfolder of images per class, a folder of .parquet files, a save_to_disk folder, a .npy "
        "array of images, .tar shards, or hf:NAME",
        "unpack or convert it to one of these" if path.suffix else "check the path",
    )
