"""Class names: which are allowed, how many there may be, and which are alike."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from ftcli.errors import RequestError
from ftcli.limits import MAX_CLASS_NAME
from ftcli.safe_text import quoted

WHOLE = re.compile(r"(-?)0*(\d+)(\.0*)?", re.ASCII)  # a whole number as text: 7, 07, 7.0
GAPS = re.compile(r"(?<!\d)[\s_]+|[\s_]+(?!\d)|(?<=[^\W\d])-(?=[^\W\d])")  # digits on both sides keep theirs: 1_2, 12


def check_names(names: Any, what: str) -> None:
    """Raises RequestError for anything but a list of different texts; `what` says whose they are."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RequestError(f"{what} are no list of texts", "write the table anew with names that are texts")
    if (name := repeated(names)) is not None:
        raise RequestError(f"{what} have {quoted(name)} twice", "write the table anew with different names")
    if longest := max((name for name in names if len(name) > MAX_CLASS_NAME), key=len, default=""):
        raise too_long(longest, what)


def repeated(names: Sequence[str]) -> str | None:
    """The first name that is there a second time."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def too_long(name: str, what: str) -> RequestError:
    return RequestError(
        f"{what} have {quoted(name)}; a name has at most {MAX_CLASS_NAME} characters",
        "name a column of class names with label=COLUMN",
    )


def composed(name: str) -> str:
    """A name in Unicode's composed form, NFC: the same word may be written with an accent of its own or without, and
    file systems differ in which they give back.
    """
    return unicodedata.normalize("NFC", name)


def all_composed(names: Sequence[str], what: str) -> tuple[str, ...]:
    """The names of a set's classes, composed. Raises RequestError where two of them are equal then."""
    names = tuple(map(composed, names))
    if (name := repeated(names)) is not None:
        raise RequestError(
            f"{what} has the class {quoted(name)} twice, in two Unicode forms that read the same",
            "rename one of the two, or join them",
        )
    return names


def as_numbers(names: Sequence[str]) -> list[int] | None:
    """The names as whole numbers, which "7", "07" and "7.0" are; None where one is none, or two are the same."""
    matches = [WHOLE.fullmatch(name) for name in names]
    values = [int(match[1] + match[2]) for match in matches if match]
    return values if len(values) == len(names) == len(set(values)) else None


def folded(name: str) -> str:
    """A name without what a reader overlooks: case, spaces and underscores, hyphens between letters, the width of
    letters, and invisible characters. A single letter keeps its case, and a whole number is its value.
    """
    if values := as_numbers([name.strip()]):
        return str(values[0])
    compatible = unicodedata.normalize("NFKC", name)
    plain = "".join(character for character in compatible if unicodedata.category(character) != "Cf")
    plain = GAPS.sub("", plain)
    return plain if len(plain) == 1 else plain.casefold()
