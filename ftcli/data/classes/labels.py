"""Labels: from a column to class indices, and through a class map."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ftcli.arrow import as_numpy
from ftcli.data.classes.class_names import composed, too_long
from ftcli.data.rows import ClassFeature
from ftcli.errors import RequestError, choose
from ftcli.files import read_json
from ftcli.limits import MAX_CLASS_NAME, MAX_CLASSES, MAX_CLASSES_ANY_SET, MAX_CLASSES_PER_EXAMPLE
from ftcli.safe_text import counted, listed, quoted, shortened


@dataclass(frozen=True)
class Labels:
    """Class indices of N rows, -1 for rows that a map drops, and the names of the K classes."""

    values: np.ndarray  # int64 [N]
    classes: tuple[str, ...]
    named: bool  # False: plain integers, and `classes` is "0", "1", …
    positions: bool = False  # True: a map by position made `values` positions in the task's classes


def are_names(classes: Sequence[str]) -> bool:
    """Whether classes have names, other than their own numbers "0", "1", …"""
    return tuple(classes) != numbers(len(classes))


def numbers(k: int) -> tuple[str, ...]:
    return tuple(str(i) for i in range(k))


def in_order(names: Sequence[str]) -> list[str]:
    """Sorted names of classes as they are numbered: those that are exactly "0" … "K - 1" by their values."""
    return list(numbers(len(names))) if set(names) == set(numbers(len(names))) else list(names)


def read_labels(
    column: pa.ChunkedArray | pa.Array, feature: object, place: Callable[[int], str], *, name: str, spec: str
) -> Labels:
    """Class indices from a label column of ClassLabel, text, truth values or plain integers, without a dictionary.

    Text is numbered in sorted order (in numeric order where it is exactly "0" … "K - 1"); integers keep their value.

    Args:
        place: names a row in a message.

    Raises:
        RequestError: another type, an empty cell, or a number or a text that is no class (the row is named); or more
            classes than so many rows allow.
    """

    def error(wrong: np.ndarray, what: str) -> RequestError:
        """`wrong`: bool [N], the rows whose label is no class; `what`: the first of them."""
        first, count = int(np.argmax(wrong)), int(wrong.sum())
        more = f", and {count - 1:,} more of {len(column):,} have no label that counts" if count > 1 else ""
        return RequestError(
            f"{place(first)} of {spec} has {what} in the label column {quoted(name)}{more}",
            unlabelled_fix(name, everything=count == len(column)),
        )

    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    blank = as_numpy(pc.equal(pc.fill_null(column, ""), "") if text else column.is_null())
    if blank.any():
        raise error(blank, "an empty label" if column[int(np.argmax(blank))].is_valid else "no label")
    if text or pa.types.is_boolean(column.type):
        different, places = _encoded(column)
        if longest := max((text for text in different if len(text) > MAX_CLASS_NAME), key=len, default=""):
            raise too_long(longest, f"the labels in the column {quoted(name)} of {spec}")
        check_count(len(different), len(column), name, spec)
        classes = tuple(in_order(sorted(different)))
        index = {text: i for i, text in enumerate(classes)}
        values = np.array([index[text] for text in different], dtype=np.int64)[places]
        return Labels(values, classes, are_names(classes))
    if not pa.types.is_integer(column.type):
        raise RequestError(
            f"the label column {quoted(name)} of {spec} holds {shortened(str(column.type), 80)}; labels are class "
            "names or whole numbers",
            "name another column with label=COLUMN",
        )
    given = as_numpy(column)
    values = given.astype(np.int64)  # numbers above its range turn out below 0
    known = tuple(feature.names) if isinstance(feature, ClassFeature) and feature.names else ()
    highest = len(known) if known else MAX_CLASSES
    if (wrong := (values < 0) | (values >= highest)).any():
        raise error(wrong, f"the label {given[np.argmax(wrong)]} (unlabelled, or outside 0 … {highest - 1})")
    check_count(len(known) or int(values.max()) + 1, len(values), name, spec)
    classes = known or numbers(int(values.max()) + 1)
    return Labels(values, classes, are_names(classes))


def _encoded(column: pa.ChunkedArray | pa.Array) -> tuple[list[str], np.ndarray]:
    """The different values of a column as text, and the place of each row's among them, int64 [N]."""
    encoded = column.dictionary_encode()  # the chunks of a column share one dictionary
    chunks = encoded.chunks if isinstance(encoded, pa.ChunkedArray) else [encoded]
    different = chunks[-1].dictionary if chunks else pa.array([], column.type)
    places = np.concatenate([np.zeros(0, np.int64), *(as_numpy(chunk.indices) for chunk in chunks)])
    return [str(value) for value in different.to_pylist()], places


def unlabelled_fix(column: str, *, everything: bool) -> str:
    """What to do about rows without a label. No where= helps: on the label column it would leave one class."""
    if everything:
        return "ftcli predict needs no labels; or name another column with label=COLUMN"
    return (
        "write the set without such rows, in Python: datasets.Dataset.from_parquet('SET.parquet').filter(lambda label: "
        f"label not in (None, '', -1), input_columns={column!r}).to_parquet('LABELLED.parquet'); or name another "
        "column with label=COLUMN"
    )


def check_count(k: int, n: int, name: str, spec: str) -> None:
    """Raises RequestError for more classes than n rows allow: a head and its figures take memory for each of them."""
    limit = min(MAX_CLASSES, max(MAX_CLASSES_ANY_SET, MAX_CLASSES_PER_EXAMPLE * n))
    if k > limit:
        raise RequestError(
            f"the label column {quoted(name)} of {spec} has {k:,} classes for {counted(n, 'row', 'rows')}; at most "
            f"{limit:,} are allowed",
            "name a column of class numbers 0 … K - 1, or of class names, with label=COLUMN",
        )


def apply_map(labels: Labels, path: str, spec: str) -> Labels:
    """Rename or renumber classes by a JSON file.

    An object maps names of the set's classes to names of the task's (null drops, an absent name stays as it is). A list
    of K integers maps positions to positions in the task's classes (-1 drops).

    Raises:
        RequestError: no such file, not such JSON, an unknown class, or a list of another length than K.
    """
    try:
        content = read_json(Path(path))
    except OSError as error:
        raise RequestError(
            f'the class map "{path}" of {spec} cannot be read: {error.strerror}', "check the path"
        ) from error
    except ValueError as error:
        fix = 'write {"CLASS OF THE SET": "CLASS OF THE TASK", …}'
        raise RequestError(f'the class map "{path}" of {spec} is not JSON: {error}', fix) from error
    if isinstance(content, dict) and all(value is None or isinstance(value, str) for value in content.values()):
        return _by_name(labels, content, path, spec)
    if isinstance(content, list) and all(type(value) is int and -1 <= value < MAX_CLASSES for value in content):
        return _by_position(labels, content, path, spec)
    raise RequestError(
        f'the class map "{path}" of {spec} is neither an object of class names nor a list of positions',
        'write {"CLASS OF THE SET": "CLASS OF THE TASK" or null, …} or [0, 2, -1, …]',
    )


def _by_name(labels: Labels, content: dict[str, str | None], path: str, spec: str) -> Labels:
    content = {composed(name): target and composed(target) for name, target in content.items()}
    for name in content:
        if name not in labels.classes:
            raise RequestError(
                f'the class map "{path}" names a class {quoted(name)} that {spec} lacks; it has '
                + listed(labels.classes),
                choose(name, labels.classes),
            )
    targets = [content.get(name, name) for name in labels.classes]
    classes = tuple(dict.fromkeys(target for target in targets if target is not None))
    index = {name: i for i, name in enumerate(classes)}
    lookup = np.array([-1 if target is None else index[target] for target in targets], dtype=np.int64)
    return Labels(lookup[labels.values], classes, are_names(classes))


def _by_position(labels: Labels, content: list[int], path: str, spec: str) -> Labels:
    if len(content) != len(labels.classes):
        raise RequestError(
            f'the class map "{path}" has {counted(len(content), "position", "positions")} and {spec} has '
            f"{counted(len(labels.classes), 'class', 'classes')}: {listed(labels.classes)}",
            "write one position per class, -1 for a class to leave out",
        )
    values = np.array(content, dtype=np.int64)[labels.values]
    return Labels(values, numbers(max(content, default=-1) + 1), named=False, positions=True)
