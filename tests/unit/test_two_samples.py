"""The two-sample test of blocks: its level where nothing differs, its power where something does, its parts alone."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from ftcli.explain.advise import two_samples as test


def features(n: int, shift: float, rng: np.random.Generator, blocks: int = 3, D: int = 80) -> dict[str, np.ndarray]:
    """Blocks that are much correlated with each other; `shift` of the later ones."""
    base = rng.normal(size=(n, D))
    return {str(i): base + 0.3 * rng.normal(size=(n, D)) + shift * (i > 0) for i in range(blocks)}


def test_the_level() -> None:
    """Of 120 tests without a shift about one in twenty has p ≤ 0.05: the largest over the blocks, and n ≪ D."""
    rng = np.random.default_rng(0)
    smallest = []
    for seed in range(120):
        found = test.compare_blocks(features(40, 0, rng), features(40, 0, rng), permutations=39, seed=seed)
        assert found is not None
        smallest.append(min(found.p.values()))
    assert 0.005 <= np.mean(np.array(smallest) <= 0.05) <= 0.11 and 0.4 < np.mean(smallest) < 0.75


def test_the_onset_is_found() -> None:
    rng = np.random.default_rng(1)
    found = test.compare_blocks(features(120, 0, rng), features(150, 0.4, rng))
    assert found is not None and found.n == 120 and found.kept == 1
    assert found.p["0"] > 0.05 and found.p["1"] <= 0.01 and found.p["2"] <= 0.01
    assert found.auc["0"] < 0.65 < 0.8 < found.auc["1"]


def test_strata_take_out_their_shares() -> None:
    """A label shift makes features differ; with equally many of each class they do not."""
    rng = np.random.default_rng(2)
    means = rng.normal(size=(3, 20)) * 2
    of_source, of_target = rng.choice(3, 300, p=[0.6, 0.2, 0.2]), rng.choice(3, 300, p=[0.2, 0.2, 0.6])
    source, target = ({"b": means[labels] + rng.normal(size=(300, 20))} for labels in (of_source, of_target))
    plain, matched, within = (
        test.compare_blocks(source, target, strata, within=inside)
        for strata, inside in ((None, False), ((of_source, of_target), False), ((of_source, of_target), True))
    )
    assert plain is not None and matched is not None and within is not None
    assert plain.p["b"] <= 0.01 and matched.p["b"] > 0.05 and within.p["b"] > 0.05
    assert matched.n == sum(min((of_source == k).sum(), (of_target == k).sum()) for k in range(3))
    assert matched.kept == pytest.approx(matched.n / 300)


def test_labels_that_change_places_are_seen_within_classes_alone() -> None:
    """As flipped labels do: the images are the same, and each class holds those of another."""
    rng = np.random.default_rng(3)
    means = np.array([[3.0, 0.0], [-3.0, 0.0]])
    of_source, of_target = rng.integers(2, size=200), rng.integers(2, size=200)
    source = {"b": means[of_source] + rng.normal(size=(200, 2))}
    target = {"b": means[1 - of_target] + rng.normal(size=(200, 2))}
    strata = of_source, of_target
    plain, within = test.compare_blocks(source, target), test.compare_blocks(source, target, strata, within=True)
    assert plain is not None and within is not None
    assert plain.p["b"] > 0.01 and within.p["b"] <= 0.01 and within.auc["b"] > 0.95


def test_too_few_are_not_compared() -> None:
    rng = np.random.default_rng(4)
    assert test.compare_blocks(features(9, 0, rng), features(9, 3, rng)) is None
    few = np.zeros(30, np.int64), np.ones(30, np.int64)
    assert test.compare_blocks(features(30, 0, rng), features(30, 0, rng), few) is None


def test_small_strata_share_a_group() -> None:
    strata = np.repeat([0, 1, 2], [30, 8, 20])
    assert np.array_equal(test.grouped(strata), np.repeat([0, -1, 2], [30, 8, 20]))


def test_memberships_are_permuted_within_strata() -> None:
    rng = np.random.default_rng(5)
    strata, members = np.repeat([0, 1], [10, 20]), np.arange(30) % 2 == 0
    permuted = test.permuted_memberships(members, strata, 50, rng)
    assert np.array_equal(permuted[:, 0], members)
    assert (permuted[:10].sum(axis=0) == 5).all() and (permuted[10:].sum(axis=0) == 10).all()
    assert len({tuple(column) for column in permuted.T}) > 45


def test_the_regression_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(6)
    X = rng.normal(size=(120, 5))
    y = (X[:, 0] + 0.5 * rng.normal(size=120)) > 0
    W = test.logistic_weights(np.column_stack([X, np.ones(120)]), np.column_stack([y, ~y]))
    plain = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(X, y)
    scores = X @ W[:5, 0] + W[5, 0]
    assert np.corrcoef(scores, plain.decision_function(X))[0, 1] > 0.999
    assert W[:, 0] == pytest.approx(-W[:, 1], abs=1e-9)


def test_areas_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(7)
    scores, members = rng.integers(5, size=(40, 6)).astype(float), rng.random((40, 6)) < 0.4
    found, pairs = test.areas(scores, members)
    for i in range(6):
        assert found[i] == pytest.approx(roc_auc_score(members[:, i], scores[:, i]))
        assert pairs[i] == members[:, i].sum() * (~members[:, i]).sum()
    assert test.areas(scores, np.ones((40, 6), bool))[0].tolist() == [0.5] * 6


def test_projections_are_fitted_to_training_rows() -> None:
    """Test rows change nothing of the training rows; a constant feature is left out."""
    rng = np.random.default_rng(8)
    X = rng.normal(size=(60, 90))
    X[:, 3] = 7.0
    train = np.arange(60) < 50
    other = X.copy()
    other[~train] *= 100
    first, second = test.projected(X, train), test.projected(other, train)
    assert np.allclose(np.abs(first[0]), np.abs(second[0])) and first[0].shape == (50, 11)  # 50 // 5 and the ones
    assert np.isfinite(first[1]).all()
