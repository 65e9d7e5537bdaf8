"""The cut of validation and test from a training set by whole groups: all rows of a site, camera or patient together.

Groups are taken in a seeded order that knows their names only. One is taken where that brings the size of the cut
nearer to its quota without moving the shares of the classes further than that is worth; then groups are added, removed
and exchanged while the size is still off.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np

from ftcli.data.cuts.stratified import seeded_order

QUOTA = 10  # one of so many rows
NEAR = 20  # a size that is off by one of so many parts of its quota is not improved further
MOST_EXCHANGES = 4_000_000  # pairs of a group inside and one outside that are looked at together


def join_groups(groups: np.ndarray, images: Sequence[bytes]) -> tuple[np.ndarray, list[list[str]]]:
    """Groups that hold copies of one image, in however many steps, as one.

    groups: str [N]; images: [N], the same for copies of an image.

    Returns:
        the number of each row's joined group, int64 [N], counted in the order of the names; and the names of those that
        were joined, a list for each joined group of several.
    """
    names, of_row = np.unique(groups, return_inverse=True)
    root = list(range(len(names)))

    def root_of(group: int) -> int:
        while root[group] != group:
            root[group] = root[root[group]]
            group = root[group]
        return group

    first: dict[bytes, int] = {}
    for image, group in zip(images, of_row.tolist(), strict=True):
        one, other = sorted((root_of(first.setdefault(image, group)), root_of(group)))
        root[other] = one
    _, joined = np.unique([root_of(group) for group in range(len(names))], return_inverse=True)
    several = [names[joined == number].tolist() for number in np.flatnonzero(np.bincount(joined) > 1)]
    return joined[of_row], several


def cut_by_group(strata: np.ndarray, groups: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of G groups are cut for validation and which for test, 10 % of N rows each as nearly as whole groups allow.

    strata int64 [N]: the class of each row; groups int64 [N]: 0 … G - 1. Validation is chosen first, so that it does
    not depend on whether test is needed. Of two groups one is cut, for either.

    Returns:
        validation and test: numbers of groups, sorted.
    """
    number = int(groups.max()) + 1
    order = seeded_order(number, seed)
    validation = _choose(strata, groups, order, most=max(1, number - 2))
    left = order[~np.isin(order, validation)]
    test = _choose(strata, groups, left, most=len(left) - 1) if len(left) > 1 else validation
    return np.sort(validation), np.sort(test)


def _choose(strata: np.ndarray, groups: np.ndarray, order: np.ndarray, most: int) -> np.ndarray:
    """At least one and at most `most` of the groups in `order`, whose rows are near a tenth of all N."""
    sizes = np.bincount(groups)
    quota = len(groups) / QUOTA
    taken = _near_in_classes(strata, groups, order, quota, most)
    size = int(sizes[taken].sum())
    for group in order[~np.isin(order, taken)].tolist():
        if len(taken) < most and abs(size + int(sizes[group]) - quota) < abs(size - quota):
            taken.append(group)
            size += int(sizes[group])
    if not taken:  # each alone is too large
        return order[[int(np.argmin(sizes[order]))]]
    return _improved(sizes, np.array(taken), order, quota, most)


def _near_in_classes(strata: np.ndarray, groups: np.ndarray, order: np.ndarray, quota: float, most: int) -> list[int]:
    """The groups, in their order, each of which lowers |n - quota| + Σ |n of a class - its quota|, n rows taken: first
    those of which nearly all rows count for their classes too, then those of which half do, then the others.
    """
    classes = int(strata.max()) + 1
    pairs, counts = np.unique(groups * classes + strata, return_counts=True)
    begins = np.searchsorted(pairs // classes, np.arange(int(groups.max()) + 2))
    over = -np.bincount(strata, minlength=classes) / QUOTA  # of each class: rows taken minus its quota
    taken: dict[int, None] = {}
    total = -quota
    for least, group in product((1.9, 1.0, 0.0), order.tolist()):
        if len(taken) == most or total >= 0:
            break
        if group in taken:
            continue
        its, more = pairs[begins[group] : begins[group + 1]] % classes, counts[begins[group] : begins[group + 1]]
        n = int(more.sum())
        if abs(total + n) - abs(total) + (np.abs(over[its] + more) - np.abs(over[its])).sum() < -least * n:
            over[its] += more
            total += n
            taken[group] = None
    return list(taken)


def _improved(sizes: np.ndarray, taken: np.ndarray, order: np.ndarray, quota: float, most: int) -> np.ndarray:
    """The groups that are taken, one added, removed or exchanged at a time while that brings their size nearer."""
    while abs(off := float(sizes[taken].sum()) - quota) > quota / NEAR:
        outside = order[~np.isin(order, taken)]
        moves: list[tuple[float, np.ndarray]] = []  # how far off afterwards, and what is taken then
        if len(taken) < most:
            after = np.abs(off + sizes[outside])
            moves.append((float(after.min()), np.append(taken, outside[after.argmin()])))
        if len(taken) > 1:
            after = np.abs(off - sizes[taken])
            moves.append((float(after.min()), np.delete(taken, after.argmin())))
        if len(taken) * len(outside) <= MOST_EXCHANGES:
            pairs = np.abs(off + sizes[outside][None, :] - sizes[taken][:, None])
            i, j = np.unravel_index(int(pairs.argmin()), pairs.shape)
            moves.append((float(pairs.min()), np.append(np.delete(taken, i), outside[j])))
        changed = min(moves, key=lambda move: move[0], default=(0.0, taken))[1]
        # The estimates differ by rounding, by which groups of one size would be exchanged without end.
        if abs(float(sizes[changed].sum()) - quota) >= abs(off):
            break
        taken = changed
    return taken
