"""The pick of the linear probe without solving every C finely: the same as on the path that is; proofs that hold."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from ftcli.engine.probe import lbfgs, path_solver
from ftcli.engine.probe.regularization_path import DEFAULT_CS, Path, path, values_of_C
from ftcli.errors import RequestError
from tests.unit.test_logistic import deep, objective, optimum


def assert_gaps_hold(features: torch.Tensor, labels: torch.Tensor, K: int, found: Path) -> None:
    """Each objective exceeds SciPy's optimum by no more than the fraction of it that the gap says."""
    for i, C in enumerate(found.Cs):
        mine = objective(features, labels, *found.head(i), C)
        assert mine - optimum(features, labels, K, C) <= (found.gaps[i] + 1e-6) * mine, C


def best_of(found: Path, X: torch.Tensor, y: torch.Tensor) -> int:
    """The most correct examples, then the least loss, then the least C."""
    keys = []
    for i in found.fine:
        weights, bias = (tensor.double() for tensor in found.head(i))
        scores = X.double() @ weights.T + bias
        keys.append((-int((scores.argmax(1) == y).sum()), float(torch.nn.functional.cross_entropy(scores, y)), i))
    return min(keys)[-1]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "N, D, K, signal", [(300, 40, 5, 4.0), (120, 200, 30, 6.0), (200, 30, 2, 2.0), (400, 60, 40, 30.0)]
)
def test_the_pick_is_that_of_the_path_solved_finely(N, D, K, signal, seed):
    features, labels = deep(N + 90, D, K, seed=seed, signal=signal)
    X, y, X_val, y_val = features[:N], labels[:N], features[N:], labels[N:]
    quick, full = path(X, y, K, id_val=(X_val, y_val)), path(X, y, K)
    pick = best_of(quick, X_val, y_val)
    assert pick == best_of(full, X_val, y_val)
    for i in {max(0, pick - 1), pick, min(99, pick + 1)}:
        fine, C = objective(X, y, *full.head(i), DEFAULT_CS[i]), DEFAULT_CS[i]
        assert objective(X, y, *quick.head(i), C) == pytest.approx(fine, rel=1e-6)
        assert quick.gaps[i] <= path_solver.FINE.gap_if_settled
    # in the second, the others were not solved so far
    assert max(full.gaps) <= path_solver.FINE.gap_if_settled < max(quick.gaps) <= 1.0


@pytest.mark.parametrize("num_classes", [6, 7])
def test_every_C_is_scored_as_its_head_would_be(num_classes):
    """Also those that are not picked; with 7 classes, one of ID-val has no training example."""
    features, labels = deep(260, 20, num_classes, signal=2.0)
    seen = labels[:160] < 6
    X, y, X_val, y_val = features[:160][seen], labels[:160][seen], features[160:], labels[160:]
    found = path(X, y, num_classes, id_val=(X_val, y_val))
    assert len(found.fine) < 50
    for i, (accuracy, loss) in enumerate(found.id_val):
        weights, bias = (tensor.double().numpy() for tensor in found.head(i))
        scores = X_val.double().numpy() @ weights.T + bias
        own = scores[np.arange(100), y_val.numpy()]
        nearest = np.sort(np.abs(own - np.where(np.eye(num_classes)[y_val] > 0, -np.inf, scores).max(axis=1)))[0]
        if nearest > 1e-5 * np.abs(scores[:, bias > -1e4]).max():  # else rounding to float32 may decide one
            assert accuracy == (scores.argmax(axis=1) == y_val.numpy()).mean()
        assert loss == pytest.approx((logsumexp(scores, axis=1) - own).mean(), rel=1e-5)


def test_validation_features_must_be_finite():
    features, labels = deep(60, 12, 3)
    X_val = features[40:].clone()
    X_val[[4, 7], 2] = torch.nan
    with pytest.raises(RequestError, match=r"2 of 20 examples of ID-val are not finite \(the first: 4\)"):
        path(features[:40], labels[:40], 3, id_val=(X_val, labels[40:]))


def test_the_gaps_of_an_unfinished_path_hold():
    features, labels = deep(150, 12, 3)
    found = path(features[:100], labels[:100], 3, DEFAULT_CS[::5], id_val=(features[100:], labels[100:]))
    assert_gaps_hold(features[:100], labels[:100], 3, found)


def test_validation_labels_without_a_training_example_are_never_right():
    features, labels = deep(200, 12, 4)
    seen = labels[:120] < 3
    X, y = features[:120][seen], labels[:120][seen]
    quick, full = path(X, y, 4, id_val=(features[120:], labels[120:])), path(X, y, 4)
    assert best_of(quick, features[120:], labels[120:]) == best_of(full, features[120:], labels[120:])


@pytest.mark.parametrize("seed", range(3))
def test_always_ends_with_a_model(seed):
    """Labels of chance, many classes, two threads; also with columns twice, and with constant features."""
    random = np.random.default_rng(seed)
    X, y = torch.from_numpy(random.normal(size=(400, 24)).astype(np.float32)), torch.arange(400) % 25
    for features in (X, torch.cat([X, X], dim=1), torch.ones_like(X), X.mul(1e-4).add(1.0)):
        found = path(features, y, 25, DEFAULT_CS[::9], id_val=(features[:50], y[:50]))
        assert bool(found.weights.isfinite().all()) and bool(found.bias.isfinite().all())
        assert all(0 <= gap <= 1 for gap in found.gaps)


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_few_values_of_C_and_a_large_constant_column(count, seed):
    """Solutions far apart say little about each other: no point may be worse than no weights at all."""
    features, labels = deep(130, 16, 5, seed=seed)
    features[:, 3] = 1000.0
    features = (features - features.mean()) / features.std()
    X, y = features[:100], labels[:100]
    share = torch.bincount(y, minlength=5).double() / 100
    without_weights = float(-100 * (share * share.log()).sum())
    for found in (path(X, y, 5, values_of_C(count)), path(X, y, 5, values_of_C(count), (features[100:], labels[100:]))):
        for i, C in enumerate(found.Cs):
            assert objective(X, y, *found.head(i), C) <= C * without_weights * (1 + 1e-6)
        assert all(found.gaps[i] <= path_solver.FINE.gap_if_settled for i in found.fine)


def test_a_search_that_ends_early_says_how_far_it_is_proven(monkeypatch):
    features, labels = deep(60, 12, 3)
    monkeypatch.setattr(lbfgs, "MAX_STEPS", 1)
    found = path(features, labels, 3, [1e-9, 100.0])
    assert found.gaps[0] < 1e-5 and found.gaps[1] > 1e-3
    assert_gaps_hold(features, labels, 3, found)
