"""Data behind a URL, whose kind is detected from its ending; a folder's from the files in it."""

from functools import partial

from ftcli.cache.cache import Cache
from ftcli.data.rows import SPLIT_ROLES, Splits
from ftcli.data.sources.npy.open import open_array
from ftcli.data.sources.remote.listed_folder import is_image_name, open_listed_folder, single_image_url
from ftcli.data.sources.remote.parquet import named_splits, open_parquet_urls, unreadable
from ftcli.data.sources.shards.open import open_shards
from ftcli.data.sources.shards.patterns import ENDING, names_shards, shards_of
from ftcli.data.sources.tables.metadata import NAMES as METADATA_NAMES
from ftcli.data.sources.tables.tables import is_table, open_table
from ftcli.data.specs.spec import Spec
from ftcli.data.storage.storage import storage_of
from ftcli.data.storage.url import PROTOCOLS, protocol_of, without_query
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.safe_text import quoted, redacted

PARQUET = (".parquet",)


def open_url(spec: Spec, log: Log, *, labelled: bool, cache: Cache | None) -> Splits:
    """The splits of what lies behind a URL. Raises RequestError where nothing is there, or no set of images."""
    url, path = spec.location, without_query(spec.location)
    if names_shards(path):
        return open_shards(_shards_of(url), log, labelled=labelled, cache=cache)
    if spec.names_array:
        return open_array(url, spec, labelled=labelled)
    if "*" in path:
        return _of_pattern(url, spec.root)
    if path.lower().endswith(PARQUET):
        return open_parquet_urls([url], spec.root)
    if is_table(path):
        return open_table(url, spec.root, labelled=labelled)
    if is_image_name(path) and not labelled:
        return {"train": partial(single_image_url, url)}
    if not PROTOCOLS[protocol_of(url)].lists:
        raise RequestError(
            f'"{redacted(url)}" is no table, and a web server does not say which files a folder has',
            "give the URL of a table, whose images may be paths that lie beside it, or of .tar shards",
        )
    return _of_folder(url.rstrip("/"), log, labelled=labelled, cache=cache)


def _shards_of(url: str) -> list[str]:
    try:
        return shards_of(url)
    except OSError as error:
        raise unreadable(url, error) from error


def _of_pattern(pattern: str, root: str | None) -> Splits:
    try:
        urls = storage_of(pattern).glob(pattern)
    except OSError as error:
        raise RequestError(f'"{redacted(pattern)}" cannot be listed: {error.strerror}', "check the URL") from error
    if not urls or not all(url.lower().endswith(PARQUET) for url in urls):
        what = f"finds {quoted(redacted(urls[0]))}, which is no table" if urls else "finds no file"
        raise RequestError(f'"{redacted(pattern)}" {what}', "give a pattern of .parquet files")
    return open_parquet_urls(urls, root)


def _of_folder(folder: str, log: Log, *, labelled: bool, cache: Cache | None) -> Splits:
    """A folder of parquet files, themselves or in folders of splits, of shards, or of images."""
    try:
        urls = storage_of(folder).glob(f"{folder}/**")
    except OSError as error:
        raise RequestError(f'"{redacted(folder)}" cannot be listed: {error.strerror}', "check the URL") from error
    paths = {url.removeprefix(f"{folder}/"): url for url in urls}
    paths = {path: url for path, url in paths.items() if not any(part.startswith(".") for part in path.split("/"))}
    if not paths:
        raise RequestError(f'"{redacted(folder)}" holds no files', "check the URL")
    tables = {path: url for path, url in paths.items() if path.lower().endswith(PARQUET)}
    for inside in ("", "data/"):
        if of_folder := [url for path, url in tables.items() if path.rpartition("/")[0] == inside.rstrip("/")]:
            return open_parquet_urls(of_folder)
    splits: dict[str, list[str]] = {}
    for path, url in tables.items():
        if path.count("/") == 1 and path.partition("/")[0].lower() in SPLIT_ROLES:
            splits.setdefault(path.partition("/")[0], []).append(url)
    if splits:
        return named_splits(splits)
    if shards := [url for path, url in paths.items() if "/" not in path and path.lower().endswith(ENDING)]:
        return open_shards(shards, log, labelled=labelled, cache=cache)
    if described := [url for path, url in paths.items() if path.rpartition("/")[2] in METADATA_NAMES]:
        raise RequestError(
            f"{quoted(redacted(folder))} has a table of its images, which is read by its own URL",
            f"type it: {redacted(described[0])}",
        )
    return open_listed_folder(folder, paths, log, labelled=labelled)
