"""TOML that may be anybody's, read within limits: the parser's time and memory go with the square of a key's parts."""

import re
import tomllib
from typing import Any

from ftcli.limits import MAX_TOML_CHARACTERS, MAX_TOML_KEY_PARTS

# Parts of up to 64 characters: of longer ones a document has too few to be slow, and the search stays linear.
PART = r"""(?:[A-Za-z0-9_-]{1,64}+|"(?:[^"\\\n]|\\.){0,64}+"|'[^'\n]{0,64}+')"""
LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_-])(?:{PART}[ \t]{{0,64}}+\.[ \t]{{0,64}}+){{{MAX_TOML_KEY_PARTS}}}")


def parse_toml(text: str) -> dict[str, Any]:
    """The document. Raises ValueError, with the reason, where it is no TOML or beyond the limits."""
    if len(text) > MAX_TOML_CHARACTERS:
        raise ValueError(f"it has {len(text):,} characters, and at most {MAX_TOML_CHARACTERS:,} are read")
    if key := LONG_KEY.search(text):
        line = text.count("\n", 0, key.start()) + 1
        raise ValueError(f"line {line} has a key of more than {MAX_TOML_KEY_PARTS} parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
