"""The scores of `ftcli rank`: cases worked out by hand, what must not change them, and where they have no value."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf

from ftcli.explain.rank import logme as logme_module
from ftcli.explain.rank.class_separation import gbc, h_score, transrate
from ftcli.explain.rank.components import Components, standardised
from ftcli.explain.rank.held_out import FOLDS, folds_of, held_out_logits, probe_folds
from ftcli.explain.rank.leep import cluster_posterior, leep
from ftcli.explain.rank.logme import logme
from ftcli.explain.rank.nearest import knn_accuracy
from ftcli.explain.rank.undefined import UndefinedScore
from tests.helpers.plain_shift import scores

CLASSES = ("a", "b", "c")


def world(n: int = 60, D: int = 5, seed: int = 0, apart: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Features [n, D] of three Gaussian classes, and their labels [n]."""
    draws = np.random.default_rng(seed)
    labels = draws.integers(0, 3, n)
    features = draws.normal(size=(n, D)) + apart * draws.normal(size=(3, D))[labels]
    return standardised(features), labels


def nleep(features: np.ndarray, labels: np.ndarray) -> float:
    return leep(cluster_posterior(Components(features), 3, 0), labels)


ALL: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "logme": logme,
    "gbc": gbc,
    "h_score": lambda features, labels: h_score(Components(features), labels),
    "transrate": lambda features, labels: transrate(Components(features), labels),
    "knn": lambda features, labels: knn_accuracy(features, labels, np.arange(len(labels))),
}


@pytest.mark.parametrize("shape", [(60, 5), (30, 40)], ids=["N>D", "N<D"])
def test_logme_is_the_evidence_of_the_regression(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """At its fixed point it is the log density of the targets under N(0, I/β + FFᵀ/α), which knows no rank: in 40
    dimensions the features are 5 directions, turned.
    """
    monkeypatch.setattr(logme_module, "ROUNDS", 100_000)
    monkeypatch.setattr(logme_module, "SETTLED", 1e-13)
    monkeypatch.setattr(logme_module, "SMALL", 0.0)
    N, D = shape
    features, labels = world(N, 5, seed=3, apart=1.0)
    features = features @ np.linalg.qr(np.random.default_rng(0).normal(size=(D, D)))[0][:5]
    expected = []
    for label in range(3):
        target = (labels == label).astype(float)
        alpha = beta = 1.0
        for _ in range(20_000):
            A = alpha * np.eye(D) + beta * features.T @ features
            mean = beta * np.linalg.solve(A, features.T @ target)
            gamma = D - alpha * np.trace(np.linalg.inv(A))
            alpha, before = gamma / (mean @ mean), alpha / beta
            beta = (N - gamma) / ((target - features @ mean) @ (target - features @ mean))
            if abs(alpha / beta - before) < 1e-12 * before:
                break
        covariance = np.eye(N) / beta + features @ features.T / alpha
        expected.append(multivariate_normal(np.zeros(N), covariance).logpdf(target) / N)
    assert logme(features, labels) == pytest.approx(np.mean(expected), abs=1e-6)


def test_logme_does_not_grow_with_directions_that_hold_nothing() -> None:
    features, labels = world()
    wide = np.hstack([features, np.zeros((len(labels), 200))])
    assert logme(wide, labels) == pytest.approx(logme(features, labels), abs=1e-10)


def test_leep_by_hand() -> None:
    labels = np.array([0, 0, 1, 1])
    assert leep(np.eye(2)[labels], labels) == 0.0
    assert leep(np.full((4, 3), 1 / 3), labels) == pytest.approx(np.log(0.5))
    never = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])  # a class of the head that never occurs
    assert leep(never, np.array([0, 0, 0, 1])) == pytest.approx((3 * np.log(0.75) + np.log(0.25)) / 4)
    soft = np.array([[0.8, 0.2], [0.4, 0.6]])  # P(y|z): [2/3, 1/3] of z = 0, [1/4, 3/4] of z = 1
    expected = (np.log(0.8 * 2 / 3 + 0.2 / 4) + np.log(0.4 / 3 + 0.6 * 3 / 4)) / 2
    assert leep(soft, np.array([0, 1])) == pytest.approx(expected, abs=1e-12)


def test_gbc_by_hand() -> None:
    """Two classes in two dimensions, means 3 apart, variances 1 and 4: B = 9/(8·2.5) + ln 2.5 - ½(ln 1 + ln 4)."""
    features = np.array([[-1, -1], [1, 1], [-1, 1], [1, -1], [1, -2], [5, 2], [1, 2], [5, -2]], dtype=float)
    labels = np.repeat([0, 1], 4)
    B = 9 / (8 * 2.5) + np.log(2.5) - np.log(4) / 2
    assert gbc(features, labels) == pytest.approx(-2 * np.exp(-B), abs=1e-12)


def test_gbc_has_a_least_variance() -> None:
    features = np.array([[0.0], [0.0], [0.1], [0.1]])
    assert gbc(features, np.array([0, 0, 1, 1])) == pytest.approx(-2 * np.exp(-0.01 / (8 * 1e-4)), abs=1e-12)


def test_h_score_is_that_of_the_whole_matrices() -> None:
    for n, D in ((60, 5), (20, 40)):
        features, labels = world(n, D)
        estimate = LedoitWolf().fit(features)
        means = np.stack([features[labels == label].mean(axis=0) for label in labels])
        inverse = np.linalg.pinv(estimate.covariance_, rcond=1e-15)
        expected = np.trace(inverse @ ((1 - estimate.shrinkage_) * np.cov(means, rowvar=False)))
        assert h_score(Components(features), labels) == pytest.approx(expected, abs=1e-10)


def test_transrate_by_hand() -> None:
    """One feature, ±2 and ±1 by class: variance 2.5 of all, 4 of the first half, 1 of the second."""
    features, labels = np.array([[2.0], [-2.0], [1.0], [-1.0]]), np.array([0, 0, 1, 1])
    expected = (np.log(1 + 2.5e4) - (np.log(1 + 4e4) + np.log(1 + 1e4)) / 2) / 2
    assert transrate(Components(features), labels) == pytest.approx(expected, abs=1e-12)


def test_transrate_weighs_classes_by_their_examples() -> None:
    features, labels = np.array([[3.0], [-1.0], [-1.0], [-1.0]]), np.array([0, 1, 1, 1])
    expected = (np.log(1 + 3e4) - (np.log(1 + 9e4) + 3 * np.log(1 + 1e4)) / 4) / 2
    assert transrate(Components(features), labels) == pytest.approx(expected, abs=1e-12)


def test_neighbours_by_hand() -> None:
    """By angle, not by distance; most votes; of equal votes the more similar class; no neighbour in the own fold."""
    angles = np.deg2rad([0, 10, 20, 90, 100])
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.array([[1], [50], [1], [9], [1]])
    labels, each = np.array([0, 0, 0, 1, 1]), np.arange(5)
    assert knn_accuracy(features, labels, each, k=1) == 1.0
    assert knn_accuracy(features, labels, each, k=3) == 0.6  # the two of class 1 are outvoted
    assert knn_accuracy(features, labels, each, k=2) == 1.0  # a tie of one vote each: the nearer decides
    assert knn_accuracy(features, labels, np.array([0, 1, 2, 3, 3]), k=1) == 0.6
    assert knn_accuracy(np.zeros((4, 2)), np.array([0, 0, 1, 1]), np.arange(4), k=3) == 0.0


@pytest.mark.parametrize("name", ALL)
def test_rows_and_class_numbers_do_not_matter(name: str) -> None:
    features, labels = world()
    order = np.random.default_rng(1).permutation(len(labels))
    score = ALL[name]
    assert score(features[order], labels[order]) == pytest.approx(score(features, labels), abs=1e-9)
    assert score(features, np.array([2, 0, 1])[labels]) == pytest.approx(score(features, labels), abs=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_classes_that_lie_apart_score_higher(name: str) -> None:
    near, far = ((world(apart=apart)) for apart in (0.2, 3.0))
    assert ALL[name](*far) > ALL[name](*near)


def test_nleep_is_seeded_and_higher_where_classes_lie_apart() -> None:
    near, far = ((world(apart=apart)) for apart in (0.2, 3.0))
    assert nleep(*far) == nleep(*far) > nleep(*near)


def test_clusters_are_not_more_than_a_fifth_of_the_examples() -> None:
    features, _ = world(n=60)
    assert cluster_posterior(Components(features), 3, 0).shape == (60, 12)
    assert cluster_posterior(Components(features), 2, 0).shape == (60, 10)


@pytest.mark.parametrize("name", ["logme", "gbc", "h_score", "transrate"])
def test_one_class_has_no_score(name: str) -> None:
    features, labels = world()
    with pytest.raises(UndefinedScore, match="one class"):
        ALL[name](features, np.zeros_like(labels))


def test_scores_without_a_value() -> None:
    features, _ = world()
    with pytest.raises(UndefinedScore, match="one example"):
        gbc(features[:3], np.array([0, 0, 1]))
    with pytest.raises(UndefinedScore, match="one class"):
        leep(np.ones((4, 1)), np.zeros(4, dtype=int))
    with pytest.raises(UndefinedScore, match="the same for every image"):
        standardised(np.ones((4, 2)))
    with pytest.raises(UndefinedScore, match="finite"):
        standardised(np.array([[1.0, np.nan]]))


def test_folds_keep_copies_together_and_know_no_order() -> None:
    labels = np.repeat([0, 1, 2], [25, 20, 15])
    images = [bytes([i // 2]) for i in range(60)]  # every image twice
    folds = folds_of(labels, CLASSES, images, seed=0)
    assert all(folds[i] == folds[i + 1] for i in range(0, 60, 2))
    counts = np.array([np.bincount(folds[labels == label], minlength=FOLDS) for label in range(3)])
    assert (np.ptp(counts, axis=1) <= 2).all() and np.ptp(np.bincount(folds)) <= 2
    order = np.random.default_rng(0).permutation(60)
    assert (folds_of(labels[order], CLASSES, [images[i] for i in order], 0) == folds[order]).all()
    turned = folds_of(np.array([2, 0, 1])[labels], ("b", "c", "a"), images, 0)
    assert (turned == folds).all()
    assert (folds_of(labels, CLASSES, images, 1) != folds).any()


def test_the_probe_of_a_fold_has_not_seen_it() -> None:
    """Labels of chance, and more features than images: a probe that has seen them would be right on all."""
    draws = np.random.default_rng(0)
    features, labels = torch.from_numpy(draws.normal(size=(90, 200))).float(), draws.integers(0, 3, 90)
    folds = folds_of(labels, CLASSES, [i.to_bytes(2) for i in range(90)], 0)
    found = probe_folds(features, labels, 3, folds)
    assert (found.logits.argmax(dim=1).numpy() == labels).mean() < 0.55
    alone = held_out_logits(features, labels, 3, folds, found.C)
    changed = features.clone()
    changed[torch.from_numpy(folds == 2)] += 1.0  # of one fold, its own logits and every other fold's probe
    other = held_out_logits(changed, labels, 3, np.where(folds == 2, 2, 0), found.C)
    assert torch.equal(found.logits, alone) and not torch.equal(other, alone)


def test_a_fold_whose_complement_has_one_class() -> None:
    features = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 2.0], [2.0, 0.0], [0.0, 3.0]])
    found = probe_folds(features, np.array([0, 0, 0, 0, 1]), 2, np.array([4, 3, 2, 1, 0]))
    assert found.logits.isfinite().all() and found.logits[4].argmax() == 0


@pytest.mark.parametrize("shape", [(60, 5), (20, 40)], ids=["N>D", "N<D"])
def test_scores_are_those_of_plain_formulas(shape: tuple[int, int]) -> None:
    features, labels = world(*shape)
    components, classes = Components(features), labels.tolist()
    posterior = cluster_posterior(components, 3, 0)
    pairs = {
        "logme": (logme(features, labels), scores.logme(features, classes)),
        "leep": (leep(posterior, labels), scores.leep(posterior, classes)),
        "h_score": (h_score(components, labels), scores.h_score(features, classes, ddof=1)),
        "gbc": (gbc(features, labels), scores.gbc(features, classes)),
        "transrate": (transrate(components, labels), scores.transrate(features, classes)),
    }
    for name, (ours, plain) in pairs.items():
        assert ours == pytest.approx(plain, rel=1e-10, abs=1e-10), name


def test_neighbours_are_those_of_a_plain_count() -> None:
    features, labels = world(n=80, apart=0.5)
    two, folds = np.minimum(labels, 1), np.arange(80) % FOLDS
    for k in (1, 5, 19):  # an odd number of two classes: no ties
        expected = scores.nearest_neighbour_accuracy(features, two.tolist(), k, folds.tolist())
        assert knn_accuracy(features, two, folds, k) == pytest.approx(expected, abs=1e-12)
