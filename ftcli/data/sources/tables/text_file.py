"""Text files that hold tables: UTF-8, read as a stream of bytes or line by line, within limits."""

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

from ftcli.data.storage.storage import storage_of, unreadable
from ftcli.errors import RequestError
from ftcli.limits import MAX_LINE_BYTES
from ftcli.safe_text import quoted

UTF8_MARK, UTF16_MARKS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
DAMAGED = "check that it was copied whole"


class TextFile(io.RawIOBase):
    """The bytes of a text file without its byte-order mark.

    Raises:
        RequestError: it cannot be read, it is UTF-16, or a byte is zero, which no text has.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._ends, self._last = 0, b""  # line ends so far, and the last byte
        try:
            self._file: BinaryIO = storage_of(path).open(path)
        except OSError as error:
            raise unreadable(path, error) from error

    @property
    def lines(self) -> int:
        """Lines read so far; the last may have no line end."""
        return self._ends + (self._last not in (b"", b"\n"))

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        content = self._bytes(len(buffer))
        if not self._last:
            if content.startswith(UTF16_MARKS):
                raise not_text(self.path, "is text in UTF-16")
            if content.startswith(UTF8_MARK):
                content = content[len(UTF8_MARK) :] or self._bytes(len(buffer))
        if (zero := content.find(0)) >= 0:
            line = self._ends + content.count(b"\n", 0, zero) + 1
            raise not_text(self.path, f"has a zero byte in line {line:,}, which no text has")
        self._ends += content.count(b"\n")
        self._last = content[-1:] or self._last
        buffer[: len(content)] = content
        return len(content)

    def _bytes(self, most: int) -> bytes:
        try:
            return self._file.read(most)
        except OSError as error:
            raise unreadable(self.path, error) from error


def text_lines(path: str) -> Iterator[tuple[int, str]]:
    """Every line of a text file, with its number from 1 on and its line end.

    Raises:
        RequestError: also where a line is no UTF-8, or longer than any may be.
    """
    with TextFile(path) as raw, io.BufferedReader(raw, 2**20) as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise RequestError(
                    f"line {number:,} of {quoted(path)} is longer than {MAX_LINE_BYTES:,} bytes",
                    "a table of text names images by their paths; leave long columns out",
                )
            try:
                yield number, line.decode()
            except UnicodeDecodeError as error:
                at = f"has the byte {line[error.start]:#04x} in line {number:,}, which is no UTF-8"
                raise not_text(path, at) from error


def not_text(path: str, what: str) -> RequestError:
    """The error for a file that is no UTF-8, as `what` says."""
    return RequestError(
        f"{quoted(path)} {what}",
        "write it anew as UTF-8: iconv -f ENCODING -t UTF-8, where ENCODING is the file's own, as UTF-16 or LATIN1; a "
        "spreadsheet is exported as CSV UTF-8",
    )
