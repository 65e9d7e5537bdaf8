"""Labels and values of samples as columns: what .cls and .json members hold."""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ftcli.arrow import number_array, text_array
from ftcli.files import parse_json
from ftcli.limits import MAX_CLS_BYTES, MAX_MEMBER_JSON_BYTES

INTEGER = re.compile(r"-?[0-9]{1,18}")
SEVERAL_TYPES = pa.struct({"values of several types": pa.string()})  # a column that no setting can use


def read_cls(content: bytes) -> int | str:
    """The label in a .cls member: a number where it is one, otherwise a name. Raises ValueError where it is none."""
    text = content.decode("utf-8").strip()
    if not text:
        raise ValueError("it is empty")
    return int(text) if INTEGER.fullmatch(text) else text


def read_values(content: bytes) -> dict[str, Any]:
    """The object in a .json member. Raises ValueError where it is none."""
    values = parse_json(content)
    if not isinstance(values, dict):
        raise ValueError("it holds no object")
    return values


class Reader(NamedTuple):
    """How a member with one ending is read."""

    read: Callable[[bytes], Any]  # raises ValueError
    most_bytes: int
    holds: str  # what it has to hold, in words


CLS, JSON = ".cls", ".json"
READERS = {
    CLS: Reader(read_cls, MAX_CLS_BYTES, "a class number or a class name"),
    JSON: Reader(read_values, MAX_MEMBER_JSON_BYTES, 'an object, as {"label": "cat"}'),
}


def column_of(values: Sequence[Any]) -> pa.Array:
    """Values of one type, or None, as an array: text, whole numbers, numbers or truth values.

    Of several types, lists or objects: a column without values, of a type that tells.
    """
    types = {type(value) for value in values} - {type(None)}
    complete = None not in values
    try:
        if types <= {str}:
            return text_array(values) if complete else pa.array(values, pa.string())
        if types == {bool}:
            return number_array(np.array(values, dtype=np.uint8)).cast(pa.bool_()) if complete else pa.array(values)
        if types == {int}:
            return number_array(np.array(values, np.int64)) if complete else pa.array(values, pa.int64())
        if types <= {int, float}:
            numbers = [None if value is None else float(value) for value in values]
            return number_array(np.array(numbers, np.float64)) if complete else pa.array(numbers, pa.float64())
    except (UnicodeEncodeError, OverflowError, pa.ArrowInvalid):  # half a character; a number beyond 64 bits
        pass
    return pa.StructArray.from_arrays([pa.nulls(len(values), pa.string())], fields=list(SEVERAL_TYPES))
