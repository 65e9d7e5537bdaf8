"""Overlap: the same picture in two sets of a run, or many times in one. Pictures are told by their decoded pixels."""

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from itertools import combinations
from math import sqrt

from ftcli.data.images import ImageSet
from ftcli.log import Log
from ftcli.text import quoted

TRAINED, PICKED = "train", "id_val"
WIDER = 1.1  # of an interval: copies that would make it wider by less are not worth a warning


def shared(a: ImageSet, b: ImageSet) -> list[tuple[str, str]]:
    """Example ids (in a, in b) of every picture of `a` that `b` holds too, in the order of `a`."""
    where = {picture: id for picture, id in zip(reversed(b.pixel_digests), reversed(b.ids), strict=True)}
    return [(id, where[picture]) for picture, id in zip(a.pixel_digests, a.ids, strict=True) if picture in where]


def warn_repeated(identical: Mapping[str, ImageSet], outside: Mapping[str, ImageSet], log: Log) -> None:
    """Says of every pair of an OOD set and another set of the run that they share pictures, and of every set that is
    reported that it holds copies. identical: train, id_val, id_test, as far as they are there.

    A picture that was trained on or selected on stays that picture under any shift. ID-test under a shift is what a
    shift is measured on, and so is one set under several: those pairs count only where both are seen alike.
    """
    for role in (TRAINED, PICKED):
        if role in identical:
            held = frozenset(identical[role].pixel_digests)
            for name, images in outside.items():
                if not held.isdisjoint(images.pixel_digests):
                    _say(name, images, role, identical[role], log)
    reported = {role: images for role, images in identical.items() if role == "id_test"} | dict(outside)
    for one, two in _meeting({name: frozenset(_as_seen(images)) for name, images in reported.items()}):
        _say(two, reported[two], one, reported[one], log)
    for name, images in (dict(identical) | dict(outside)).items():
        _warn_two_classes(name, images, log)
        if name != TRAINED:
            _warn_copies(name, images, log)


def _as_seen(images: ImageSet) -> Iterator[Hashable]:
    view = (images.shift, images.shuffle, images.relabelled)
    return ((picture, *view) for picture in images.pixel_digests)


def _meeting(sets: Mapping[str, frozenset[Hashable]]) -> list[tuple[str, str]]:
    """The pairs of sets that have something in common, in order; sets that have nothing cost no time for each other."""
    holders: dict[Hashable, list[str]] = {}
    for name, held in sets.items():
        for picture in held:
            holders.setdefault(picture, []).append(name)
    together = {tuple(names) for names in holders.values() if len(names) > 1}
    place = {name: i for i, name in enumerate(sets)}
    found = {pair for names in together for pair in combinations(names, 2)}
    return sorted(found, key=lambda pair: (place[pair[0]], place[pair[1]]))


def _say(name: str, images: ImageSet, other: str, others: ImageSet, log: Log) -> None:
    """The warning about one OOD set and one other set."""
    pairs = shared(images, others)
    means = {
        TRAINED: "its figures are partly those of pictures that were trained on",
        PICKED: "they take part in the selection, which an OOD set must not",
        "id_test": "as far as they go, its figures are those of ID-test and say nothing about a shift",
    }.get(other, "the mean over OOD sets counts them twice")
    log.warn(
        "overlap",
        f"{len(pairs)} of {len(images)} pictures of {quoted(name)} (OOD) are in {other} too, the first "
        f"{quoted(pairs[0][0])}, which is {quoted(pairs[0][1])} there: {means}",
    )


def _warn_copies(name: str, images: ImageSet, log: Log) -> None:
    """Says so where a reported set of N examples holds a picture so often that intervals which take them for
    independent are too narrow. m copies of a picture count as one: Σm²/N is by how much the variance of a mean is too
    small then (Kish 1965).
    """
    counts = Counter(images.pixel_digests)
    wider = sqrt(sum(m * m for m in counts.values()) / len(images))
    if wider >= WIDER:
        log.warn(
            "copies",
            f"{name}: {len(images)} examples are {len(counts)} different pictures, one of them {max(counts.values())} "
            f"times; every copy counts in its figures, and its intervals are about {wider:.1f} times too narrow",
        )


def _warn_two_classes(name: str, images: ImageSet, log: Log) -> None:
    """Says so where one picture stands in a set under several classes: one of its labels is wrong."""
    if images.labels is None:
        return
    first: dict[bytes, int] = {}
    pairs = [
        (first[picture], i)
        for i, picture in enumerate(images.pixel_digests)
        if images.labels[first.setdefault(picture, i)] != images.labels[i]
    ]
    if pairs:
        a, b = pairs[0]
        told = " and ".join(f"{quoted(images.ids[i])} ({quoted(images.classes[images.labels[i]])})" for i in (a, b))
        log.warn(
            "two-classes",
            f"{name}: {len(pairs)} of {len(images)} examples are copies of a picture that has another class, the first "
            f"{told}: one of the two labels is wrong",
        )
