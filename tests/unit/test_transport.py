"""The cheapest transport of examples to classes, against SciPy's linear program."""

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.sparse import eye, kron, vstack

from ftcli.measures.calibration import softmax
from ftcli.measures.estimates.transport import transport
from ftcli.measures.estimates.transported import MOST_VARIABLES, chance_difference, cot, cott, part, transport_costs


def least_cost(costs: np.ndarray, shares: np.ndarray) -> float:
    n, k = costs.shape
    rows = kron(eye(n), np.ones((1, k)))
    columns = kron(np.ones((1, n)), eye(k))
    solved = linprog(costs.ravel(), A_eq=vstack([rows, columns]), b_eq=np.r_[np.ones(n) / n, shares])
    assert solved.status == 0
    return float(solved.fun)


@pytest.mark.parametrize(("n", "k"), [(1, 2), (2, 2), (7, 3), (40, 5), (150, 10), (30, 60)])
@pytest.mark.parametrize("seed", range(3))
def test_it_costs_as_little_as_the_linear_program_says(n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    costs = 1 - softmax(2 * rng.normal(size=(n, k)))
    shares = rng.dirichlet(np.ones(k))
    plan = transport(costs, shares)
    assert plan.min() >= 0
    np.testing.assert_allclose(plan.sum(axis=1), np.full(n, 1 / n), atol=1e-12)
    np.testing.assert_allclose(plan.sum(axis=0), shares, atol=1e-12)
    assert (plan * costs).sum() == pytest.approx(least_cost(costs, shares), abs=1e-10)


def test_equal_costs_and_classes_of_no_share_end() -> None:
    for costs in (np.zeros((6, 3)), np.full((6, 3), 0.5), np.eye(3)[[0, 0, 0, 1, 1, 2]]):
        plan = transport(costs, np.array([0.5, 0.5, 0.0]))
        np.testing.assert_allclose(plan.sum(axis=0), [0.5, 0.5, 0], atol=1e-12)
        assert (plan * costs).sum() == pytest.approx(least_cost(costs, np.array([0.5, 0.5, 0.0])), abs=1e-10)


def test_by_hand() -> None:
    """Three examples that all look like class 0, which is a third of the labels: the two least sure must move."""
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]])
    plan = transport(1 - p, np.array([1 / 3, 2 / 3]))
    np.testing.assert_allclose(plan, np.array([[1, 0], [0, 1], [0, 1]]) / 3, atol=1e-12)
    assert cot(p, np.array([1 / 3, 2 / 3]), np.random.default_rng(0)) == pytest.approx((0.9 + 0.2 + 0.4) / 3)


def test_cot_is_never_above_average_confidence_and_equals_it_where_the_shares_are_met() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        p = softmax(rng.normal(size=(50, 4)))
        met = np.bincount(p.argmax(axis=1), minlength=4) / 50
        assert cot(p, met, rng) == pytest.approx(p.max(axis=1).mean(), abs=1e-12)
        assert cot(p, rng.dirichlet(np.ones(4)), rng) <= p.max(axis=1).mean() + 1e-12


def test_cott_on_the_labelled_set_is_its_accuracy() -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(4, size=200)
    p = softmax(2 * np.eye(4)[labels] + rng.normal(size=(200, 4)))
    correct, shares = p.argmax(axis=1) == labels, np.bincount(labels, minlength=4) / 200
    assert cott(p, correct, p, shares, rng) == pytest.approx(correct.mean())
    assert cott(p, np.zeros(200, dtype=bool), p, shares, rng) == 0
    assert cott(p, np.ones(200, dtype=bool), p, shares, rng) == 1


def test_of_a_large_set_a_random_part_is_transported() -> None:
    rows = part((50_000, 100), np.random.default_rng(0))
    assert len(set(rows.tolist())) == len(rows) == MOST_VARIABLES // 100 and rows.max() > 40_000
    assert part((50, 100), np.random.default_rng(0)).tolist() == list(range(50))


def test_what_chance_alone_does_to_class_shares() -> None:
    rng, shares = np.random.default_rng(5), np.array([0.5, 0.3, 0.15, 0.05])
    drawn = [rng.multinomial(n, shares, size=4000) / n for n in (80, 200)]
    seen = np.abs(drawn[0] - drawn[1]).sum(axis=1).mean() / 2
    assert chance_difference(shares, 80, 200) == pytest.approx(seen, rel=0.03)
    assert chance_difference(np.array([1.0]), 80, 200) == 0


def test_the_order_of_the_examples_changes_nothing() -> None:
    p = softmax(np.random.default_rng(3).normal(size=(30, 3)))
    order = np.random.default_rng(4).permutation(30)
    shares = np.array([0.5, 0.3, 0.2])
    np.testing.assert_allclose(transport_costs(p, shares)[order], transport_costs(p[order], shares), atol=1e-12)
