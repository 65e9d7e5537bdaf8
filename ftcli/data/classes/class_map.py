"""The class map of a SPEC, classes=MAP.json: renames, joins and drops the classes of a set."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from ftcli.data.classes.class_names import composed
from ftcli.data.classes.labels import Labels, are_names, numbers
from ftcli.errors import RequestError, choose
from ftcli.files import read_json
from ftcli.limits import MAX_CLASSES
from ftcli.safe_text import counted, listed, quoted

OTHERS = "*"  # in a map: every class that it does not mention
LITERAL = re.compile(r"\\+\*")  # a class that is called so is written with one backslash more


def apply_map(labels: Labels, path: str, spec: str) -> Labels:
    """Rename, join, renumber or drop classes by a JSON file.

    An object maps names of the set's classes to names of the task's, several to one where they are one; null drops. An
    absent name stays as it is, unless "*" says what becomes of all that are absent. A list of K integers maps positions
    to positions in the task's classes (-1 drops).

    Raises:
        RequestError: no such file, not such JSON, a class that is named twice, is unknown or gets an empty name, a list
            of another length than K, or no class left.
    """
    try:
        content = read_json(Path(path), _each_once)
    except OSError as error:
        raise RequestError(
            f'the class map "{path}" of {spec} cannot be read: {error.strerror}', "check the path"
        ) from error
    except ValueError as error:
        fix = 'write {"CLASS OF THE SET": "CLASS OF THE TASK", …}'
        raise RequestError(f'the class map "{path}" of {spec} is not JSON, or ambiguous: {error}', fix) from error
    if isinstance(content, dict) and all(map(_is_target, content.values())):
        return _by_name(labels, content, path, spec)
    if isinstance(content, list) and all(type(value) is int and -1 <= value < MAX_CLASSES for value in content):
        return _by_position(labels, content, path, spec)
    raise RequestError(
        f'the class map "{path}" of {spec} is neither an object of class names nor a list of positions',
        'write {"CLASS OF THE SET": "CLASS OF THE TASK" or null, …} or [0, 2, -1, …]',
    )


def _is_target(value: object) -> bool:
    """Whether a class may become this: a name, or null for one to leave out."""
    return value is None or (isinstance(value, str) and value != "")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. Raises ValueError for a key that is there twice: which of its values is meant is not known."""
    content = dict(pairs)
    if len(content) < len(pairs):
        twice = next(name for name, number in Counter(name for name, _ in pairs).items() if number > 1)
        raise ValueError(f"it names {quoted(twice)} twice")
    return content


def _by_name(labels: Labels, content: dict[str, str | None], path: str, spec: str) -> Labels:
    target_of = {_class_of(name): target and composed(target) for name, target in content.items() if name != OTHERS}
    for name in target_of:
        if name not in labels.classes:
            raise RequestError(
                f'the class map "{path}" names a class {quoted(name)} that {spec} lacks; it has '
                + listed(labels.classes),
                choose(name, labels.classes),
            )
    others = {name: content[OTHERS] and composed(str(content[OTHERS])) for name in labels.classes if OTHERS in content}
    targets = [(others | target_of).get(name, name) for name in labels.classes]
    classes = tuple(dict.fromkeys(target for target in targets if target is not None))
    if not classes:
        raise RequestError(
            f'the class map "{path}" drops every class of {spec}; it has {listed(labels.classes)}',
            'name a class to keep, as {"CLASS OF THE SET": "CLASS OF THE TASK", "*": null}',
        )
    index = {name: i for i, name in enumerate(classes)}
    lookup = np.array([-1 if target is None else index[target] for target in targets], dtype=np.int64)
    return Labels(lookup[labels.values], classes, are_names(classes))


def _class_of(name: str) -> str:
    """The class that a name in a map means."""
    return composed(name[1:] if LITERAL.fullmatch(name) else name)


def _by_position(labels: Labels, content: list[int], path: str, spec: str) -> Labels:
    if len(content) != len(labels.classes):
        raise RequestError(
            f'the class map "{path}" has {counted(len(content), "position", "positions")} and {spec} has '
            f"{counted(len(labels.classes), 'class', 'classes')}: {listed(labels.classes)}",
            "write one position per class, -1 for a class to leave out",
        )
    values = np.array(content, dtype=np.int64)[labels.values]
    return Labels(values, numbers(max(content, default=-1) + 1), named=False, positions=True)
