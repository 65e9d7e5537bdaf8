"""Files of web servers, by ranges of bytes.

fsspec's own file system is not used: it takes a whole file for a range where a server does not know ranges.
"""

import base64
import http.client
import os
import re
import ssl
import threading
import urllib.request
from typing import NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit

from ftcli import __version__
from ftcli.data.storage.retries import Unavailable
from ftcli.data.storage.url import HTTP
from ftcli.safe_text import redacted

TIMEOUT = 15.0  # seconds without a byte
MOST_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
BUSY = (408, 425, 429, 500, 502, 503, 504)  # states of a server that pass
RANGE = re.compile(r"bytes (?:(?P<start>\d+)-(?P<last>\d+)|\*)/(?P<size>\d+)")
SAFE = "/%:=&?#+,;@!$'()*~[]"  # characters of a URL that are sent as they are


class Part(NamedTuple):
    """Bytes of a file, the bytes that the whole has, and what changes when the file does; "" where nothing says."""

    content: bytes
    size: int
    version: str


class HttpFiles:
    """Files by their URLs. Each thread of each process has connections of its own, which stay open."""

    def __init__(self) -> None:
        self._local = threading.local()

    def part(self, url: str, start: int, stop: int) -> Part:
        """Bytes start … stop - 1, fewer where the file ends before; none of an empty file.

        Raises:
            Unavailable: no answer, or one that is cut short. OSError: there is no such file, it may not be read, or the
                server sends it whole.
        """
        response, connection = self._answer(url, f"bytes={start}-{stop - 1}")
        found = RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if response.status == 416 and found is not None:  # it ends before `start`
            self._drop(connection)
            return Part(b"", int(found["size"]), _version(response))
        if response.status != 206 or found is None or found["start"] is None:
            self._drop(connection)  # unread: what it sends may be the whole file
            raise OSError(
                0, "its server does not send ranges of bytes, which data behind a URL is read by", redacted(url)
            )
        expected = min(stop, int(found["size"])) - start
        if int(found["start"]) != start or int(found["last"]) - start + 1 != expected:
            self._drop(connection)
            raise OSError(0, "its server sends another range than the one that it was asked for", redacted(url))
        content = self._body(response, connection, expected)
        if len(content) < expected:
            raise Unavailable(f"{len(content):,} of {expected:,} bytes came")
        return Part(content, int(found["size"]), _version(response))

    def whole(self, url: str, most: int) -> bytes:
        """A file of at most `most` bytes. Raises as `part` does."""
        response, connection = self._answer(url, None)
        length = response.length
        if length is not None and length > most:
            self._drop(connection)
            raise OSError(0, f"it has {length:,} bytes, and at most {most:,} are read", redacted(url))
        content = self._body(response, connection, most + 1 if length is None else length)
        if len(content) > most:
            self._drop(connection)
            raise OSError(0, f"it has more than {most:,} bytes, which are the most that are read", redacted(url))
        return content

    def _answer(self, url: str, range: str | None) -> tuple[http.client.HTTPResponse, http.client.HTTPConnection]:
        """The server's answer behind all redirects, its body not read yet: 200, 206 or 416."""
        headers = {"User-Agent": f"ftcli/{__version__}", "Accept-Encoding": "identity"}
        headers |= {"Range": range} if range else {}
        target = quote(url, safe=SAFE)
        for _ in [None] * (MOST_REDIRECTS + 1):
            response, connection = self._request(target, headers)
            if response.status not in REDIRECTS:
                break
            self._drop(connection)
            before, target = target, urljoin(target, response.headers.get("Location", ""))
            if urlsplit(target).scheme not in HTTP or (before.startswith("https:") > target.startswith("https:")):
                raise OSError(0, "its server names a place that is not read from, or not safely", redacted(url))
        status = response.status
        if status in BUSY:
            self._drop(connection)
            raise Unavailable(f"the server says {status} {response.reason}")
        if status not in (200, 206, 416):
            self._drop(connection)
            if status in (404, 410):
                raise FileNotFoundError(2, "there is no such file", redacted(url))
            kind = PermissionError if status in (401, 403, 407) else OSError
            raise kind(0, f"the server says {status} {response.reason}", redacted(url))
        if response.headers.get("Content-Encoding", "identity") != "identity":
            self._drop(connection)
            raise OSError(0, "its server sends it compressed, though it was asked not to", redacted(url))
        return response, connection

    def _request(
        self, url: str, headers: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, http.client.HTTPConnection]:
        """One question and its answer, over a connection that is open already where there is one."""
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        for fresh in (False, True):
            connection, path_at, used = self._connection(parts.scheme, parts.netloc, path, fresh)
            try:
                connection.request("GET", path_at, headers=headers | _proxy_login(parts.scheme))
                return connection.getresponse(), connection
            except ssl.SSLCertVerificationError as error:
                raise OSError(0, f"its server is not who it says: {error.verify_message}", redacted(url)) from error
            except (OSError, http.client.HTTPException) as error:
                self._drop(connection)
                if fresh or not used:  # an old connection may have been closed long since
                    raise Unavailable(str(error) or type(error).__name__) from error
        raise AssertionError("unreachable")

    def _connection(
        self, scheme: str, place: str, path: str, fresh: bool
    ) -> tuple[http.client.HTTPConnection, str, bool]:
        """A connection to a server or its proxy, what to ask it for, and whether it has been used before."""
        if getattr(self._local, "process", None) != os.getpid():  # a fork must not read from its parent's connections
            self._local.process, self._local.connections = os.getpid(), {}
        connections: dict[tuple[str, str], http.client.HTTPConnection] = self._local.connections
        proxy = _proxy(scheme, place)
        asked = f"http://{place}{path}" if proxy and scheme == "http" else path
        if (scheme, place) in connections and not fresh:
            return connections[scheme, place], asked, True
        kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
        connection = kind(proxy or place, timeout=TIMEOUT)
        if proxy and scheme == "https":
            connection.set_tunnel(place, headers=_login_of(scheme))
        connections[scheme, place] = connection
        return connection, asked, False

    def _body(self, response: http.client.HTTPResponse, connection: http.client.HTTPConnection, size: int) -> bytes:
        """`size` bytes of a body; fewer only where its length is unknown. Raises Unavailable where it is cut short."""
        try:
            content = response.read(size)
        except (OSError, http.client.HTTPException) as error:
            self._drop(connection)
            raise Unavailable(str(error) or type(error).__name__) from error
        if response.length:  # bytes that were announced and did not come, or were not asked for
            self._drop(connection)
        if len(content) < size and response.length:
            raise Unavailable(f"{len(content):,} of {size:,} bytes came")
        return content

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        """Close a connection; the next question opens another."""
        connection.close()
        connections = getattr(self._local, "connections", {})
        for place in [place for place, other in connections.items() if other is connection]:
            del connections[place]


def _version(response: http.client.HTTPResponse) -> str:
    """What the server says of the state of a file, and which header says it; "" where none does."""
    return next(
        (f"{name} {response.headers[name]}" for name in ("ETag", "Last-Modified") if response.headers[name]), ""
    )


def _proxy(scheme: str, place: str) -> str | None:
    """HOST:PORT of the proxy that the environment names for a server."""
    proxy = urllib.request.getproxies().get(scheme)
    if not proxy or urllib.request.proxy_bypass(place):
        return None
    return urlsplit(proxy if "//" in proxy else f"//{proxy}").netloc.rpartition("@")[2]


def _login_of(scheme: str) -> dict[str, str]:
    """The header that a proxy with a password in the environment is to have."""
    proxy = urllib.request.getproxies().get(scheme) or ""
    login = urlsplit(proxy if "//" in proxy else f"//{proxy}").netloc.rpartition("@")[0]
    encoded = base64.b64encode(unquote(login).encode()).decode()
    return {"Proxy-Authorization": f"Basic {encoded}"} if login else {}


def _proxy_login(scheme: str) -> dict[str, str]:
    return _login_of(scheme) if scheme == "http" else {}
