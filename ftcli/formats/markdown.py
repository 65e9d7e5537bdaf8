"""Pipe tables and lists of Markdown, in which names from data stay text: no link, no emphasis, no other column."""

import re
from collections.abc import Iterable, Sequence

from ftcli.safe_text import printable

SPECIAL = re.compile(
    r"[\\`|*\[\]<>&~$]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # within a word it is only an underscore
    r"|:(?=//)|(?<=\bwww)\."  # an address alone becomes a link
)
BLOCK = re.compile(r"^([-+=#]|\d+(?=[.)]))")  # at the beginning of a line: a list, a heading, a rule


def escape_markdown(words: str) -> str:
    """Words as Markdown that shows them as they are, within a line."""
    return SPECIAL.sub(lambda sign: f"\\{sign[0]}", printable(words))


def markdown_table(heads: Sequence[str], body: Iterable[Sequence[str]], left: int) -> str:
    """Pipe table; the first `left` columns are aligned left, the others right."""
    rule = ["---" if i < left else "---:" for i in range(len(heads))]
    rows = [[escape_markdown(cell) for cell in row] for row in (heads, *body)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (rows[0], rule, *rows[1:]))


def markdown_list(items: Iterable[str]) -> str:
    """One item per line."""
    return "\n".join(f"- {BLOCK.sub(escape_beginning, escape_markdown(item))}" for item in items)


def escape_beginning(found: "re.Match[str]") -> str:
    """A sign with a backslash before it; of a number the sign that follows it, which makes it a list's."""
    return f"{found[0]}\\" if found[0].isdigit() else f"\\{found[0]}"
