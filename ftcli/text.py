"""Words from outside, made safe to show: nothing in them repaints a terminal, and a line bears their length."""

import re
import unicodedata
from collections.abc import Sequence

from ftcli.limits import MAX_NAME_SHOWN, MAX_REASON

_SPECIAL = re.compile(r"[^\n\x20-\x7e]")  # all but plain ASCII, which has nothing to escape
UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format, surrogate, line and paragraph separators


def counted(number: int, one: str, many: str) -> str:
    """A number with its noun: "1 class", "2 classes", "1,000 images"."""
    return f"{number:,} {one if number == 1 else many}"


def printable(text: str) -> str:
    """The text with every sign that could repaint a terminal or break a table shown as a replacement mark."""
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(sign) in UNPRINTABLE else sign for sign in text)


def shortened(text: str, most: int = 300) -> str:
    """The beginning of a text, and how long it is where that is not all of it."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def quoted(name: str) -> str:
    """A name in quotation marks; of a long one the beginning, and how long it is."""
    return f'"{name}"' if len(name) <= MAX_NAME_SHOWN else f'"{name[:MAX_NAME_SHOWN]}…" ({len(name):,} characters)'


def listed(names: Sequence[str], most: int = 5) -> str:
    """Up to `most` names, quoted, and how many more."""
    some = ", ".join(map(quoted, names[:most]))
    return some + (f" and {len(names) - most} more" if len(names) > most else "")


def reason(error: BaseException) -> str:
    """What an error of a library says: its first line, or what kind it is where it says nothing."""
    return shortened(str(error).strip().partition("\n")[0] or type(error).__name__, MAX_REASON)


def escaped(json: str) -> str:
    """JSON with every sign that `printable` would replace written as \\uXXXX, which means the same; line ends stay."""
    return _SPECIAL.sub(
        lambda found: _escape(found[0]) if unicodedata.category(found[0]) in UNPRINTABLE else found[0], json
    )


def _escape(sign: str) -> str:
    pair = sign.encode("utf-16-be", errors="surrogatepass")  # two bytes, or four beyond U+FFFF
    return "".join(f"\\u{pair[i : i + 2].hex()}" for i in range(0, len(pair), 2))


def shortest_tails(paths: Sequence[str]) -> list[str]:
    """The end of each path, with as many of its parts as it takes to tell all apart; equal ones get a number."""
    parts = [[part for part in path.split("/") if part] or [path] for path in paths]
    depth, deepest = 1, max(map(len, parts), default=1)
    tails = ["/".join(one[-depth:]) for one in parts]
    while len(set(tails)) < len(set(map(tuple, parts))) and depth < deepest:
        depth += 1
        tails = ["/".join(one[-depth:]) for one in parts]
    return [f"{tail} ({tails[: i + 1].count(tail)})" if tail in tails[:i] else tail for i, tail in enumerate(tails)]
