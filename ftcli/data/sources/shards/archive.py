"""A tar archive: the names, places and sizes of its members, by the headers alone. No member is ever extracted.

Read by our own code and not by `tarfile`, which takes three times as long for a header, and says nothing where an
archive ends between two members or has something behind its end.
"""

import zlib
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from ftcli.data.storage.storage import storage_of
from ftcli.errors import RequestError
from ftcli.limits import MAX_MEMBER_NAME_BYTES, MAX_PAX_BYTES, MAX_TAR_PADDING
from ftcli.safe_text import quoted, reason

BLOCK = 512  # bytes: of a header, and a member's content is filled up to a multiple of it
WINDOWS = (2**12, 2**22)  # bytes that are read at once: at first, and at most where members are small
ZEROS = bytes(BLOCK)
ADLER_PRIME = 65521
REGULAR, FOLDER = (b"0", b"\0", b"7"), b"5"
LONG_NAME, LONG_LINK, GLOBAL = b"L", b"K", b"g"
EXTENDED = (LONG_NAME, LONG_LINK, GLOBAL, b"x")  # kinds of headers whose content says more of the next member
IRREGULAR = {
    b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a pipe",
    b"S": "a sparse file", b"M": "the rest of a file of another archive",
}  # fmt: skip
MAGICS = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}


class Member(NamedTuple):
    """A regular file of an archive."""

    name: bytes
    start: int  # of its content, in bytes from the beginning of the archive; its header is the block before
    size: int  # bytes
    header: bytes  # [512]


class Archive:
    """The regular members of an archive at a path or URL, in order.

    Iterating raises RequestError where the archive cannot be read, is cut short, compressed or damaged, goes on behind
    its end, or has a member that is no regular file and no folder.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._storage = storage_of(path)
        self._window, self._start, self._length = b"", 0, WINDOWS[0]
        try:
            self.size = self._storage.size(path)
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error

    def read(self, start: int, stop: int) -> bytes:
        """Bytes of the archive; what lies close together is read at once."""
        if not self._start <= start <= stop <= self._start + len(self._window):
            follows = self._start < start < self._start + 2 * len(self._window)
            self._length = min(2 * self._length, WINDOWS[1]) if follows else WINDOWS[0]
            end = min(max(stop, start + self._length), self.size)
            try:
                self._window, self._start = self._storage.read(self.path, start, end), start
            except OSError as error:
                raise self._unreadable(error) from error
        return self._window[start - self._start : stop - self._start]

    def __iter__(self) -> Iterator[Member]:
        self._check_compressed()
        position, extended = 0, _NOTHING
        while (header := self._header(position)) is not None:
            kind, start = header[156:157], position + BLOCK
            size = self._size(header, position)
            if kind in EXTENDED:
                extended = self._extended(kind, start, size, extended)
            else:
                name, size = extended.name or _name(header), size if extended.size is None else extended.size
                self._check(name, kind, start, size)
                if kind == FOLDER or name.endswith(b"/"):
                    size = 0  # a folder may state one, and has no content
                else:
                    yield Member(name, start, size, header)
                extended = _NOTHING
            position = start + -(-size // BLOCK) * BLOCK
        self._check_end(position)

    def _header(self, position: int) -> bytes | None:
        """The header at a position; None where it is the end of the archive."""
        if position + BLOCK > self.size:
            self._raise_cut_short(f"it ends at byte {self.size:,} without the blocks of zeros that end an archive")
        header = self.read(position, position + BLOCK)
        if header == ZEROS:
            return None
        if not _is_header(header):
            raise self._damaged(position, "is none, or damaged")
        return header

    def _size(self, header: bytes, position: int) -> int:
        """Bytes of content that a header states, in octal digits, or as a binary number where they are too many."""
        field = header[124:136]
        if field[0] == 0x80:
            return int.from_bytes(field[1:])
        if (size := _octal(field)) is None and field.strip(b" \0"):
            raise self._damaged(position, "states no size")
        return size or 0

    def _extended(self, kind: bytes, start: int, size: int, before: "_Extended") -> "_Extended":
        """What a header that stands before a member says of it. Raises RequestError where that is damaged."""
        if size > MAX_PAX_BYTES or start + size > self.size:
            raise self._damaged(start - BLOCK, f"states {size:,} bytes of further headers")
        content = self.read(start, start + size)
        if kind == LONG_LINK:
            return before
        if kind == LONG_NAME:
            return before._replace(name=content.partition(b"\0")[0])
        values = _records(content)
        if values is None or (digits := values.get(b"size", b"0")).strip(b"0123456789") or not 0 < len(digits) < 20:
            raise self._damaged(start - BLOCK, "holds no key=value")
        if any(key.startswith(b"GNU.sparse.") for key in values):
            raise self._irregular(values.get(b"GNU.sparse.name", b""), b"S")
        if kind == GLOBAL:
            if values.keys() & {b"path", b"size"}:
                raise self._damaged(start - BLOCK, "gives all members one name or size")
            return before
        return _Extended(values.get(b"path", before.name), int(digits) if b"size" in values else before.size)

    def _check(self, name: bytes, kind: bytes, start: int, size: int) -> None:
        """Raises RequestError for a member that is no file or folder, has an odd name, or is not there as a whole."""
        if kind not in (*REGULAR, FOLDER):
            raise self._irregular(name, kind)
        if not name or b"\0" in name or len(name) > MAX_MEMBER_NAME_BYTES:
            raise self._damaged(start - BLOCK, f"has a name of {len(name):,} bytes, which no file has")
        if kind != FOLDER and start + size > self.size:
            self._raise_cut_short(
                f"{quoted(shown(name))} in it is to end at byte {start + size:,}, and the archive has {self.size:,}"
            )

    def _check_end(self, position: int) -> None:
        """Raises RequestError where something follows the end of the archive."""
        rest = self.size - position
        if rest > MAX_TAR_PADDING or self.read(position, self.size).strip(b"\0"):
            raise RequestError(
                f"{quoted(self.path)} goes on behind the end of its archive at byte {position:,}, as archives do that "
                "were put together by cat",
                "keep the archives apart, and name them as {a,b}.tar",
            )

    def _unreadable(self, error: Exception) -> RequestError:
        return RequestError(f"{quoted(self.path)} cannot be read: {reason(error)}", "check the path and permissions")

    def _raise_cut_short(self, how: str) -> NoReturn:
        raise RequestError(f"{quoted(self.path)} is cut short: {how}", "get it anew, whole")

    def _check_compressed(self) -> None:
        """Raises RequestError for a compressed file; it says how to unpack it."""
        beginning = self.read(0, min(self.size, BLOCK))
        for magic, command in MAGICS.items():
            if beginning.startswith(magic):
                raise RequestError(f"{quoted(self.path)} is compressed", f"unpack it, as by `{command}`")

    def _damaged(self, position: int, how: str) -> RequestError:
        return RequestError(
            f"{quoted(self.path)} is no whole tar archive: the header at byte {position:,} {how}",
            "get it anew, or write it anew by tar",
        )

    def _irregular(self, name: bytes, kind: bytes) -> RequestError:
        what = IRREGULAR.get(kind, f"something unknown (type {shown(kind)!r})")
        return RequestError(
            f"{quoted(shown(name))} in {quoted(self.path)} is {what}; members are regular files",
            "write the archive anew, by tar --dereference --hard-dereference",
        )


class _Extended(NamedTuple):
    """What headers before that of a member say of it."""

    name: bytes = b""
    size: int | None = None


_NOTHING = _Extended()


def _is_header(block: bytes) -> bool:
    """Whether a block has the checksum that it states: the sum of its bytes, with spaces for the checksum itself.

    Adler-32 begins with 1 plus that sum, modulo a prime, and is computed in a tenth of the time.
    """
    stated = _octal(block[148:156])
    if stated is None:
        return False
    total = stated + sum(block[148:156]) - 8 * ord(" ")
    if (zlib.adler32(block) & 0xFFFF) == (1 + total) % ADLER_PRIME:
        return True
    return total == sum(block) - 256 * sum(byte > 127 for byte in block)  # as some old programs add up


def _octal(field: bytes) -> int | None:
    """A number in octal digits between spaces and zero bytes, None where there is none."""
    digits = field.strip(b" \0")
    try:
        return int(digits, 8) if digits.isdigit() else None
    except ValueError:  # an 8 or a 9
        return None


def shown(name: bytes) -> str:
    """The name of a member as text: bytes that are no UTF-8 are written as \\xNN."""
    return name.decode("utf-8", "backslashreplace")


def _name(header: bytes) -> bytes:
    """The name in a header itself, with the folders that POSIX stores apart."""
    name = header[:100].partition(b"\0")[0]
    if header[257:263] == b"ustar\0" and (prefix := header[345:500].partition(b"\0")[0]):
        return prefix + b"/" + name
    return name


def _records(content: bytes) -> dict[bytes, bytes] | None:
    """The records "LENGTH KEY=VALUE\\n" of an extended header; None where they are none."""
    values, position = {}, 0
    while position < len(content):
        digits = content[position : position + 20].partition(b" ")[0]
        if not digits.isdigit() or not (record := content[position : position + int(digits)]).endswith(b"\n"):
            return None
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if not equals or len(record) < int(digits):
            return None
        values[key] = value
        position += len(record)
    return values
