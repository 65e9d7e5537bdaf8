"""The L1 solver: against liblinear, against the conditions of the minimum, and its gap against the truth."""

import numpy as np
import pytest
import torch
from torch import Tensor

from ftcli.engine.probe.l1_logistic import GAP, l1_logistic
from ftcli.engine.probe.sparse_quadratic import feature_sign_search, minimise_quadratic

CS = (0.01, 0.03, 0.07, 0.1, 0.3, 0.7, 1.0)
KINDS = ("noisy", "separable", "wide", "copies", "constant", "unscaled", "features")


def problem(kind: str) -> tuple[Tensor, Tensor]:
    """Features [N, D] and three columns of targets."""
    rng = np.random.default_rng(len(kind))
    N, D = {"wide": (24, 60), "features": (90, 250)}.get(kind, (150, 20))
    labels = np.arange(N) % 3
    X = rng.normal(size=(N, D)) + (6.0 if kind == "separable" else 0.6) * rng.normal(size=(3, D))[labels]
    if kind == "copies":
        X[:, 10:] = X[:, :10]
    if kind == "constant":
        X[:, 3] = 0.0
    if kind == "unscaled":
        X *= np.logspace(-4, 4, D)
    if kind == "features":  # as of a network: more than images, not below 0, and much alike
        base = rng.normal(size=(N, 30)) + 1.5 * np.eye(3, 30)[labels]
        X = np.maximum(base @ rng.normal(size=(30, D)) + 0.3 * rng.normal(size=(N, D)), 0)
        X = 10 * (X - X.mean(axis=0)) / X.std(axis=0)
    return torch.from_numpy(X), torch.from_numpy(labels[:, None] == np.arange(3))


def objective(X: np.ndarray, y: np.ndarray, C: float, w: np.ndarray) -> float:
    """‖w‖₁ + |b| + C · Σ log-loss, plainly; w: [D + 1], the intercept last."""
    return float(np.abs(w).sum() + C * np.logaddexp(0, -(2.0 * y - 1) * (X @ w[:-1] + w[-1])).sum())


@pytest.mark.parametrize("kind", KINDS)
def test_the_conditions_of_the_minimum_hold(kind: str) -> None:
    X, targets = problem(kind)
    found = l1_logistic(X, targets, CS)
    assert found.gaps.max() <= GAP
    Z = np.concatenate([X.numpy(), np.ones((len(X), 1))], axis=1)
    for i, C in enumerate(CS):
        for k in range(3):
            w = torch.cat([found.weights[i, k], found.bias[i, k, None]]).numpy()
            y = 2.0 * targets[:, k].numpy() - 1
            pull = C * Z.T @ (y / (1 + np.exp(y * (Z @ w))))
            assert np.abs(pull).max() < 1 + 1e-3
            np.testing.assert_allclose(pull[w != 0], np.sign(w[w != 0]), atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gap_is_never_too_small(kind: str) -> None:
    X, targets = problem(kind)
    rough, fine = l1_logistic(X, targets, (0.1,), gap=0.3), l1_logistic(X, targets, (0.1,), gap=1e-11)
    for k in range(3):
        F, least = (
            objective(X.numpy(), targets[:, k].numpy(), 0.1, torch.cat([s.weights[0, k], s.bias[0, k, None]]).numpy())
            for s in (rough, fine)
        )
        assert F - least <= float(rough.gaps[0, k]) * F + 1e-9 * F


@pytest.mark.parametrize("kind", ["noisy", "separable", "wide", "features"])
def test_equals_liblinear(kind: str) -> None:
    pytest.importorskip("sklearn")
    from tests.helpers.plain_rules.heads import l1_logistic as plain

    X, targets = problem(kind)
    found = l1_logistic(X, targets, CS, gap=1e-11)
    for i in (0, 3, 6):
        w, b = plain(X.numpy(), targets[:, 1].numpy(), CS[i])
        np.testing.assert_allclose(found.weights[i, 1].numpy(), w, atol=1e-5)
        assert float(found.bias[i, 1]) == pytest.approx(b, abs=1e-5)


def test_the_intercept_is_penalised() -> None:
    X, y = torch.zeros(10, 2), torch.arange(10)[:, None] < 9
    found = l1_logistic(X, y, (0.2, 1.0))
    assert float(found.bias[0]) == 0.0  # the gradient 0.2 · (9 - 1) / 2 pulls less than the penalty
    p = 1 / (1 + np.exp(-float(found.bias[1])))
    assert 9 * (1 - p) - p == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("search", [minimise_quadratic, feature_sign_search])
@pytest.mark.parametrize("seed", range(6))
def test_the_quadratic_is_minimised(search: object, seed: int) -> None:
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(40, 25)) * np.logspace(-1, 1, 25)
    H, c = A.T @ A / 40 + 1e-6 * np.eye(25), 4 * rng.normal(size=25)
    start = rng.normal(size=25) * (rng.random(25) < 0.4)
    v = search(*map(torch.from_numpy, (H, c, start))).numpy()  # type: ignore[operator]
    gradient = H @ v + c
    assert np.abs(gradient).max() < 1 + 1e-8 and 0 < np.count_nonzero(v) < 25
    np.testing.assert_allclose(gradient[v != 0], -np.sign(v[v != 0]), atol=1e-8)
