"""Which layer answers which shift, against arguments of its own for each claim."""

import numpy as np
import pytest

from ftcli.explain.theory.problems import ProblemFamily, random_orthogonal, random_problems
from ftcli.explain.theory.surgery import (
    SHIFT,
    best_last_layer,
    few_examples,
    input_shift,
    output_shift,
    relative_error,
    relu,
    simulate_shifts,
    source_network,
    tune_first_layer,
)

SEEDS = [0, 1, 2]
FAMILY = ProblemFamily(3, 8, 16, 0.4)


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_an_error_is_a_share_of_that_of_answering_0() -> None:
    W, v, x, y = source_network(rng_of(0))
    plain = [sum(v[h] * max(0.0, float(W[h] @ row)) for h in range(len(v))) for row in x]
    np.testing.assert_allclose(y, plain, atol=1e-12)
    assert relative_error(W, v, x, y) == 0.0
    assert relative_error(W, 0 * v, x, y) == 1.0
    assert relative_error(W, 3 * v, x, y) == pytest.approx(4.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_last_layer_is_better_than_the_best(seed: int) -> None:
    """The normal equations hold, so every other head has more: the least of a convex function."""
    W, v, x, y = source_network(rng_of(seed))
    shifted, found = x + 0.3 * rng_of(seed + 10).standard_normal(x.shape), None
    found = best_last_layer(W, shifted, y)
    features = relu(shifted @ W.T)
    head = np.linalg.solve(features.T @ features, features.T @ y)
    assert found == pytest.approx(((features @ head - y) ** 2).mean() / (y**2).mean(), rel=1e-9)
    others = rng_of(seed).standard_normal((50, len(v)))
    assert all(relative_error(W, head + 0.1 * other, shifted, y) > found > 0 for other in others)


@pytest.mark.parametrize("seed", SEEDS)
def test_tuning_the_first_layer_comes_back_to_it(seed: int) -> None:
    W, v, x, y = source_network(rng_of(seed))
    off = W + 0.02 * rng_of(seed + 5).standard_normal(W.shape)
    before = relative_error(off, v, x, y)
    assert tune_first_layer(off, v, x, y) < 1e-3 * before
    assert tune_first_layer(W, v, x, y) == 0.0


@pytest.mark.parametrize("seed", SEEDS)
def test_changed_inputs_are_answered_by_the_first_layer(seed: int) -> None:
    found = input_shift(rng_of(seed))
    rng = rng_of(seed)
    W, v, x, y = source_network(rng)
    A = np.eye(x.shape[1]) + SHIFT * random_orthogonal(1, x.shape[1], rng)[0]
    shifted = np.stack([A @ row for row in x])
    assert found["untuned"] == pytest.approx(relative_error(W, v, shifted, y)) and found["untuned"] > 0.01
    assert relative_error(W @ np.linalg.inv(A), v, shifted, y) == pytest.approx(0, abs=1e-20)
    assert found["first_exact"] < 1e-20
    assert found["first_tuned"] < found["untuned"]
    assert found["last_best"] == pytest.approx(best_last_layer(W, shifted, y), rel=1e-9) and found["last_best"] > 1e-3


@pytest.mark.parametrize("seed", SEEDS)
def test_changed_labels_are_answered_by_the_last_layer(seed: int) -> None:
    found = output_shift(rng_of(seed))
    assert found["last_exact"] == 0.0 == found["first_scaled"]
    assert found["untuned"] == pytest.approx(4.0)  # ((-1 - 1)y)² over y²
    assert 1.0 <= found["first_flipped"] < 1.1
    W, v, x, _ = source_network(rng_of(seed))
    v = np.abs(v)
    y = relu(x @ W.T) @ v
    anywhere = rng_of(seed + 20).standard_normal((200, *W.shape))
    assert min(relative_error(first, v, x, -y) for first in anywhere) >= 1.0
    assert relative_error(0 * W, v, x, -y) == 1.0  # the limit that tuning comes to


def test_few_examples_against_the_limit_in_closed_form() -> None:
    """With v fixed, Bᵀv ends at the weights nearest to the source's that fit: these are the right ones. Not so else."""
    found = few_examples(4, FAMILY, 300.0, rng_of(7))
    rng = rng_of(7)
    problems = random_problems(4, ProblemFamily(3, 8, 16, 0.0), rng)
    turn = random_orthogonal(4, 8, rng)
    for w in range(4):
        source_weights, Z = problems.B0[w].T @ problems.vstar[w], problems.X[w]
        Q = np.linalg.svd(Z, full_matrices=False)[2]
        A = np.eye(16) + SHIFT * Q.T @ turn[w] @ Q
        X, Y = Z @ A.T, Z @ source_weights
        right = np.linalg.inv(A).T @ source_weights
        assert np.sum((right - source_weights) ** 2) / np.sum(right**2) == pytest.approx(found["untuned"][w])
        limit = source_weights + np.linalg.pinv(X) @ (Y - X @ source_weights)
        np.testing.assert_allclose(limit, right, atol=1e-10)
    assert found["first"].max() < 1e-14
    assert found["full"].min() > 1e-6
    assert max(found["first_training"].max(), found["full_training"].max()) < 1e-16  # both fit


def test_every_error_has_its_extent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftcli.explain.theory.surgery.NETWORKS", 3)
    found = simulate_shifts(4, FAMILY, 300.0, lambda name: rng_of(len(name)))
    assert found.keys() == ["input_shift", "output_shift", "few_examples"]
    for shift in (found.input_shift, found.output_shift, found.few_examples):
        for values in shift.values():
            assert 0 <= values.min <= values.median <= values.max < np.inf
    again = simulate_shifts(4, FAMILY, 300.0, lambda name: rng_of(len(name)))
    assert again == found
