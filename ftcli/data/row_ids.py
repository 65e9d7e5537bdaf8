"""Ids of rows: texts, or the numbers of a table's rows, which are made texts when they are asked for."""

from collections.abc import Sequence
from typing import overload

import numpy as np


class RowNumbers(Sequence[str]):
    """The numbers of N rows as texts: a list of them takes ten times as much memory.

    Args:
        numbers: int [N].
    """

    def __init__(self, numbers: np.ndarray) -> None:
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> "RowNumbers": ...

    def __getitem__(self, place: int | slice) -> "str | RowNumbers":
        return RowNumbers(self.numbers[place]) if isinstance(place, slice) else str(self.numbers[place])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"RowNumbers({self.numbers!r})"


def at(ids: Sequence[str], index: np.ndarray) -> Sequence[str]:
    """The ids at the places of an index, int64 [M]."""
    return RowNumbers(ids.numbers[index]) if isinstance(ids, RowNumbers) else [ids[place] for place in index]
