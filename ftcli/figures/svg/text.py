"""Text in an SVG: how wide it is, the lines that it is cut to, and its markup. Nothing measures a font here."""

import unicodedata
from html import escape

from ftcli.safe_text import printable

FONT = 11  # pixels
LINE = 13  # pixels from line to line
ELLIPSIS = "…"
NARROW, WIDE = frozenset(" !'(),.:;I[]`fijlrt|-"), frozenset("%@MWmw…")


def text_width(text: str) -> float:
    """Pixels that a line takes at most, in the sans-serif fonts of browsers."""
    return sum(map(character_width, text))


def character_width(character: str) -> float:
    """Pixels; of the widest usual font."""
    if unicodedata.combining(character):
        return 0.0
    if unicodedata.east_asian_width(character) in "WF" or character in WIDE:
        return 11.2
    return 5.0 if character in NARROW else 8.2 if character.isupper() else 7.0


def lines_of(text: str, width: float, most: int = 2) -> list[str]:
    """A text from data on at most `most` lines of `width` pixels, broken at spaces where that fills a line by half; of
    a longer one the middle is left out, since names that begin alike tend to differ at the end.
    """
    rest, lines = " ".join(printable(text).split(" ")), list[str]()
    while rest and len(lines) < most - 1:
        head = rest[: fitting(rest, width)]
        if len(head) < len(rest) and (space := head.rfind(" ")) > len(head) // 2:
            head = head[: space + 1]
        lines.append(head.strip())
        rest = rest[len(head) :].lstrip()
    return [*lines, cut_in_the_middle(rest, width)] if rest or not lines else lines


def fitting(text: str, width: float) -> int:
    """The number of characters at the beginning of a text that fit into `width` pixels; one at least."""
    taken = 0.0
    for i, character in enumerate(text):
        taken += character_width(character)
        if taken > width and i:
            return i
    return len(text)


def cut_in_the_middle(text: str, width: float) -> str:
    """The text; of one that is wider than `width` pixels the beginning and the end."""
    if fitting(text, width) == len(text):
        return text
    half = (width - character_width(ELLIPSIS)) / 2
    return text[: fitting(text, half)] + ELLIPSIS + text[-fitting(text[::-1], half) :]


def label(x: float, y: float, lines: list[str], kind: str = "", anchor: str = "start") -> str:
    """Lines of text, the first with its base line at `y`."""
    return "".join(
        f'<text x="{x:z.1f}" y="{y + LINE * i:z.1f}"{attribute("class", kind)}'
        f"{attribute('text-anchor', '' if anchor == 'start' else anchor)}>{escape(line)}</text>"
        for i, line in enumerate(lines)
    )


def attribute(name: str, value: str) -> str:
    return f' {name}="{escape(value)}"' if value else ""
