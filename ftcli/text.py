"""Words from outside, made safe to show."""

import unicodedata

UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format, surrogate, line and paragraph separators


def counted(number: int, one: str, many: str) -> str:
    """A number with its noun: "1 class", "2 classes", "1,000 images"."""
    return f"{number:,} {one if number == 1 else many}"


def printable(text: str) -> str:
    """The text with every sign that could repaint a terminal or break a table shown as a replacement mark."""
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(sign) in UNPRINTABLE else sign for sign in text)
