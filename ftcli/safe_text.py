"""Text from files, users and libraries made safe to print: no control characters, bounded length."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from ftcli.limits import MAX_NAME_SHOWN, MAX_REASON

_SPECIAL = re.compile(r"[^\n\x20-\x7e]")  # all but plain ASCII, which has nothing to escape
_URL = re.compile(r"""\b\w[\w+.-]*://[^\s"'<>]+""")
_TYPED_QUERY = re.compile(r"(://[^?]*?)%3[Ff][^?]*")  # of a URL in a data SPEC, where a "?" begins the settings
UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format, surrogate, line and paragraph separators


def counted(number: int, singular: str, plural: str) -> str:
    """A number with its noun: "1 class", "2 classes", "1,000 images"."""
    return f"{number:,} {singular if number == 1 else plural}"


def printable(text: str) -> str:
    """The text with a replacement mark for every character that could repaint a terminal or break a table."""
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(char) in UNPRINTABLE else char for char in text)


def shortened(text: str, most: int = 300) -> str:
    """The text; of a long one the beginning, and how long it is."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def first_few(names: Iterable[str]) -> str:
    """Up to five names, joined by commas, and dots for the others."""
    names = list(names)
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def quoted(name: str) -> str:
    """A name in quotation marks; of a long one the beginning, and how long it is."""
    return f'"{name}"' if len(name) <= MAX_NAME_SHOWN else f'"{name[:MAX_NAME_SHOWN]}…" ({len(name):,} characters)'


def listed(names: Sequence[str], most: int = 5) -> str:
    """Up to `most` names, quoted, and how many more."""
    some = ", ".join(map(quoted, names[:most]))
    return some + (f" and {len(names) - most} more" if len(names) > most else "")


def reason(error: BaseException) -> str:
    """The first line of an error's message, shortened; the error's type where it has no message."""
    return shortened(str(error).strip().partition("\n")[0] or type(error).__name__, MAX_REASON)


def redacted(url: str) -> str:
    """A URL as far as it may be shown: without a user name, a password and the query, which may be a signature."""
    protocol, mark, rest = url.partition("://")
    if not mark:
        return url
    place, slash, path = rest.partition("?")[0].partition("/")
    return protocol + mark + place.rpartition("@")[2] + slash + path + ("?…" if "?" in rest else "")


def without_secrets(text: str) -> str:
    """A text with every URL in it as far as it may be shown."""
    return _URL.sub(lambda url: redacted(url[0]), text)


def redacted_spec(typed: str) -> str:
    """A data SPEC, or another word that was typed, without the query of the URL in it."""
    return _TYPED_QUERY.sub(r"\1%3F…", typed)


def escaped(json: str) -> str:
    """JSON with what `printable` would replace written as \\uXXXX, which means the same; line ends stay."""
    return _SPECIAL.sub(
        lambda char: _escape(char[0]) if unicodedata.category(char[0]) in UNPRINTABLE else char[0], json
    )


def _escape(char: str) -> str:
    pair = char.encode("utf-16-be", errors="surrogatepass")  # two bytes, or four beyond U+FFFF
    return "".join(f"\\u{pair[i : i + 2].hex()}" for i in range(0, len(pair), 2))


def shortest_unique_suffixes(paths: Sequence[str]) -> list[str]:
    """The end of each path, with as many folders as it takes to tell all apart; equal paths get a number."""
    names = [[name for name in path.split("/") if name] or [path] for path in paths]
    for depth in range(1, max(map(len, names), default=1) + 1):
        tails = ["/".join(each[-depth:]) for each in names]
        if len(set(tails)) == len(set(map(tuple, names))):
            break
    return [f"{tail} ({tails[: i + 1].count(tail)})" if tail in tails[:i] else tail for i, tail in enumerate(tails)]
