"""Where the files of a set lie: on this machine, or behind a URL. Read whole, by ranges of bytes, or as a stream."""

from collections.abc import Sequence
from importlib import import_module
from typing import BinaryIO, Protocol

from ftcli.data.storage.url import HTTP, protocol_of, without_query
from ftcli.data.storage.url import is_url as is_url
from ftcli.errors import RequestError
from ftcli.safe_text import quoted, reason, redacted


class Storage(Protocol):
    """Files by their paths, as `storage_of` takes them. Every method raises OSError where a file cannot be read.

    Has no state that a thread or a forked process could not share.
    """

    def is_file(self, path: str) -> bool:
        """Whether there is a regular file."""

    def size(self, path: str) -> int:
        """Bytes of a file."""

    def version(self, path: str) -> str | None:
        """A text that is another one once a file has changed; None where the storage cannot tell."""

    def read(self, path: str, start: int = 0, stop: int | None = None) -> bytes:
        """Bytes start … stop - 1 of a file; up to its end where `stop` is None. Never fewer than asked for."""

    def open(self, path: str) -> BinaryIO:
        """A file to read from, which can seek."""

    def glob(self, pattern: str) -> list[str]:
        """The paths of the files that match a pattern, sorted."""

    def read_whole(self, path: str, most: int) -> bytes:
        """A file of at most `most` bytes, in one go."""


def storage_of(path: str) -> Storage:
    """The storage that a path or URL lies in."""
    name = "remote" if is_url(path) else "local"
    storage: Storage = import_module(f"ftcli.data.storage.{name}").STORAGE
    return storage


def versions_of(paths: Sequence[str]) -> list[str] | None:
    """The versions of files at paths or URLs; None where that of one cannot be told."""
    try:
        versions = [storage_of(path).version(path) for path in paths]
    except OSError:
        return None
    known = [version for version in versions if version is not None]
    return known if len(known) == len(versions) else None


def unreadable(path: str, error: OSError | ValueError) -> RequestError:
    """The error for a file at a path or URL that cannot be read; a ValueError is that of a path which no file has."""
    why = getattr(error, "strerror", None) or reason(error)
    return RequestError(f"{quoted(redacted(path))} cannot be read: {why}", "check the path")


def join(folder: str, path: str) -> str:
    """The path or URL of what lies at a relative path below a folder."""
    if protocol_of(folder) in HTTP:  # characters of a name that have a meaning in such a URL
        for character in "%?#":
            path = path.replace(character, f"%{ord(character):02X}")
    return f"{folder.rstrip('/')}/{path}"


def parent(path: str) -> str:
    """The folder that a file lies in, as a path or URL, which has no query; "." for a bare name."""
    folder, slash, _ = without_query(path).rpartition("/")
    return (folder or "/") if slash else "."
