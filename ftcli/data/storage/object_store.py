"""Files of object stores, of the hub and of every other file system of fsspec."""

import os
from importlib import import_module
from threading import Lock
from typing import Any

from ftcli.data.storage.retries import Unavailable
from ftcli.data.storage.url import PROTOCOLS, protocol_of
from ftcli.errors import RequestError
from ftcli.safe_text import reason, redacted, without_secrets

LOGIN = ("credential", "token", "forbidden", "unauthorized", "accessdenied", "gated")  # in names of packages' errors
OFFLINE = ("offline",)
MISSING = ("notfound", "nosuch")
VERSIONS = ("ETag", "etag", "generation", "md5Hash", "content_md5", "blob_id", "mtime", "LastModified", "last_modified")


class ObjectStore:
    """Files by their URLs. Each process has file systems of its own: those that work with asyncio cannot be forked."""

    def __init__(self) -> None:
        self._systems: dict[tuple[int, str], Any] = {}
        self._locks: dict[int, Lock] = {}

    def size(self, url: str) -> tuple[int, str]:
        """Bytes of a file, and what changes when the file does; "" where nothing says. Raises as `part` does."""
        system, info = self._system(url), {}
        try:
            info = system.info(system._strip_protocol(url))
        except Exception as error:
            raise _fault(error, url) from error
        if info["type"] != "file":
            raise IsADirectoryError(21, "it is a folder", redacted(url))
        version = next((f"{name.replace('ETag', 'etag')} {info[name]}" for name in VERSIONS if info.get(name)), "")
        return int(info["size"]), version

    def part(self, url: str, start: int, stop: int) -> bytes:
        """Bytes start … stop - 1.

        Raises:
            Unavailable: no answer, or one that is cut short. OSError: there is no such file, or it may not be read.
            RequestError: the package that reads the protocol is not installed.
        """
        system = self._system(url)
        try:
            content: bytes = system.cat_file(system._strip_protocol(url), start=start, end=stop)
        except Exception as error:
            raise _fault(error, url) from error
        if len(content) > stop - start:
            raise OSError(0, "its file system does not read ranges of bytes", redacted(url))
        if len(content) < stop - start:
            raise Unavailable(f"{len(content):,} of {stop - start:,} bytes came")
        return content

    def glob(self, pattern: str) -> list[str]:
        """The URLs of the files that match a pattern, sorted. Raises as `part` does."""
        system = self._system(pattern)
        try:
            found = system.glob(system._strip_protocol(pattern), detail=True)
        except Exception as error:
            raise _fault(error, pattern) from error
        protocol = protocol_of(pattern)
        return sorted(f"{protocol}://{path.lstrip('/')}" for path, info in found.items() if info["type"] == "file")

    def _system(self, url: str) -> Any:
        """The file system of this process for a protocol. Raises RequestError where its package is missing."""
        process, protocol = os.getpid(), protocol_of(url)
        with self._locks.setdefault(process, Lock()):  # a lock that was held while a process forked stays held in it
            if (process, protocol) not in self._systems:
                self._systems[process, protocol] = _opened(protocol, url)
            return self._systems[process, protocol]


def _opened(protocol: str, url: str) -> Any:
    """A new file system."""
    package = PROTOCOLS[protocol].package
    try:
        if package:
            import_module(package)
        import fsspec

        return fsspec.filesystem(protocol, skip_instance_cache=True)
    except ImportError as error:
        raise RequestError(
            f'"{redacted(url)}" is read by the package {package or "fsspec"}, which is not installed',
            f"pip install {package or 'fsspec'}",
        ) from error
    except Exception as error:  # packages look for credentials, regions, servers when they begin
        raise OSError(
            0, f"its file system cannot be opened: {without_secrets(reason(error))}", redacted(url)
        ) from error


def _fault(error: Exception, url: str) -> Exception:
    """An error of a file system as one of this module's: packages have many of their own."""
    name, text = type(error).__name__.lower(), without_secrets(reason(error))
    if isinstance(error, FileNotFoundError) or any(word in name for word in MISSING):
        return FileNotFoundError(2, "there is no such file", redacted(url))
    if any(word in name for word in OFFLINE):
        return OSError(0, f"HF_HUB_OFFLINE is set, and it is not here: {text}", redacted(url))
    if isinstance(error, PermissionError) or any(word in name for word in LOGIN):
        return PermissionError(13, f"it may not be read: {text}", redacted(url))
    if isinstance(error, IsADirectoryError | NotADirectoryError | ValueError | NotImplementedError):
        return OSError(0, text, redacted(url))
    return Unavailable(text)
