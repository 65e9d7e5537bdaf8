"""Data behind a URL, whose kind is detected from its ending; a folder's from the files in it."""

from functools import partial

from ftcli.data.rows import SPLIT_ROLES, Splits
from ftcli.data.sources.remote.listed_folder import is_image_name, open_listed_folder, single_image_url
from ftcli.data.sources.remote.parquet import named_splits, open_parquet_urls
from ftcli.data.storage.storage import storage_of
from ftcli.data.storage.url import PROTOCOLS, protocol_of
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.safe_text import quoted, redacted

TABLES = (".parquet",)


def open_url(url: str, log: Log, *, labelled: bool) -> Splits:
    """The splits of what lies behind a URL. Raises RequestError where nothing is there, or no set of images."""
    path = url.partition("?")[0] if protocol_of(url) in ("http", "https") else url
    if "*" in path:
        return _of_pattern(url)
    if path.lower().endswith(TABLES):
        return open_parquet_urls([url])
    if is_image_name(path) and not labelled:
        return {"train": partial(single_image_url, url)}
    if not PROTOCOLS[protocol_of(url)].lists:
        raise RequestError(
            f'"{redacted(url)}" is no table, and a web server does not say which files a folder has',
            "give the URL of a table (.parquet), whose images may be paths that lie beside it",
        )
    return _of_folder(url.rstrip("/"), log, labelled=labelled)


def _of_pattern(pattern: str) -> Splits:
    try:
        urls = storage_of(pattern).glob(pattern)
    except OSError as error:
        raise RequestError(f'"{redacted(pattern)}" cannot be listed: {error.strerror}', "check the URL") from error
    if not urls or not all(url.lower().endswith(TABLES) for url in urls):
        what = f"finds {quoted(redacted(urls[0]))}, which is no table" if urls else "finds no file"
        raise RequestError(f'"{redacted(pattern)}" {what}', "give a pattern of .parquet files")
    return open_parquet_urls(urls)


def _of_folder(folder: str, log: Log, *, labelled: bool) -> Splits:
    """A folder of parquet files, themselves or in folders of splits, or of images."""
    try:
        urls = storage_of(folder).glob(f"{folder}/**")
    except OSError as error:
        raise RequestError(f'"{redacted(folder)}" cannot be listed: {error.strerror}', "check the URL") from error
    paths = {url.removeprefix(f"{folder}/"): url for url in urls}
    paths = {path: url for path, url in paths.items() if not any(part.startswith(".") for part in path.split("/"))}
    if not paths:
        raise RequestError(f'"{redacted(folder)}" holds no files', "check the URL")
    tables = {path: url for path, url in paths.items() if path.lower().endswith(TABLES)}
    for inside in ("", "data/"):
        if of_folder := [url for path, url in tables.items() if path.rpartition("/")[0] == inside.rstrip("/")]:
            return open_parquet_urls(of_folder)
    splits: dict[str, list[str]] = {}
    for path, url in tables.items():
        if path.count("/") == 1 and path.partition("/")[0].lower() in SPLIT_ROLES:
            splits.setdefault(path.partition("/")[0], []).append(url)
    return named_splits(splits) if splits else open_listed_folder(folder, paths, log, labelled=labelled)
