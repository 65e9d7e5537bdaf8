"""Alignment: the classes of one side found among those of another, by name."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from ftcli.data.classes.class_names import as_numbers, folded, repeated
from ftcli.data.classes.labels import are_names
from ftcli.data.images import ImageSet
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.safe_text import counted, listed, quoted

How = Literal["name", "number", "position"]


def correspond(own: tuple[str, ...], others: tuple[str, ...], what: str) -> tuple[np.ndarray, How]:
    """The index of each class of `own` among `others`; `what` says whose the classes of `own` are.

    By name; by value where both sides are whole numbers; by position only where one side is 0 … K - 1, no name of the
    other side is one of these, and both have as many.

    Returns:
        int64 [K of own], -1 for a class without counterpart; and how they were matched: "number" where two spellings
        of one number were.

    Raises:
        RequestError: one side has no names and the other another number of classes, or two of `others` have one name
            that is among `own`.
    """
    if own == others:
        return np.arange(len(own)), "name"
    mine, theirs = as_numbers(own), as_numbers(others)
    if mine is not None and theirs is not None:
        index_of = {value: i for i, value in enumerate(theirs)}
        lookup = np.array([index_of.get(value, -1) for value in mine], dtype=np.int64)
        respelled = any(i >= 0 and others[i] != name for name, i in zip(own, lookup, strict=True))
        return lookup, "number" if respelled else "name"
    if are_names(own) == are_names(others) or set(own) & set(others):
        if (name := repeated(others)) in own:
            raise RequestError(
                f"{what} has the class {quoted(str(name))}, and there are two of that name to match it with",
                "give them different names, in label_names of config.json where they are a checkpoint's",
            )
        index = {name: i for i, name in enumerate(others)}
        return np.array([index.get(name, -1) for name in own], dtype=np.int64), "name"
    if len(own) == len(others):
        return np.arange(len(own)), "position"
    raise RequestError(
        f"{what} has {counted(len(own), 'class', 'classes')}, {listed(own)}; {len(others)} are expected, "
        f"{listed(others)}; one side has no names, and by position they must be as many",
        "write a map and add classes=MAP.json",
    )


def align(images: ImageSet, classes: tuple[str, ...], named: bool, role: str, log: Log) -> ImageSet:
    """The set with its labels as indices into `classes`; examples without a counterpart there dropped and counted.

    Where the SPEC says so, labels are flipped then: y becomes K - 1 - y.

    A set without labels stays as it is.

    Raises:
        RequestError: no example has a counterpart.
    """
    if not images.labelled:
        return images
    lookup = _lookup(images, classes, role, log)
    labels = lookup[images.labels]
    keep = np.flatnonzero(labels >= 0)
    lost = [images.classes[label] for label in np.unique(images.labels[labels < 0])]
    hint = similar_names(lost, classes) or counted_from(images, classes)
    if not len(keep):
        raise RequestError(
            f"{role}: no class of {images.spec} is one of the task's. It has {listed(images.classes)}; the task has "
            + listed(classes),
            hint or "say which is which with classes=MAP.json after the SPEC",
        )
    if lost:
        log.warn(
            "classes-dropped",
            f"{role}: {len(labels) - len(keep)} of {len(labels)} examples of {images.spec} dropped, as the task lacks "
            f"their classes: {listed(lost)}" + (f"; {hint}" if hint else ""),
        )
    aligned = replace(images, labels=labels, classes=classes, named=named, positions=False)
    if lost:
        aligned = replace(aligned.select(keep), dropped=images.dropped + len(labels) - len(keep))
    return aligned.flipped()


def _lookup(images: ImageSet, classes: tuple[str, ...], role: str, log: Log) -> np.ndarray:
    """The index of each of a set's classes among the task's, int64 [K of the set]; warns where it is not by name."""
    what = f"{role}: {images.spec}"
    if images.positions:
        if len(images.classes) > len(classes):
            raise RequestError(
                f"the class map of {what} has the position {len(images.classes) - 1} and the task has "
                + counted(len(classes), "class", "classes"),
                f"use positions 0 … {len(classes) - 1}, and -1 for a class to leave out",
            )
        return np.arange(len(images.classes))
    lookup, how = correspond(images.classes, classes, what)
    if how == "position":
        first = 0 if are_names(images.classes) else images.labels.min()
        log.warn(
            "classes-by-position",
            f"{what} and the task have {len(classes)} classes each and names on one side only; they are matched by "
            "position" + (f"; its numbers begin at {first}: is 0 really {quoted(classes[0])}?" if first else ""),
        )
    if how == "number":
        name, index = next((n, i) for n, i in zip(images.classes, lookup, strict=True) if i >= 0 and classes[i] != n)
        text = f"{what}: classes are matched as numbers, {quoted(name)} is {quoted(classes[index])}"
        log.warn("classes-by-number", text)
    return lookup


def similar_names(own: Sequence[str], task: Sequence[str]) -> str:
    """A hint at names that differ in case, spaces and the like only, and so were not matched; empty without any."""
    alike = {folded(name): name for name in task}
    pairs = [(name, alike.get(folded(name), name)) for name in own]
    texts = [f"{quoted(mine)} and {quoted(theirs)}" for mine, theirs in pairs if mine != theirs]
    some = ", ".join(texts[:3]) + (f" and {len(texts) - 3} more pairs" if len(texts) > 3 else "")
    return f"{some} differ in case or spaces only: say that they are one with classes=MAP.json" if texts else ""


def counted_from(images: ImageSet, classes: Sequence[str]) -> str:
    """A hint where a set numbers as many classes from 1 as the task does from 0, or the reverse; else empty."""
    own, task = as_numbers([images.classes[label] for label in np.unique(images.labels)]), as_numbers(classes)
    if not own or not task or abs(min(own) - min(task)) != 1 or max(own) - max(task) != min(own) - min(task):
        return ""
    return (
        f"its classes are {min(own)} … {max(own)} and the task's {min(task)} … {max(task)}: where both count the same "
        "classes, say so with classes=MAP.json"
    )


def warn_similar_names(labels: np.ndarray, classes: Sequence[str], spec: str, log: Log) -> None:
    """Warn of two classes of one set, with examples, whose names differ in case, spaces and the like only.

    labels: int64 [N].
    """
    alike: dict[str, list[str]] = defaultdict(list)
    counts = np.bincount(labels, minlength=len(classes))
    for name, count in zip(classes, counts, strict=True):
        if count:
            alike[folded(name)].append(f"{quoted(name)} ({count:,})")
    if groups := [names for names in alike.values() if len(names) > 1]:
        some = "; ".join(" and ".join(names[:5]) for names in groups[:3]) + ("; …" if len(groups) > 3 else "")
        log.warn(
            "classes-alike",
            f"{spec}: {sum(map(len, groups))} of its {len(classes)} classes have names that differ in case or spaces "
            f"only, with their examples: {some}. If they are one class, rename them or join them with classes=MAP.json",
        )


def warn_text_order(sets: Mapping[str, ImageSet], classes: Sequence[str], log: Log) -> None:
    """Warn of folders named by more than ten numbers for a head whose rows have no names: programs that sort folders
    as text, as torchvision's ImageFolder does, train the row of "10" before that of "2".
    """
    for role, images in sets.items():
        if images.unit == "file" and len(classes) > 10 and as_numbers(images.classes) is not None:
            log.warn(
                "rows-by-number",
                f"{role}: {images.spec} has folders named by numbers, and the head has {len(classes)} rows without "
                "names: row i is taken for class i. A head that was trained on folders sorted as text (0, 1, 10, 11, "
                "…, 2) has another order: state it as label_names in config.json",
            )
