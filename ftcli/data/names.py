"""Class names: what may be one, and how many there may be."""

from collections.abc import Sequence
from typing import Any

from ftcli.errors import RequestError
from ftcli.text import quoted

MOST_CLASSES = 1_000_000  # larger integers are no class numbers but ids of something else
FEW = 25_000  # classes that any set may have, as many as the largest of ImageNet with some to spare
PER_EXAMPLE = 10  # classes that each of its examples allows a larger set
LONGEST = 255  # characters of a name, as of a folder's


def check_names(names: Any, what: str) -> None:
    """Raises RequestError for anything but a list of different texts; `what` says whose they are."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RequestError(f"{what} are no list of texts", "write the table anew with names that are texts")
    if (name := twice(names)) is not None:
        raise RequestError(f"{what} have {quoted(name)} twice", "write the table anew with different names")
    if longest := max((name for name in names if len(name) > LONGEST), key=len, default=""):
        raise too_long(longest, what)


def twice(names: Sequence[str]) -> str | None:
    """The first name that has been there before."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def too_long(name: str, what: str) -> RequestError:
    return RequestError(
        f"{what} have {quoted(name)}; a name has at most {LONGEST} characters",
        "name a column of class names with label=COLUMN",
    )


def most_classes(examples: int) -> int:
    """How many classes a set of so many examples may have: a head and its figures take room for each of them."""
    return min(MOST_CLASSES, max(FEW, PER_EXAMPLE * examples))
