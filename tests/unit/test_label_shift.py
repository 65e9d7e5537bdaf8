"""Class shares without labels: plain loops, problems solved by hand, and worlds whose shares are known."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import softmax
from scipy.stats import chi2_contingency

from ftcli.explain.advise import label_shift as shift

K = 4
P = np.array([0.25, 0.25, 0.3, 0.2])
Q = np.array([0.55, 0.2, 0.05, 0.2])
MEANS = np.random.default_rng(5).normal(size=(K, 6)) * 1.2


def world(shares: np.ndarray, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits [n, K] of Gaussian classes (overconfident by a factor of 2, and biased) and labels [n]."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(K, size=n, p=shares)
    x = MEANS[labels] + rng.normal(size=(n, 6))
    exact = -0.5 * ((x[:, None] - MEANS) ** 2).sum(-1) + np.log(P)
    return 2 * exact + np.array([0.6, 0.0, -0.6, 0.0]), labels


@pytest.fixture(scope="module")
def sides() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return *world(P, 4000, 0), *world(Q, 4000, 1)


def test_the_joint_confusion_matrix() -> None:
    predicted, labels = np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2])
    expected = np.zeros((3, 3))
    for i, j in zip(predicted, labels, strict=True):
        expected[i, j] += 1 / 4
    assert np.array_equal(shift.joint_confusion(predicted, labels, 3), expected)
    assert shift.recalls(expected).tolist() == [1.0, 1.0, 0.5]


def test_bbse_by_hand() -> None:
    """Recalls 0.8 and 0.6; a target that is all of class 0 is predicted 0.8 to 0.2."""
    C = np.array([[0.4, 0.2], [0.1, 0.3]])
    found = shift.bbse(C, np.array([0.8, 0.2]))
    assert found is not None
    assert found.q == pytest.approx([1.0, 0.0], abs=1e-12) and found.weights == pytest.approx([2.0, 0.0], abs=1e-12)
    clipped = shift.bbse(C, np.array([0.9, 0.1]))  # beyond what any shares give
    assert clipped is not None and clipped.q.tolist() == [1.0, 0.0]


def test_bbse_of_a_class_that_is_never_predicted() -> None:
    C = np.array([[0.4, 0.3], [0.0, 0.3]])
    assert shift.bbse(C, np.array([0.5, 0.5])) is not None
    assert shift.bbse(np.array([[0.5, 0.5], [0.0, 0.0]]), np.array([1.0, 0.0])) is None
    assert shift.bbse(np.array([[0.5, 0.0], [0.5, 0.0]]), np.array([0.5, 0.5])) is None  # ID-val lacks a class


@pytest.mark.parametrize("n", [50, 500, 50_000])
@pytest.mark.parametrize("seed", range(3))
def test_rlls_is_the_minimum(n: int, seed: int) -> None:
    """Of the stated objective: no point around it, and no other minimiser, finds less."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(K, size=n, p=P)
    predicted = np.where(rng.random(n) < 0.7, labels, rng.integers(K, size=n))
    C, mu = shift.joint_confusion(predicted, labels, K), rng.dirichlet(np.ones(K))
    b, rho = mu - C.sum(axis=1), 3 * (2 * np.log(2 * K / 0.05) / (3 * n) + np.sqrt(2 * np.log(2 * K / 0.05) / n))

    def objective(theta: np.ndarray) -> float:
        return float(np.linalg.norm(C @ theta - b) + 0.01 * rho * np.linalg.norm(theta))

    found = shift.rlls(C, mu, n)
    theta = found.weights - 1
    assert theta.min() >= -1 - 1e-12 and found.q.sum() == pytest.approx(1)
    others = [minimize(objective, start, method="SLSQP", bounds=[(-1, None)] * K).fun
              for start in rng.normal(size=(5, K))]  # fmt: skip
    nearby = [objective(np.maximum(-1, theta + rng.normal(size=K) * size)) for size in (1e-1, 1e-3, 1e-5)
              for _ in range(200)]  # fmt: skip
    assert objective(theta) <= min(*others, *nearby) + 1e-9


def test_rlls_stays_at_the_source_where_nothing_moved() -> None:
    C = np.diag(P)
    assert shift.rlls(C, P, 100).weights == pytest.approx(np.ones(K), abs=1e-9)


def test_em_against_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    probabilities = softmax(rng.normal(size=(40, 3)) * 2, axis=1)
    source = np.array([0.5, 0.3, 0.2])
    q = [0.5, 0.3, 0.2]
    for _ in range(1000):
        total = [0.0, 0.0, 0.0]
        for row in probabilities:
            joint = [row[k] * q[k] / source[k] for k in range(3)]
            total = [total[k] + joint[k] / sum(joint) for k in range(3)]
        new = [value / 40 for value in total]
        change = max(abs(new[k] - q[k]) for k in range(3))
        q = new
        if change < 1e-6:
            break
    assert shift.em(probabilities, source).q == pytest.approx(q, abs=1e-12)


def test_em_leaves_a_class_at_zero_that_the_source_lacks() -> None:
    found = shift.em(np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]]), np.array([0.5, 0.5, 0.0]))
    assert found.q[2] == 0 and found.q.sum() == pytest.approx(1) and np.isfinite(found.weights).all()


def test_calibration_finds_what_was_done(sides: tuple[np.ndarray, ...]) -> None:
    """The logits were doubled and biased: s = ½ and the bias halved take that back."""
    s, b = shift.calibrate(sides[0], sides[1])
    assert s == pytest.approx(0.5, abs=0.03) and b == pytest.approx([-0.3, 0.0, 0.3, 0.0], abs=0.12)
    assert b.sum() == pytest.approx(0, abs=1e-9)


def test_calibration_without_a_mistake_changes_nothing() -> None:
    s, b = shift.calibrate(np.eye(3) * 4, np.arange(3))
    assert s == 1 and b.tolist() == [0, 0, 0]


def test_the_known_shares_are_found(sides: tuple[np.ndarray, ...]) -> None:
    logits, labels, others, truth = sides
    counted = shift.shares_of(truth, K)
    C = shift.joint_confusion(logits.argmax(1), labels, K)
    mu = shift.shares_of(others.argmax(1), K)
    bbse = shift.bbse(C, mu)
    assert bbse is not None
    em = shift.em(shift.calibrated(others, shift.calibrate(logits, labels)), shift.shares_of(labels, K))
    for found in (bbse, shift.rlls(C, mu, len(labels)), em):
        assert np.abs(found.q - counted).max() < 0.03
    accuracy = float((others.argmax(1) == truth).mean())
    assert shift.expected_accuracy(C, bbse.q) == pytest.approx(accuracy, abs=0.02)


def test_the_correction_raises_the_accuracy(sides: tuple[np.ndarray, ...]) -> None:
    """log q/p makes of the posterior of the source that of the target."""
    _, _, others, truth = sides
    exact = (others - np.array([0.6, 0.0, -0.6, 0.0])) / 2
    corrected = exact + shift.correction(Q, P, 4000)
    assert (corrected.argmax(1) == truth).mean() > (exact.argmax(1) == truth).mean() + 0.01
    assert np.allclose(softmax(corrected, axis=1), softmax(exact + np.log(Q) - np.log(P), axis=1))


def test_the_correction_of_an_empty_class_is_finite() -> None:
    added = shift.correction(np.array([1.0, 0.0, 0.0]), np.array([0.5, 0.5, 0.0]), 100)
    assert added == pytest.approx([np.log(2), np.log(0.005 / 0.5), 0.0])


def test_homogeneity() -> None:
    first, second = np.array([30, 50, 20, 0]), np.array([35, 40, 25, 0])
    plain = chi2_contingency(np.stack([first, second])[:, :3], correction=False)
    assert shift.homogeneity(first, second) == (pytest.approx(plain.statistic), pytest.approx(plain.pvalue))
    assert shift.homogeneity(np.array([5, 0]), np.array([7, 0])) == (0.0, 1.0)


def test_the_level_of_homogeneity_in_sparse_tables() -> None:
    """Where counts are small the p value is simulated: it is not below 0.05 more often than that."""
    rng = np.random.default_rng(0)
    shares = np.full(40, 1 / 40)
    ps = [shift.homogeneity(rng.multinomial(60, shares), rng.multinomial(60, shares), seed)[1] for seed in range(200)]
    assert np.mean(np.array(ps) <= 0.05) <= 0.1 and 0.3 < np.mean(ps) < 0.7
