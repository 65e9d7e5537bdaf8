"""A condition on the rows of a set, as where= types it: COLUMN:VALUE, COLUMN:in:A|B or COLUMN:>=:VALUE."""

from dataclasses import dataclass
from urllib.parse import unquote

from ftcli.data.specs.escape import escape
from ftcli.errors import RequestError

EQUAL, IN = "=", "in"
COMPARISONS = (">=", "<=", ">", "<", "!=")


@dataclass(frozen=True)
class Condition:
    """A column, an operator (`EQUAL`, `IN` or one of `COMPARISONS`), and the values it compares with, as typed.

    `IN` may have several values, every other operator has one.
    """

    column: str
    operator: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        """As it is typed."""
        operator = "" if self.operator == EQUAL else f"{self.operator}:"
        value = "|".join(escape(value, "|") for value in self.values)
        if not operator and _leading_operator(value):
            value = value.replace(":", "%3A", 1)
        return f"{escape(self.column, ':')}:{operator}{value}"


def read_condition(text: str, typed: str) -> Condition:
    """The condition that is typed in the data SPEC `text`.

    Raises:
        RequestError: it has no column or no value.
    """
    column, colon, value = typed.partition(":")
    if not column or not colon:
        raise RequestError(
            f'where={typed} in "{text}" is not COLUMN:VALUE',
            "write where=COLUMN:VALUE, where=COLUMN:in:A|B or where=COLUMN:>=:VALUE",
        )
    operator = _leading_operator(value) or EQUAL
    if operator != EQUAL:
        value = value.partition(":")[2]
    values = value.split("|") if operator == IN else [value]
    if operator != EQUAL and not all(values):
        raise RequestError(
            f'where={typed} in "{text}" has an empty value',
            f"write where={column}:{operator}:{'A|B' if operator == IN else 'VALUE'}",
        )
    return Condition(unquote(column), operator, tuple(map(unquote, values)))


def _leading_operator(value: str) -> str | None:
    """The operator that a value as typed begins with, before a colon."""
    first, colon, _ = value.partition(":")
    first = unquote(first)
    return first if colon and first in (IN, *COMPARISONS) else None
