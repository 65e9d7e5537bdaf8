"""A folder behind a web server on this machine, which sends ranges and can misbehave in many ways."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


class Served:
    """A folder at `url`.

    Attributes:
        ranges: whether the server sends ranges; otherwise whole files. cut: answers that end in the middle of a body.
        busy: answers that say 503. slow: seconds that each answer waits. forbidden: whether 403 is all that it says.
        version: of the files, as ETag; "" sends none. asked: (path, range) of every question. sent: bytes of bodies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ranges, self.forbidden, self.cut, self.busy, self.slow, self.version = True, False, 0, 0, 0.0, '"1"'
        self.asked: list[tuple[str, str]] = []
        self.sent, self.port = 0, 0
        self.lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._open: set[Any] = set()
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        served = self

        class Handler(_Handler):
            of = served

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Go away: connections break, and no new one is taken."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            for connection in list(self._open):
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def stop_for(self, seconds: float) -> None:
        self.stop()
        timer = threading.Timer(seconds, self.start)
        timer.daemon = True
        timer.start()

    def take(self, name: str) -> bool:
        """One of the misbehaviours that are left, if there is one."""
        with self.lock:
            left = getattr(self, name)
            setattr(self, name, max(0, left - 1))
            return bool(left)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    of: Served

    def setup(self) -> None:
        super().setup()
        self.of._open.add(self.connection)

    def finish(self) -> None:
        self.of._open.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        path, asked = unquote(urlsplit(self.path).path), self.headers.get("Range", "")
        with self.of.lock:
            self.of.asked.append((self.path, asked))
        time.sleep(self.of.slow)
        file = self.of.folder / path.lstrip("/")
        if self.of.forbidden or self.of.take("busy") or not file.is_file():
            self._say(403 if self.of.forbidden else 503 if file.is_file() else 404)
            return
        size = file.stat().st_size
        start, stop = 0, size
        if asked and self.of.ranges:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, stop = int(first), min(size, int(last) + 1)
            if start >= size:
                self._say(416, {"Content-Range": f"bytes */{size}"})
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        else:
            self.send_response(200)
        if self.of.version:
            self.send_header("ETag", self.of.version)
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        with file.open("rb") as opened:
            opened.seek(start)
            body = opened.read(stop - start)
        if self.of.take("cut"):
            body = body[: len(body) // 2]
            self.close_connection = True
        with self.of.lock:
            self.of.sent += len(body)
        try:
            self.wfile.write(body)
        except OSError:  # whoever asked has gone
            self.close_connection = True

    def _say(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """Inside, the folder is served."""
    served = Served(folder)
    try:
        yield served
    finally:
        served.stop()
