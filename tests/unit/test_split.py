"""Seeded choices of rows: shares against exact fractions, partitions, and independence of class numbers."""

from fractions import Fraction

import numpy as np
import pytest

from ftcli.data.cuts import stratified as split

LABELS = np.random.RandomState(0).choice(5, size=400, p=[0.5, 0.25, 0.15, 0.08, 0.02])
UNIQUE = [i.to_bytes(4, "big") for i in range(400)]


def test_seeded_order_is_a_permutation_fixed_for_ever() -> None:
    assert sorted(split.seeded_order(100, 3)) == list(range(100))
    assert split.seeded_order(8, 0).tolist() == [3, 2, 1, 6, 0, 7, 4, 5]  # PCG64 as published
    assert not np.array_equal(split.seeded_order(100, 3), split.seeded_order(100, 4))


@pytest.mark.parametrize("total", [1, 7, 40, 399])
def test_allocate_is_the_largest_remainder(total: int) -> None:
    counts = np.bincount(LABELS)
    exact = [Fraction(int(count) * total, int(counts.sum())) for count in counts]
    expected = [int(share) for share in exact]
    by_rest = sorted(range(5), key=lambda k: (-(exact[k] - int(exact[k])), k))
    for k in by_rest[: total - sum(expected)]:
        expected[k] += 1
    assert split.allocate(counts, total).tolist() == expected


def test_at_least_one_per_class() -> None:
    counts = np.array([1000, 500, 1, 0, 2])
    share = split.allocate(counts, 4, at_least_one=True)
    assert share.sum() == 4 and (share[counts > 0] >= 1).all() and share[3] == 0
    assert split.allocate(counts, 3, at_least_one=True).tolist() == [2, 1, 0, 0, 0]  # fewer than classes: no promise


def test_limit_keeps_order_shares_and_grows() -> None:
    chosen = split.limit(LABELS, 60, seed=1)
    assert len(chosen) == 60 and (np.diff(chosen) > 0).all()
    assert np.bincount(LABELS[chosen], minlength=5).tolist() == split.allocate(np.bincount(LABELS), 60).tolist()
    assert not np.array_equal(chosen, split.limit(LABELS, 60, seed=2))
    assert split.limit(LABELS, 4000, seed=1).tolist() == list(range(400))


def test_per_class_behind_others() -> None:
    """Sets drawn one behind the other share no row, and are what one draw of all has."""
    first, second = split.per_class(LABELS, 3, 7), split.per_class(LABELS, 2, 7, 3)
    both = split.per_class(LABELS, 5, 7)
    assert not {*first} & {*second} and sorted([*first, *second]) == both.tolist()
    assert len(split.per_class(LABELS, 5, 7, len(LABELS))) == 0


def test_per_class() -> None:
    chosen = split.per_class(LABELS, 10, seed=0)
    counts = np.bincount(LABELS, minlength=5)
    assert np.bincount(LABELS[chosen], minlength=5).tolist() == np.minimum(counts, 10).tolist()


def test_renumbered_classes_change_no_choice() -> None:
    names = ("dog", "ant", "eel", "bat", "cat")
    permutation = np.array([3, 0, 4, 2, 1])  # new index of old class
    renamed = [""] * 5
    for old, new in enumerate(permutation):
        renamed[new] = names[old]
    one, two = split.strata(LABELS, names), split.strata(permutation[LABELS], tuple(renamed))
    assert np.array_equal(one, two)
    assert one[LABELS == 1].max() == 0  # "ant" is the first name


def test_cut_is_a_stratified_partition() -> None:
    train, val, test = split.cut(LABELS, UNIQUE, seed=0)
    assert sorted([*train, *val, *test]) == list(range(400))
    quota = split.allocate(np.bincount(LABELS), 40).tolist()
    assert np.bincount(LABELS[val], minlength=5).tolist() == quota
    assert np.bincount(LABELS[test], minlength=5).tolist() == quota
    assert not np.array_equal(val, split.cut(LABELS, UNIQUE, seed=1)[1])


def test_cut_keeps_copies_together() -> None:
    digests = [UNIQUE[i // 3] for i in range(400)]  # three copies of every picture
    parts = split.cut(LABELS, digests, seed=0)
    held = [{digests[i] for i in part} for part in parts]
    assert not (held[0] & held[1] or held[0] & held[2] or held[1] & held[2])
    assert sorted(np.concatenate(parts)) == list(range(400))
    assert 25 <= len(parts[1]) <= 40 and 25 <= len(parts[2]) <= 40


def test_cut_of_copies_only_leaves_nothing_to_cut() -> None:
    train, val, test = split.cut(np.zeros(20, dtype=np.int64), [b"same"] * 20, seed=0)
    assert len(train) == 20 and not len(val) and not len(test)
