"""JSON objects with types: structs whose attributes also read as the keys of a mapping."""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta
from msgspec.inspect import DictType, ListType, StructType, Type, UnionType, type_info

from ftcli.safe_text import escaped, shortened

Foreign = dict[str, Any]  # JSON of others, or values of many types: options by name, timm's configuration
Count = Annotated[int, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Interval = Annotated[list[float], Meta(min_length=2, max_length=2)]  # [low, high]
OTHERS = "*"  # JSON name of the field that holds what is keyed by names from data, beside fixed keys

STEP = re.compile(r"\.([^.\[`]+)|\[(\d+|\.\.\.)\]")  # of a path in what msgspec says: `$.ood[...].curve[3]`

R = TypeVar("R")
Nested = Callable[[Any], Any]


class Record(msgspec.Struct):
    """A JSON object with typed fields.

    `record.accuracy` and `record["accuracy"]` are one value. A field that is absent is msgspec.UNSET as an attribute
    and no key of the mapping. Keys are the names in JSON, in the order in which they are written. A field of the name
    `*` in JSON holds all keys that are not fixed: `record.sets["sketch"]` is `record["sketch"]`.
    """

    def items(self) -> Iterator[tuple[str, Any]]:
        """Every key that is present, with its value."""
        for key, attribute in attributes(type(self)).items():
            value = getattr(self, attribute)
            if key == OTHERS:
                yield from value.items()
            elif value is not msgspec.UNSET:
                yield key, value

    def keys(self) -> list[str]:
        return [key for key, _ in self.items()]

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def __getitem__(self, key: str) -> Any:
        named = attributes(type(self))
        if key != OTHERS and key in named:
            value = getattr(self, named[key])
        else:
            value = getattr(self, named[OTHERS]).get(key, msgspec.UNSET) if OTHERS in named else msgspec.UNSET
        if value is msgspec.UNSET:
            raise KeyError(key)
        return value

    def get(self, key: str, default: Any = None) -> Any:
        try:
            return self[key]
        except KeyError:
            return default

    def __eq__(self, other: object) -> bool:
        """A dictionary is equal where it has the same keys and values."""
        return self.to_dict() == plain(other) if isinstance(other, dict) else super().__eq__(other)

    def to_dict(self) -> dict[str, Any]:
        """The object in dictionaries and lists alone, as JSON has it."""
        return {key: plain(value) for key, value in self.items()}


def plain(value: Any) -> Any:
    """A value in dictionaries and lists alone."""
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):  # a list of numbers, such as a row of a matrix, is not walked
        return (
            [plain(inner) for inner in value]
            if value and isinstance(value[0], Record | dict | list | tuple)
            else [*value]
        )
    return value


@cache
def attributes(kind: type[Record]) -> dict[str, str]:
    """The attribute of each key."""
    return dict(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))


def decoded(content: Any, kind: type[R]) -> R:
    """JSON values as `kind`, which may be list[Record] and the like; records inside are taken as they are.

    Raises msgspec.ValidationError where they do not fit. Keys that no type knows are left out.
    """
    return msgspec.convert(nested(content, kind), kind)


def nested(content: Any, kind: Any) -> Any:
    """JSON values with the keys that are names from data under `*`, as the types have them."""
    nest = nesting(kind)
    return nest(content) if nest else content


@cache
def nesting(kind: Any) -> Nested | None:
    """How the keys that are names from data are put under `*`, anywhere in JSON values of a type."""
    return nesting_of(type_info(kind))


def nesting_of(info: Type) -> Nested | None:
    """None where there is nothing to put elsewhere: large matrices are not walked."""
    if isinstance(info, UnionType):
        return next(filter(None, map(nesting_of, info.types)), None)  # at most one type of a union is an object
    if isinstance(info, DictType | ListType):
        inner = nesting_of(info.value_type if isinstance(info, DictType) else info.item_type)
        return inner and partial(within_each, inner)
    if not isinstance(info, StructType):
        return None
    fields = {field.encode_name: nesting_of(field.type) for field in info.fields}
    return partial(within_object, fields) if OTHERS in fields or any(fields.values()) else None


def within_each(nest: Nested, values: Any) -> Any:
    """The values of a dictionary or a list, nested."""
    if isinstance(values, dict):
        return {key: nest(value) for key, value in values.items()}
    return [nest(value) for value in values] if isinstance(values, list) else values


def within_object(fields: dict[str, Nested | None], value: Any) -> Any:
    """A JSON object nested; keys that are no fields go under `*`, or are left out."""
    if not isinstance(value, dict):
        return value
    fixed = {key: inner for key, inner in value.items() if key in fields and key != OTHERS}
    if OTHERS in fields:
        fixed[OTHERS] = {key: inner for key, inner in value.items() if key not in fixed}
    return {key: nest(inner) if (nest := fields[key]) else inner for key, inner in fixed.items()}


def problem_with(content: Any, kind: Any) -> str:
    """What in JSON values does not fit a type first, and where; empty where all fits."""
    content = nested(content, kind)
    if not (error := refusal(content, kind)):
        return ""
    reason, _, location = error.rpartition(" - at ") if " - at `$" in error else (error, "", "")
    path: list[str | int] = []
    for name, index in STEP.findall(location):
        path.append(name or (key_at(content, path, kind, error) if index == "..." else int(index)))
    reason = re.sub("Object missing required field `(.*)`", r"'\1' is a required property", reason).replace("`", "")
    if reason.startswith("Expected") and ", got" not in reason:
        reason += f", got {shortened(repr(at(content, path)), 60)}"
    where = "/".join(str(step) for step in path if step != OTHERS)
    return f"{shortened(where or 'the whole')}: {reason[:120]}"


def refusal(content: Any, kind: Any) -> str:
    """What msgspec says of JSON values that do not fit a type."""
    try:
        msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        return str(error)
    return ""


def key_at(content: Any, path: list[str | int], kind: Any, error: str) -> str:
    """The first key of the object at `path` that this error is about: msgspec does not name it."""
    whole: dict[str, Any] = at(content, path)
    keys = list(whole)
    while len(keys) > 1:
        half = keys[: len(keys) // 2]
        fails = refusal(replaced(content, path, {key: whole[key] for key in half}), kind) == error
        keys = half if fails else keys[len(half) :]
    return keys[0]


def at(content: Any, path: list[str | int]) -> Any:
    for step in path:
        content = content[step]
    return content


def replaced(content: Any, path: list[str | int], value: Any) -> Any:
    """The content with another value at `path`; nothing of the original changes."""
    if not path:
        return value
    copy = content.copy()
    copy[path[0]] = replaced(content[path[0]], path[1:], value)
    return copy


def as_json(value: Any, *, ascii: bool = False) -> str:
    """JSON as the reports have it: indented, no NaN, and nothing in it that could repaint a terminal."""
    return escaped(json.dumps(plain(value), indent=1, ensure_ascii=ascii, allow_nan=False)) + "\n"


def as_json_line(value: Any, *, ascii: bool = False) -> str:
    """JSON as `as_json` has it, on one line."""
    return escaped(json.dumps(plain(value), ensure_ascii=ascii, allow_nan=False)) + "\n"
