"""The one style of figures in files: made for print, at the size of a column or a page, legible in grey.

matplotlib is imported only where text is measured.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ftcli.safe_text import printable

ONE_COLUMN, TWO_COLUMNS = 3.4, 7.0  # inches: the widths of a figure
FONT_SIZE = 8  # points, of all text
LINE_HEIGHT = FONT_SIZE * 1.25 / 72  # inches
FAMILY = "DejaVu Sans"  # comes with matplotlib: the same figure on every machine

# Lines are told apart without colour by dash and marker, points by marker and filling.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#a0447c", "#b87a00", "#333333")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 3)), (0, (6, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "X", "P", "<", ">", "p", "*", "h")
HATCHES = ("", "////", "....", "xxxx", "----", "\\\\\\\\")
SHADES = ("#e4ecf4", "#5a90c0", "#08264f")  # ever darker; a blank cell is white
GREY = "#777777"  # of the diagonal

STYLE: Any = {
    "axes.labelpad": 2.0,
    "axes.labelsize": FONT_SIZE,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlepad": 4.0,
    "axes.titlesize": FONT_SIZE,
    "figure.constrained_layout.h_pad": 0.04,
    "figure.constrained_layout.w_pad": 0.04,
    "font.family": FAMILY,
    "font.size": FONT_SIZE,
    "hatch.linewidth": 0.6,
    "legend.borderaxespad": 0.2,
    "legend.borderpad": 0.2,
    "legend.fontsize": FONT_SIZE,
    "legend.frameon": False,
    "legend.handlelength": 3.0,  # long enough for one dash to be told from another
    "legend.title_fontsize": FONT_SIZE,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.6,
    "pdf.fonttype": 42,  # fonts are embedded as TrueType: text can be searched and edited
    "savefig.dpi": 300,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "ftcli",
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "xtick.labelsize": FONT_SIZE,
    "xtick.major.width": 0.6,
    "ytick.labelsize": FONT_SIZE,
    "ytick.major.width": 0.6,
}


@lru_cache(maxsize=8192)
def text_width(line: str) -> float:
    """The width in inches of one line of text at FONT_SIZE."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=FAMILY, size=FONT_SIZE)
    return float(text_to_path.get_text_width_height_descent(line, font, False)[0]) / 72


def fitted(text: str, width: float, lines: int = 1) -> str:
    """A text, made printable, on at most so many lines of `width` inches; of one that is longer the middle is left out,
    since names that begin alike tend to differ at the end.
    """
    text = printable(text)
    if len(broken := broken_lines(text, width)) <= lines:
        return "\n".join(broken)
    low, high = 0, len(text) - 1  # characters that are kept: `low` fit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(broken_lines(kept(text, middle), width)) <= lines else (low, middle - 1)
    return "\n".join(broken_lines(kept(text, low), width))


def fitted_names(names: Sequence[str], width: float) -> list[str]:
    """Names of rows or columns on one line of `width` inches each; with numbers where what is left of them would not
    tell them apart.
    """
    short = [fitted(name, width) for name in names]
    if len(set(short)) == len(set(names)):
        return short
    begin, end = (common_start(parts) for parts in (names, [name[::-1] for name in names]))
    inner = [f"{'…' if begin else ''}{name[begin : len(name) - end]}{'…' if end else ''}" for name in names]
    short = [fitted(name, width) for name in inner]
    if len(set(short)) == len(set(names)):
        return short
    return [fitted(f"{i} {name}", width) for i, name in enumerate(names, 1)]


def common_start(names: Sequence[str]) -> int:
    """How many characters the names have in common at their start."""
    low, high = min(names), max(names)
    return next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))


def kept(text: str, count: int) -> str:
    """The first and the last of the characters, `count` of them, around an ellipsis."""
    head = (count + 1) // 2
    return f"{text[:head]}…{text[len(text) - (count - head) :]}"


def broken_lines(text: str, width: float) -> list[str]:
    """A text in lines of `width` inches, broken between words, and inside those that are wider."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        if line and text_width(f"{line} {word}") <= width:
            line = f"{line} {word}"
            continue
        lines += [line] if line else []
        while text_width(word) > width and len(word) > 1:
            fits = next((n for n in range(len(word) - 1, 1, -1) if text_width(word[:n]) <= width), 1)
            lines.append(word[:fits])
            word = word[fits:]
        line = word
    return [*lines, line]


def widest(texts: list[str]) -> float:
    """The width in inches of the widest line of texts that may have several."""
    return max((text_width(line) for text in texts for line in text.split("\n")), default=0.0)
