"""Tables of LaTeX that need no package but booktabs, in which names from data stay text."""

import re
from collections.abc import Iterable, Sequence

from ftcli.safe_text import printable

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",  # other signs in the oldest font encoding
    "`": r"\`{}", '"': "''",  # babel makes commands of the latter
    "[": "{[}", "]": "{]}", "*": "{*}",  # after \\ they would be its arguments
    "\N{REPLACEMENT CHARACTER}": "?",
}  # fmt: skip
LIGATURE = re.compile(r"([-,'])(?=\1)")  # -- becomes a dash
LAST_OF_PDFLATEX = "\N{LATIN SMALL LETTER LONG S}"  # beyond Latin Extended-A, pdflatex has no glyphs without packages
NEEDS = r"% \usepackage{booktabs}"
NEEDS_UNICODE = "% some names have characters for which LuaLaTeX or XeLaTeX, and a font that has them, is needed"


def escape_latex(words: str) -> str:
    """Words as LaTeX that typesets them as they are, on one line of its source."""
    whole = LIGATURE.sub("\\1\0", printable(words))
    return "".join("{}" if sign == "\0" else SPECIAL.get(sign, sign) for sign in whole)


def bold(latex: str) -> str:
    return rf"\textbf{{{latex}}}"


def small(latex: str) -> str:
    return rf"{{\scriptsize {latex}}}"


def latex_table(heads: Sequence[str], body: Iterable[Sequence[str]], left: int, comments: Iterable[str] = ()) -> str:
    """A tabular with the rules of booktabs; the first `left` columns are aligned left, the others right.

    heads and body: LaTeX already (`escape_latex` makes it of names). comments: plain words, above it.
    """
    rows = [rf"{' & '.join(cell or '{}' for cell in row)} \\" for row in (heads, *body)]
    columns = "l" * left + "r" * (len(heads) - left)
    tabular = [
        rf"\begin{{tabular}}{{{columns}}}", r"\toprule", rows[0], r"\midrule", *rows[1:], r"\bottomrule",
        r"\end{tabular}",
    ]  # fmt: skip
    unicode = [NEEDS_UNICODE] if any(sign > LAST_OF_PDFLATEX for row in tabular for sign in row) else []
    return "\n".join([NEEDS, *unicode, *(f"% {printable(comment)}" for comment in comments), *tabular]) + "\n"
