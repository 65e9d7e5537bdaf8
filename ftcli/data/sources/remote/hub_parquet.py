"""Sets of the Hugging Face hub read by ranges: from the parquet files that the hub has converted them to, or their own.

The hub's conversion has CONFIG/SPLIT/0000.parquet, made by `datasets` itself: the splits and rows of `hf:NAME`.
"""

from collections.abc import Mapping
from typing import NamedTuple

from ftcli.data.rows import Splits
from ftcli.data.sources.remote.parquet import named_splits, open_parquet_urls
from ftcli.data.storage.storage import storage_of
from ftcli.errors import RequestError, choose
from ftcli.safe_text import listed

ROOT = "hf://datasets"
CONVERTED = "@refs%2Fconvert%2Fparquet"
PARTIAL = "partial-"  # splits of which the hub has converted only the beginning


class _File(NamedTuple):
    folders: tuple[str, ...]
    url: str


def open_streamed(name: str, config: str | None) -> Splits:
    """The splits of a set, of which only footers are read.

    Raises RequestError where it cannot be had, has several configurations and none is named, or has no parquet files.
    """
    if "/" not in name:  # which the hub forwards to its owner's, but not for single files
        raise RequestError(
            f"hf:{name}?streaming=true: a data set is streamed by the name of its owner and its own",
            f"write hf:OWNER/NAME as the address of its page has it, https://huggingface.co/datasets/{name}",
        )
    converted = _files(f"{ROOT}/{name}{CONVERTED}", name)
    whole = [file for file in converted if len(file.folders) == 2]
    chosen = _of_config(name, config, whole) if whole else []
    if chosen and not any(file.folders[1].startswith(PARTIAL) for file in chosen):
        splits: dict[str, list[str]] = {}
        for file in chosen:
            splits.setdefault(file.folders[1], []).append(file.url)
        return named_splits(splits)
    own = _files(f"{ROOT}/{name}", name)
    for folders in ((config,),) if config else ((), ("data",)):
        if urls := [file.url for file in own if file.folders == folders]:
            return open_parquet_urls(urls)
    raise RequestError(
        f"hf:{name}?streaming=true: {'only the beginning of it is' if chosen else 'nothing of it is'} there as parquet",
        f"leave streaming out, so that it is downloaded; or give the files themselves, as {ROOT}/{name}/*.parquet",
    )


def _files(repository: str, name: str) -> list[_File]:
    """The parquet files of a repository, or of one of its revisions; none where there is no such revision."""
    try:
        urls = storage_of(repository).glob(f"{repository}/**/*.parquet")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RequestError(
            f'the data set "{name}" cannot be had from the hub: {error.strerror}',
            "check the name (hf:OWNER/NAME or hf:OWNER/NAME/CONFIG), the network, and for a private set the login "
            "(hf auth login)",
        ) from error
    # A revision may come back with its slashes written in another way.
    parts = [url.removeprefix(f"{ROOT}/").replace("@refs/convert/parquet", CONVERTED).split("/") for url in urls]
    depth = repository.removeprefix(f"{ROOT}/").count("/") + 1
    return [_File(tuple(part[depth:-1]), url) for part, url in zip(parts, urls, strict=True)]


def _of_config(name: str, config: str | None, files: list[_File]) -> list[_File]:
    """The files of one configuration: the one that is named, the only one, or the one called "default"."""
    configs: Mapping[str, None] = dict.fromkeys(file.folders[0] for file in files)
    if config is None and len(configs) == 1:
        config = next(iter(configs))
    config = config or ("default" if "default" in configs else None)
    if config not in configs:
        typed = f"has no configuration {config}" if config else "has several configurations"
        fix = choose(config, configs) if config else f"name one, as hf:{name}/{next(iter(configs))}?streaming=true"
        raise RequestError(f"hf:{name} {typed}: {listed(list(configs))}", fix)
    return [file for file in files if file.folders[0] == config]
