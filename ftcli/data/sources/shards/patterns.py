"""Which shards a location names: one file, name-{000..041}.tar, {a,b}.tar, a glob as dir/*.tar."""

import glob
import re
from itertools import product
from math import prod

from ftcli.data.storage.storage import join, storage_of
from ftcli.errors import RequestError
from ftcli.limits import MAX_SHARDS
from ftcli.safe_text import counted, listed, quoted

ENDING = ".tar"
COMPRESSED = {  # ends of names of compressed archives, and what unpacks them
    ".tar.gz": "gunzip --keep",
    ".tgz": "gunzip --keep",
    ".tar.bz2": "bunzip2 --keep",
    ".tar.xz": "unxz --keep",
    ".tar.zst": "unzstd",
}
BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"(\d{1,12})\.\.(\d{1,12})")
WILDCARDS = re.compile(r"[*\[]")


def names_shards(location: str) -> bool:
    """Whether a path or URL, by its end, is that of shards, compressed ones among them."""
    return location.lower().endswith((ENDING, *COMPRESSED))


def shards_of(location: str) -> list[str]:
    """The paths of the shards that a path or URL names: in the order of its braces, and where a glob matches, sorted.

    Raises:
        RequestError: one is not there or is named twice, none matches, a brace cannot be read, or they are compressed.
    """
    for ending, command in COMPRESSED.items():
        if location.lower().endswith(ending):
            raise RequestError(
                f"{quoted(location)} is compressed: of such an archive, no image can be read without all before it",
                f"unpack it once, by `{command} FILE`, and name the {ENDING} file",
            )
    storage = storage_of(location)
    if storage.is_file(location):
        return [location]
    paths = _expanded(location)
    found = {path: storage.glob(path) if WILDCARDS.search(path) else [path] * storage.is_file(path) for path in paths}
    if missing := [path for path, shards in found.items() if not shards]:
        raise RequestError(
            f"there is no file {listed(missing)}",
            "check the path" + f"; {len(paths) - len(missing):,} of {len(paths):,} are there" * (len(paths) > 1),
        )
    shards = [shard for path in paths for shard in found[path]]
    _check_count(len(shards), location)
    if len(set(shards)) < len(shards):
        raise RequestError(f"{quoted(location)} names a shard twice", "name each once")
    return shards


def shards_in(folder: str) -> list[str]:
    """The shards in a folder, sorted."""
    return storage_of(folder).glob(join(glob.escape(folder), f"*{ENDING}"))


def _expanded(location: str) -> list[str]:
    """A path with each of its braces replaced by each of its values; those of the last brace vary fastest."""
    parts = BRACES.split(location)  # text and content of braces in turn
    choices = [_values(content, location) for content in parts[1::2]]
    _check_count(prod(map(len, choices)), location)
    paths = []
    for chosen in product(*choices):
        parts[1::2] = chosen
        paths.append("".join(parts))
    return paths


def _values(content: str, location: str) -> list[str]:
    """The values of a brace: of a range, with the zeros that its ends begin with, or of a list."""
    if match := RANGE.fullmatch(content):
        first, last = match.groups()
        _check_count(int(last) - int(first) + 1, location)
        width = max(len(first), len(last)) if "0" in (first[0], last[0]) else 0
        return [f"{number:0{width}}" for number in range(int(first), int(last) + 1)]
    if "," not in content:
        raise RequestError(
            f"{{{content}}} in {quoted(location)} is neither a range nor a list",
            "write it as {000..041} or {a,b}",
        )
    return content.split(",")


def _check_count(number: int, location: str) -> None:
    """Raises RequestError where a path names no shard, or too many."""
    if not 0 < number <= MAX_SHARDS:
        raise RequestError(
            f"{quoted(location)} names {counted(max(number, 0), 'shard', 'shards')}; 1 to {MAX_SHARDS:,} are read",
            "write a range from the smaller to the larger number, as {000..041}",
        )
