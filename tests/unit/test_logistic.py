"""The C path of the linear probe against scikit-learn, against SciPy in float64, and against its own invariances."""

import warnings

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from ftcli.engine.features import feature_matrix
from ftcli.engine.features.feature_matrix import FeatureMatrix
from ftcli.engine.probe import logistic_loss, path_solver
from ftcli.engine.probe.regularization_path import DEFAULT_CS, path
from ftcli.errors import RequestError

SOME_CS = [1e-7, 1e-4, 1e-2, 1.0, 100.0]


def deep(N: int, D: int, K: int, seed: int = 0, signal: float = 4.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features as a network gives them: a decaying spectrum, a mean apart from zero, classes that overlap."""
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(K), random.integers(0, K, N - K)])
    spectrum = 1 / np.arange(1, D + 1)
    centres = signal * random.normal(size=(K, D)) * spectrum
    rotation = np.linalg.qr(random.normal(size=(D, D)))[0]
    features = (centres[labels] + 3 * random.normal(size=(N, D)) * spectrum) @ rotation + random.normal(size=D)
    features = (features - features.mean()) / features.std()
    return torch.from_numpy(features.astype(np.float32)), torch.from_numpy(labels)


def objective(features: torch.Tensor, labels: torch.Tensor, weights, bias, C: float) -> float:
    """C · Σ CE + ½ ‖W‖² in float64."""
    weights, bias = np.asarray(weights, dtype=np.float64), np.asarray(bias, dtype=np.float64)
    log_probabilities = log_softmax(features.double().numpy() @ weights.T + bias, axis=1)  # [N, K]
    own = log_probabilities[np.arange(len(labels)), labels.numpy()]
    return float(-C * own.sum() + 0.5 * (weights**2).sum())


def optimum(features: torch.Tensor, labels: torch.Tensor, K: int, C: float) -> float:
    """The least objective that SciPy's trust-region Newton method finds, from exact second derivatives in float64."""
    X = np.hstack([features.double().numpy(), np.ones((len(features), 1))])  # [N, D + 1]
    Y = np.eye(K)[labels.numpy()]
    penalised = np.hstack([np.ones(X.shape[1] - 1), 0.0])

    def probabilities(theta: np.ndarray) -> np.ndarray:
        return np.exp(log_softmax(X @ theta.reshape(K, -1).T, axis=1))

    def value(theta: np.ndarray) -> tuple[float, np.ndarray]:
        W = theta.reshape(K, -1)
        loss = -(Y * log_softmax(X @ W.T, axis=1)).sum()
        gradient = (probabilities(theta) - Y).T @ X + W * penalised / C
        return loss + 0.5 * (W[:, :-1] ** 2).sum() / C, gradient.ravel()

    def curvature(theta: np.ndarray, direction: np.ndarray) -> np.ndarray:
        P, V = probabilities(theta), direction.reshape(K, -1)
        change = X @ V.T
        change = P * (change - (P * change).sum(axis=1, keepdims=True))
        return (change.T @ X + V * penalised / C).ravel()

    start = np.zeros(K * X.shape[1])
    found = minimize(value, start, jac=True, hessp=curvature, method="trust-ncg", options={"gtol": 1e-6})
    return C * float(found.fun)


def assert_optimal(features: torch.Tensor, labels: torch.Tensor, K: int, Cs: list[float]) -> None:
    """Every objective within 1e-6 of SciPy's."""
    found = path(features, labels, K, Cs)
    for C, weights, bias in zip(Cs, found.weights, found.bias, strict=True):
        least = optimum(features, labels, K, C)
        assert objective(features, labels, weights, bias, C) == pytest.approx(least, rel=1e-6), C


def test_default_path_is_logspace():
    np.testing.assert_allclose(DEFAULT_CS, np.logspace(-7, 2, 100), rtol=1e-13)


@pytest.mark.parametrize("N, D, K", [(200, 30, 5), (40, 90, 4), (150, 20, 2)])
def test_never_above_scikit_learn(N, D, K):
    features, labels = deep(N, D, K)
    found = path(features, labels, K)
    assert found.weights.shape == (100, K, D) and found.bias.shape == (100, K)
    reference = LogisticRegression(tol=1e-4, max_iter=200, warm_start=True)
    for C, weights, bias in zip(DEFAULT_CS, found.weights, found.bias, strict=True):
        reference.C = C if K > 2 else 2 * C  # two rows at C are one row at 2C
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it may stop at max_iter
            reference.fit(features.numpy(), labels.numpy())
        W, b = reference.coef_, reference.intercept_
        if K == 2:
            W, b = np.vstack([-W, W]) / 2, np.hstack([-b, b]) / 2
        theirs = objective(features, labels, W, b, C)
        assert objective(features, labels, weights, bias, C) <= theirs * (1 + 1e-6), C


@pytest.mark.parametrize("N, D, K", [(300, 30, 5), (40, 80, 3), (150, 20, 2)])
def test_reaches_the_float64_optimum(N, D, K):
    assert_optimal(*deep(N, D, K, seed=1), K, SOME_CS)


def test_separable_at_large_C():
    assert_optimal(*deep(120, 20, 3, signal=60.0), 3, [1.0, 100.0])


def test_two_classes_equal_the_binary_fit_at_twice_C():
    features, labels = deep(200, 10, 2)
    found = path(features, labels, 2, [0.01, 1.0])
    for C, weights, bias in zip([0.01, 1.0], found.weights, found.bias, strict=True):
        binary = LogisticRegression(C=2 * C, tol=1e-10, max_iter=10_000).fit(features.double().numpy(), labels.numpy())
        np.testing.assert_allclose(weights[1] - weights[0], binary.coef_[0], atol=2e-3 * abs(binary.coef_).max())
        assert float(bias[1] - bias[0]) == pytest.approx(binary.intercept_[0], abs=2e-3)


def test_absent_class_is_left_out():
    features, labels = deep(100, 12, 3)
    full = path(features, labels, 3, SOME_CS)
    spread = torch.tensor([0, 2, 4])[labels]  # 1 and 3 and 5 have no example
    found = path(features, spread, 6, SOME_CS)
    torch.testing.assert_close(found.weights[:, [0, 2, 4]], full.weights, rtol=0, atol=0)
    torch.testing.assert_close(found.bias[:, [0, 2, 4]], full.bias, rtol=0, atol=0)
    assert bool((found.weights[:, [1, 3, 5]] == 0).all()) and bool((found.bias[:, [1, 3, 5]] == -1e4).all())


def test_one_class_alone():
    features, _ = deep(10, 4, 2)
    found = path(features, torch.full((10,), 1), 3, [0.1, 1.0])
    assert bool((found.weights == 0).all())
    assert found.bias.tolist() == [[-1e4, 0.0, -1e4]] * 2


def test_gauge():
    found = path(*deep(100, 12, 4), 4, SOME_CS)
    torch.testing.assert_close(found.bias.sum(dim=1), torch.zeros(5), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.weights.sum(dim=1), torch.zeros(5, 12), rtol=0, atol=1e-5)


def test_shift_and_rotation_change_nothing_but_the_coordinates():
    features, labels = deep(150, 16, 3)
    turn = torch.from_numpy(np.linalg.qr(np.random.default_rng(5).normal(size=(16, 16)))[0])
    moved = (features.double() @ turn + 3.0).float()
    here, there = path(features, labels, 3, SOME_CS), path(moved, labels, 3, SOME_CS)
    for i in range(len(SOME_CS)):
        scores = features @ here.weights[i].T + here.bias[i]
        same = moved @ there.weights[i].T + there.bias[i]
        torch.testing.assert_close(scores, same, rtol=0, atol=5e-3 * float(scores.abs().max()))


def test_the_list_of_C_does_not_change_a_solution():
    features, labels = deep(150, 16, 3)
    alone, last = path(features, labels, 3, [1.0]), path(features, labels, 3, [1e-3, 0.1, 0.3, 1.0])
    a = objective(features, labels, alone.weights[0], alone.bias[0], 1.0)
    b = objective(features, labels, last.weights[-1], last.bias[-1], 1.0)
    assert a == pytest.approx(b, rel=1e-6)


def test_same_input_same_bits():
    features, labels = deep(100, 30, 3)
    first, second = path(features, labels, 3, SOME_CS), path(features, labels, 3, SOME_CS)
    assert torch.equal(first.weights, second.weights) and torch.equal(first.bias, second.bias)


@pytest.mark.parametrize("N, D", [(300, 12), (20, 45)])
@pytest.mark.parametrize("rotated_bytes", [0, 1 << 30], ids=["as they are", "rotated"])
def test_streamed_features_equal_those_in_memory(tmp_path, monkeypatch, N, D, rotated_bytes):
    features, labels = deep(N, D, 3)
    np.save(tmp_path / "features.npy", features.numpy())
    held = path(features, labels, 3, SOME_CS)
    monkeypatch.setattr(logistic_loss, "ROTATED_BYTES", rotated_bytes)
    monkeypatch.setattr(feature_matrix, "BLOCK_BYTES", {"cpu": 64 * D * 4})  # several blocks
    streamed = path(FeatureMatrix.open(tmp_path / "features.npy"), labels, 3, SOME_CS)
    for i, C in enumerate(SOME_CS):
        a = objective(features, labels, held.weights[i], held.bias[i], C)
        b = objective(features, labels, streamed.weights[i], streamed.bias[i], C)
        assert a == pytest.approx(b, rel=1e-6), C


def test_scaling_of_a_matrix_is_that_of_its_features():
    features, labels = deep(100, 8, 3)
    here = path((features - 0.25) / 1.5, labels, 3, SOME_CS)
    there = path(FeatureMatrix.of(features).scaled(0.25, 1.5), labels, 3, SOME_CS)
    torch.testing.assert_close(here.weights, there.weights, rtol=0, atol=0)


def test_grouping_changes_no_objective(monkeypatch):
    (features, labels), Cs = deep(200, 12, 3), DEFAULT_CS[::7]
    together = path(features, labels, 3, Cs)
    monkeypatch.setattr(path_solver, "GROUP_BYTES", 1)  # every C alone
    alone = path(features, labels, 3, Cs)
    assert not torch.equal(together.weights, alone.weights)  # the sums are taken in another order
    for i, C in enumerate(Cs):
        a = objective(features, labels, together.weights[i], together.bias[i], C)
        b = objective(features, labels, alone.weights[i], alone.bias[i], C)
        assert a == pytest.approx(b, rel=1e-6), C


@pytest.mark.parametrize("stride", [1, 4, 8])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 17, 100])
def test_levels_hold_every_index_once_and_lie_between_known_ones(count, stride):
    found = path_solver.levels(count, stride)
    assert sorted(i for level in found for i in level) == list(range(count))
    known = set(found[0])
    for level in found[1:]:
        assert all(min(known) < i < max(known) for i in level)
        known |= set(level)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_any_number_of_values_of_C(count):
    Cs = np.logspace(-4, 1, count).tolist() if count > 1 else [0.03]
    assert_optimal(*deep(150, 12, 3), 3, Cs)


def test_float64_products_take_over():
    features, labels = deep(200, 10, 3, signal=1.0)
    scale, C = 2.0**14, 1.0
    found = path(features * scale, labels, 3, [C])
    # with W = U / scale the objective is that of U on the features as they were, at C · scale², over scale²
    least = optimum(features, labels, 3, C * scale**2) / scale**2
    assert objective(features * scale, labels, found.weights[0], found.bias[0], C) == pytest.approx(least, rel=1e-6)


def constant_columns(X: torch.Tensor) -> torch.Tensor:
    X = X.clone()
    X[:, 0], X[:, 1] = 0.0, 7.0
    return X


@pytest.mark.parametrize(
    "change",
    [
        constant_columns,
        lambda X: X[torch.arange(len(X)) // 2 * 2],  # every row twice, with two labels
        lambda X: X[:, :3] @ X[:3, :],  # rank 3
        lambda X: X * torch.logspace(4, -4, X.shape[1]),  # too uneven for products in float32
        lambda X: X + 100.0,
    ],
    ids=["constant", "duplicates", "rank", "uneven", "shifted"],
)
def test_degenerate_features(change):
    features, labels = deep(60, 12, 3)
    assert_optimal(change(features), labels, 3, [1e-3, 0.1, 10.0])


def test_features_without_any_information():
    labels = torch.tensor([0, 0, 0, 1])
    found = path(torch.ones(4, 3), labels, 2, [1.0])
    assert bool((found.weights == 0).all())
    assert float(found.bias[0, 0] - found.bias[0, 1]) == pytest.approx(np.log(3), abs=1e-6)


def test_one_example_per_class():
    features, labels = deep(5, 20, 5)
    assert_optimal(features, labels, 5, [1e-3, 1.0, 100.0])


def test_a_rare_class():
    features, labels = deep(400, 10, 2)
    labels[1:] = 0
    labels[0] = 1
    assert_optimal(features, labels, 2, [1e-6, 1e-2, 100.0])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_refuses_features_that_are_not_finite(bad):
    features, labels = deep(20, 5, 2)
    features[7, 2] = bad
    with pytest.raises(RequestError, match=r"1 of 20 examples are not finite .*first: 7"):
        path(features, labels, 2)


def test_refuses_bad_requests():
    features, labels = deep(20, 5, 3)
    with pytest.raises(RequestError, match="labels must lie in 0 … 1"):
        path(features, labels, 2)
    with pytest.raises(RequestError, match="positive and ascending"):
        path(features, labels, 3, [1.0, 0.1])
