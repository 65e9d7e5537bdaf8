"""URLs of data: which are read."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from ftcli.errors import RequestError, suggest
from ftcli.safe_text import redacted, shortened

URL = "://"  # what a URL has and a path on this machine has not


@dataclass(frozen=True)
class Protocol:
    """What reads the files of a protocol: a package with a file system of fsspec; "" for what is always there."""

    package: str = ""
    lists: bool = True  # whether it can say which files a folder holds


PROTOCOLS = {
    "http": Protocol(lists=False),
    "https": Protocol(lists=False),
    **dict.fromkeys(("s3", "s3a"), Protocol("s3fs")),
    **dict.fromkeys(("gs", "gcs"), Protocol("gcsfs")),
    **dict.fromkeys(("az", "abfs", "abfss"), Protocol("adlfs")),
    "hf": Protocol("huggingface_hub"),
    "memory": Protocol(),  # of this process; for tests
}
HTTP = ("http", "https")
SHOWN = "https://, s3://, gs://, az:// and hf://"


def is_url(path: str) -> bool:
    return URL in path


def protocol_of(url: str) -> str:
    """In small letters; "" for a path on this machine."""
    protocol, mark, _ = url.partition(URL)
    return protocol.lower() if mark else ""


def without_query(url: str) -> str:
    """A URL without its query, which may be a signature that is another one each day."""
    return url.partition("?")[0] if protocol_of(url) in HTTP else url


def check_url(url: str) -> None:
    """Raises RequestError for a URL of a protocol that is not read, one in another, and one with a password."""
    protocol, _, rest = url.partition(URL)
    shown = shortened(redacted(url))
    if "::" in url or URL in rest.partition("?")[0]:
        raise RequestError(
            f'"{shown}" is a URL inside another: nothing is unpacked on the way',
            f"give the URL of a table, a .tar shard or a folder, with one of {SHOWN}",
        )
    if protocol.lower() in ("file", "local"):
        raise RequestError(f'"{shown}" names files of this machine by a URL', f"type the path: {rest or '/'}")
    if protocol.lower() not in PROTOCOLS:
        near = suggest(protocol.lower(), PROTOCOLS)
        raise RequestError(f'"{shown}": the protocol {protocol}:// is not read', near or f"use one of {SHOWN}")
    if protocol.lower() in HTTP and not _host(url):
        raise RequestError(f'"{shown}" names no host', "write https://HOST/PATH")
    if "@" in re.split(r"[/?#]", rest, maxsplit=1)[0] and protocol.lower() not in ("abfs", "abfss", "hf"):
        raise RequestError(
            f'"{shown}" was typed with a user name or password, which would be kept in reports and histories',
            "leave it out; object stores take theirs from the environment or their own files, and a signed URL is "
            "typed with %3F for its ?",
        )


def _host(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        return parts.hostname if parts.port is None or parts.port else None
    except ValueError:  # a port that is no number
        return None
