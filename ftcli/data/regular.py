"""Reading files that are what they look like: regular, and no longer than what they can hold with good reason."""

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

MOST_JSON = 2**25  # bytes; what is read of it takes many times as much memory


def read_regular(path: str | Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes.

    A pipe, a socket or a device is not even opened, since reading it could last for ever; and no more is read than the
    file says that it has.

    Raises:
        OSError: it is not there, may not be read, is no regular file, or is longer.
    """
    try:
        found = os.stat(path)
    except ValueError as error:  # a zero byte, or a sign that no name can have
        raise OSError(errno.EINVAL, "no file can have this name") from error
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    if found.st_size > most:
        raise OSError(errno.EFBIG, f"it has {found.st_size:,} bytes, and at most {most:,} are read")
    with open(path, "rb", buffering=0) as file:
        return file.read(found.st_size)


def read_json(path: Path) -> Any:
    """A JSON file. Raises OSError as `read_regular` does, and ValueError for what is no JSON."""
    return parse_json(read_regular(path, MOST_JSON))


def parse_json(content: bytes) -> Any:
    """Raises ValueError for everything that is no JSON, is too much of it, or is nested too deeply to be followed."""
    if len(content) > MOST_JSON:
        raise ValueError(f"it has {len(content):,} bytes, and at most {MOST_JSON:,} are read")
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
