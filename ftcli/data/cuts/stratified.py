"""Seeded, stratified choices of rows: limit, per-class, and the cut of validation and test from a training set.

Every choice follows one seeded order of the rows, which knows nothing of classes, and strata are ranked by class NAME:
renumbering the classes changes no choice.
"""

import numpy as np


def seeded_order(n: int, seed: int) -> np.ndarray:
    """A permutation of 0 … n - 1, int64 [n].

    Sorted raw draws of PCG64: NumPy promises the bit stream for ever, and not what `permutation` makes of it.
    """
    return np.argsort(np.random.PCG64(seed).random_raw(n), kind="stable")


def strata(labels: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """The rank of each row's class name among the sorted names, int64 [N]."""
    rank = np.empty(len(classes), dtype=np.int64)
    rank[np.array(sorted(range(len(classes)), key=classes.__getitem__), dtype=np.int64)] = np.arange(len(classes))
    return rank[labels]


def allocate(counts: np.ndarray, total: int, *, at_least_one: bool = False) -> np.ndarray:
    """Share `total` over strata in proportion to `counts` by largest remainder; ties go to the earlier stratum.

    With `at_least_one`, and a total that allows it, a stratum that has rows but got none takes one from the largest
    share. Returns int64 [strata], summing to min(total, counts.sum()).
    """
    counts = np.asarray(counts, dtype=np.int64)
    rows = int(counts.sum())
    if total >= rows:
        return counts.copy()
    share, remainder = np.divmod(counts * total, rows)
    share[np.argsort(-remainder, kind="stable")[: total - int(share.sum())]] += 1
    if at_least_one and total >= np.count_nonzero(counts):
        for empty in np.flatnonzero((share == 0) & (counts > 0)):
            share[np.argmax(share)] -= 1
            share[empty] = 1
    return share


def limit(strata: np.ndarray, n: int, seed: int) -> np.ndarray:
    """At most n rows, stratified, at least one per class when n allows it: sorted indices."""
    return _first_of_each(strata, allocate(np.bincount(strata), n, at_least_one=True), seed)


def per_class(strata: np.ndarray, n: int, seed: int, skip: int = 0) -> np.ndarray:
    """At most n rows of each class, behind the first `skip` of its seeded order: sorted indices."""
    return _first_of_each(strata, np.clip(np.bincount(strata) - skip, 0, n), seed, skip)


def half(strata: np.ndarray, seed: int) -> np.ndarray:
    """Half of the rows of each stratum, rounded down: sorted indices."""
    return _first_of_each(strata, np.bincount(strata) // 2, seed)


def _first_of_each(strata: np.ndarray, take: np.ndarray, seed: int, skip: int = 0) -> np.ndarray:
    """Rows skip … skip + take[s] - 1 of every stratum s in the seeded order: sorted indices."""
    order = seeded_order(len(strata), seed)
    order = order[np.argsort(strata[order], kind="stable")]  # stratum after stratum, each in the seeded order
    sizes = np.bincount(strata, minlength=len(take))
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # within its stratum
    return np.sort(order[(rank >= skip) & (rank < skip + np.repeat(take, sizes))])


def cut(strata: np.ndarray, digests: list[bytes], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut 10 % for validation and 10 % for test from N rows, stratified; equal images stay together.

    Both are always cut, so that neither depends on whether the other is needed.

    Returns:
        train, validation and test: sorted indices, a partition of the rows.
    """
    order = seeded_order(len(strata), seed)
    # A unit is all copies of one image; it counts in the stratum of its first copy.
    images = np.array([digest.hex() for digest in digests])
    _, first, unit_of, sizes = np.unique(images[order], return_index=True, return_inverse=True, return_counts=True)
    by_order = np.argsort(first, kind="stable")
    unit_strata = strata[order][first]
    counts = np.bincount(strata)
    quota = allocate(counts, (len(strata) + 5) // 10)
    role_of = np.zeros(len(sizes), dtype=np.int64)  # of each unit: 0 train, 1 validation, 2 test
    over = {2: 0, 1: 0}
    for stratum in np.flatnonzero(quota):
        left = {2: int(quota[stratum]), 1: int(quota[stratum])}
        _fill(role_of, sizes, by_order[unit_strata[by_order] == stratum], left)
        over = {role: over[role] + left[role] for role in over}
    _fill(role_of, sizes, by_order[role_of[by_order] == 0], over)  # copies too many for the share of their class
    role_of_row = np.empty(len(strata), dtype=np.int64)
    role_of_row[order] = role_of[unit_of]
    return np.flatnonzero(role_of_row == 0), np.flatnonzero(role_of_row == 1), np.flatnonzero(role_of_row == 2)


def _fill(role_of: np.ndarray, sizes: np.ndarray, units: np.ndarray, left: dict[int, int]) -> None:
    """Give units, in turn, to the first role whose count in `left` has room for them, until none has any."""
    for unit in units:
        if not any(left.values()):
            return
        for role, room in left.items():
            if sizes[unit] <= room:
                role_of[unit] = role
                left[role] -= int(sizes[unit])
                break
