"""Overlap: the same image, by its decoded pixels, in two sets of a run or many times in one."""

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from itertools import combinations
from math import sqrt

from ftcli.data.images import ImageSet
from ftcli.log import Log
from ftcli.safe_text import quoted

WIDER = 1.1  # of an interval: copies that would make it wider by less are not worth a warning


def shared(a: ImageSet, b: ImageSet) -> list[tuple[str, str]]:
    """Example ids (in a, in b) of every image of `a` that `b` holds too, in the order of `a`."""
    ids = {image: id for image, id in zip(reversed(b.pixel_digests), reversed(b.ids), strict=True)}
    return [(id, ids[image]) for image, id in zip(a.pixel_digests, a.ids, strict=True) if image in ids]


def warn_repeated(identical: Mapping[str, ImageSet], outside: Mapping[str, ImageSet], log: Log) -> None:
    """Warn of every pair of an OOD set and another set of the run that share images, and of every reported set that
    holds copies. identical: train, id_val, id_test, as far as they are there. A set without labels is not reported.

    An image that was trained on or selected on stays that image under any shift. ID-test under a shift is what a
    shift is measured on, and so is one set under several: those pairs count only where both are seen alike.
    """
    for role in ("train", "id_val"):
        if role in identical:
            digests = frozenset(identical[role].pixel_digests)
            for name, images in outside.items():
                if not digests.isdisjoint(images.pixel_digests):
                    _warn_overlap(name, images, role, identical[role], log)
    reported = {role: images for role, images in identical.items() if role == "id_test"} | dict(outside)
    reported = {name: images for name, images in reported.items() if images.labelled}
    for first, second in _overlapping({name: frozenset(_as_seen(images)) for name, images in reported.items()}):
        _warn_overlap(second, reported[second], first, reported[first], log)
    for name, images in (dict(identical) | dict(outside)).items():
        _warn_two_classes(name, images, log)
        if name in reported or name == "id_val":
            _warn_copies(name, images, log)


def _as_seen(images: ImageSet) -> Iterator[Hashable]:
    view = (images.shift, images.shuffle, images.relabelled)
    return ((image, *view) for image in images.pixel_digests)


def _overlapping(sets: Mapping[str, frozenset[Hashable]]) -> list[tuple[str, str]]:
    """The pairs of sets that have an image in common, in order; pairs that have none take no time."""
    sets_with: dict[Hashable, list[str]] = {}
    for name, images in sets.items():
        for image in images:
            sets_with.setdefault(image, []).append(name)
    together = {tuple(names) for names in sets_with.values() if len(names) > 1}
    position = {name: i for i, name in enumerate(sets)}
    pairs = {pair for names in together for pair in combinations(names, 2)}
    return sorted(pairs, key=lambda pair: (position[pair[0]], position[pair[1]]))


def _warn_overlap(name: str, images: ImageSet, other: str, others: ImageSet, log: Log) -> None:
    """The warning about one OOD set and one other set."""
    pairs = shared(images, others)
    what = "figures" if images.labelled else "predictions"
    means = {
        "train": f"its {what} are partly those of images that were trained on",
        "id_val": "they take part in the selection, which an OOD set must not",
        "id_test": "as far as they go, its figures are those of ID-test and say nothing about a shift",
    }.get(other, "the mean over OOD sets counts them twice")
    log.warn(
        "overlap",
        f"{len(pairs)} of {len(images)} images of {quoted(name)} (OOD) are in {other} too, the first "
        f"{quoted(pairs[0][0])}, which is {quoted(pairs[0][1])} there: {means}",
    )


def _warn_copies(name: str, images: ImageSet, log: Log) -> None:
    """Warn where a reported set of N examples holds an image so often that intervals which take them for
    independent are too narrow. m copies of an image count as one: Σm²/N is by how much the variance of a mean is too
    small then (Kish 1965).
    """
    counts = Counter(images.pixel_digests)
    wider = sqrt(sum(m * m for m in counts.values()) / len(images))
    if wider >= WIDER:
        log.warn(
            "copies",
            f"{name}: {len(images)} examples are {len(counts)} different images, one of them {max(counts.values())} "
            f"times; every copy counts in its figures, and its intervals are about {wider:.1f} times too narrow",
        )


def _warn_two_classes(name: str, images: ImageSet, log: Log) -> None:
    """Warn where one image stands in a set under several classes: one of its labels is wrong."""
    if not images.labelled:
        return
    first: dict[bytes, int] = {}
    pairs = [
        (first[image], i)
        for i, image in enumerate(images.pixel_digests)
        if images.labels[first.setdefault(image, i)] != images.labels[i]
    ]
    if pairs:
        a, b = pairs[0]
        both = " and ".join(f"{quoted(images.ids[i])} ({quoted(images.classes[images.labels[i]])})" for i in (a, b))
        log.warn(
            "two-classes",
            f"{name}: {len(pairs)} of {len(images)} examples are copies of an image that has another class, the first "
            f"{both}: one of the two labels is wrong",
        )
