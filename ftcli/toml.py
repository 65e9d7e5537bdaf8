"""TOML that may be anybody's, read within limits: the parser's time and memory go with the square of a key's parts."""

import tomllib
from typing import Any

MOST_CHARACTERS = 2**17  # a thousand paths; options are no data
MOST_DOTS = 100  # of a line, and so of a dotted key


def parse_toml(text: str) -> dict[str, Any]:
    """The document. Raises ValueError, with the reason, where it is no TOML or beyond the limits."""
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"it has {len(text):,} characters, and at most {MOST_CHARACTERS:,} are read")
    for number, line in enumerate(text.splitlines(), 1):
        if (dots := line.count(".")) > MOST_DOTS:
            raise ValueError(
                f"line {number} has {dots:,} dots, and at most {MOST_DOTS} are read; the values of a list may stand on "
                "lines of their own"
            )
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
