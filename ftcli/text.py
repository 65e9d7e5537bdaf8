"""Words from outside, made safe to show."""

import unicodedata
from collections.abc import Sequence

UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format, surrogate, line and paragraph separators


def counted(number: int, one: str, many: str) -> str:
    """A number with its noun: "1 class", "2 classes", "1,000 images"."""
    return f"{number:,} {one if number == 1 else many}"


def printable(text: str) -> str:
    """The text with every sign that could repaint a terminal or break a table shown as a replacement mark."""
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(sign) in UNPRINTABLE else sign for sign in text)


def shortest_tails(paths: Sequence[str]) -> list[str]:
    """The end of each path, with as many of its parts as it takes to tell all apart; equal ones get a number."""
    parts = [[part for part in path.split("/") if part] or [path] for path in paths]
    depth, deepest = 1, max(map(len, parts), default=1)
    tails = ["/".join(one[-depth:]) for one in parts]
    while len(set(tails)) < len(set(map(tuple, parts))) and depth < deepest:
        depth += 1
        tails = ["/".join(one[-depth:]) for one in parts]
    return [f"{tail} ({tails[: i + 1].count(tail)})" if tail in tails[:i] else tail for i, tail in enumerate(tails)]
