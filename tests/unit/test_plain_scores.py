"""The plain formulas of scores of checkpoints themselves, against cases worked out by hand."""

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal, weightedtau

from tests.helpers.plain_shift import scores


def near(values: object, expected: object, atol: float = 1e-12) -> None:
    np.testing.assert_allclose(values, expected, rtol=0, atol=atol)


def test_logme_of_one_number() -> None:
    # F = 2, t = 1: σ = 4, x² = 1, r = 0; s = 1: γ = 4/5, m² = 4/25, e² = 1/25; α = 0.8/0.16001, β = 0.2/0.04001.
    alpha, beta = 0.8 / 0.16001, 0.2 / 0.04001
    expected = (math.log(alpha * beta / (alpha + 4 * beta)) - math.log(2 * math.pi)) / 2 - beta * 0.02 - alpha * 0.08
    near(scores.logme_of_targets([[2.0]], [1.0], rounds=1), expected)
    # s = 1.0002 after it, near enough to 1 to be the last.
    near(scores.logme_of_targets([[2.0]], [1.0]), expected)
    near(scores.logme([[2.0]], [7]), expected)  # one class


def test_logme_goes_on_until_it_is_near() -> None:
    # F = 1, 1, t = 2, 0: σ = 2, x² = 2, r = 2; s = 1: γ = 2/3, m² = 4/9, e² = 20/9; s = 3/2 · 5/3 but for 1e-5.
    s = (2 / 3 / (4 / 9 + 1e-5)) / ((4 / 3) / (20 / 9 + 1e-5))
    gamma, m, e = 2 / (2 + s), 4 / (2 + s) ** 2, 2 / (1 + 2 / s) ** 2 + 2
    alpha, beta = gamma / (m + 1e-5), (2 - gamma) / (e + 1e-5)
    expected = math.log(alpha) / 2 + math.log(beta) - math.log(alpha + 2 * beta) / 2 - beta * e / 2 - alpha * m / 2
    expected = (expected - math.log(2 * math.pi)) / 2
    near(scores.logme_of_targets([[1.0], [1.0]], [2.0, 0.0], rounds=2), expected)
    assert abs(scores.logme_of_targets([[1.0], [1.0]], [2.0, 0.0], rounds=1) - expected) > 1e-3


@pytest.mark.parametrize("shape", [(7, 3), (3, 7)])
def test_evidence_is_the_likelihood(shape: tuple[int, int]) -> None:
    # t ~ N(0, I/β + FFᵀ/α); m² and e² are those of the mean of the posterior, (αI/β + FᵀF)⁻¹ Fᵀt.
    random = np.random.default_rng(0)
    F, t, alpha, beta = random.normal(size=shape), random.normal(size=shape[0]), 0.7, 1.9
    mean = np.linalg.solve(alpha / beta * np.eye(shape[1]) + F.T @ F, F.T @ t)
    sigma = np.linalg.svd(F, compute_uv=False) ** 2
    e = ((t - F @ mean) ** 2).sum()
    evidence = scores.logme_evidence(t, sigma, shape[1], alpha, beta, mean @ mean, e)
    near(evidence, multivariate_normal.logpdf(t, np.zeros(shape[0]), np.eye(shape[0]) / beta + F @ F.T / alpha))


def test_dead_dimensions_change_nothing_in_logme() -> None:
    random = np.random.default_rng(1)
    F, labels = random.normal(size=(12, 3)), [0, 1, 2] * 4
    plain = scores.logme(F, labels)
    near(scores.logme(np.concatenate([F, np.zeros((12, 2))], axis=1), labels), plain, 1e-11)  # D = 5 of rank 3
    near(scores.logme(np.concatenate([F, np.zeros((12, 40))], axis=1), labels), plain, 1e-11)  # N < D
    # K = 2: the mean of both ways round.
    two = [0, 1] * 6
    ways = [scores.logme_of_targets(F, [float(y == c) for y in two]) for c in (0, 1)]
    near(scores.logme(F, two), sum(ways) / 2)


def test_leep() -> None:
    near(scores.leep([[1, 0], [0, 1]], [0, 1]), 0)
    near(scores.leep([[0.5, 0.5]] * 2, [0, 1]), math.log(0.5))
    # P(0, z) = 3/8, 1/8; P(z) = ½: P(0|z) = 3/4, 1/4; 3/4 · 3/4 + 1/4 · 1/4 = 5/8, for both examples.
    near(scores.leep([[0.75, 0.25], [0.25, 0.75]], [0, 1]), math.log(5 / 8))
    near(scores.leep([[0.75, 0, 0.25], [0.25, 0, 0.75]], [4, 2]), math.log(5 / 8))  # one source class never seen
    near(scores.leep([[0.3, 0.7], [0.6, 0.4]], [1, 1]), 0)  # one class
    # Classes of 1 and 2: P(0|z) = 1/2, 0 (1 of 2 on z = 0; 0 of 1 on z = 1): log ½, log ½, log 1.
    near(scores.leep([[1, 0], [1, 0], [0, 1]], [0, 1, 1]), 2 / 3 * math.log(0.5))


def test_nce() -> None:
    # z = 0 tells nothing of 0 and 1, z = 1 all: −½ log 2; with hard z as LEEP's.
    near(scores.nce([0, 0, 1, 1], [0, 1, 1, 1]), -math.log(2) / 2)
    near(scores.nce([3, 3, 5], [0, 0, 1]), 0)


def test_ledoit_wolf() -> None:
    def cross(a: float) -> list[list[float]]:
        return [[a + 9, 5], [-a + 9, 5], [9, 6], [9, 4]]  # ±a and ±1 on the axes, about (9, 5)

    # S = diag(2, ½), μ = 5/4, d² = 9/16; every ‖ff' − S‖² = 17/4, so b² = 17 / 32; α = 17/18.
    near(scores.ledoit_wolf(cross(2)), 17 / 18)
    # S = diag(1, ½), d² = 1/16 < b² = 5/32.
    near(scores.ledoit_wolf(cross(math.sqrt(2))), 1)
    assert scores.ledoit_wolf([[1.0, 0], [-1, 0]]) == 0  # every ff' is S
    assert scores.ledoit_wolf([[1.0], [2], [5]]) == 0  # D = 1: nothing to shrink to


def test_h_score() -> None:
    # −3, −1, 1, 3: S = 5; class means −2, 2: 4.
    F, labels = [[0.0], [2], [4], [6]], [0, 0, 1, 1]
    near(scores.class_means(F, labels), [[1], [1], [5], [5]])
    near(scores.h_score(F, labels), 0.8)
    near(scores.h_score(F, labels, ddof=1), 0.8 * 4 / 3)
    near(scores.h_score(F, labels, shrinkage=0.5), 0.4)  # in one dimension only the factor 1 − α
    near(scores.h_score(F, [0] * 4), 0)  # one class
    # S = diag(2, ½), α = ½: diag(1.625, 0.875); cov(G) = diag(0, ½) of the classes ±1 on the second axis, 0 else.
    F, labels = [[2.0, 0], [-2, 0], [0, 1], [0, -1]], [0, 0, 1, 2]
    near(scores.h_score(F, labels, shrinkage=0.5), 0.5 * 0.5 / 0.875)
    # α = 17/18: of the axes' 2 and ½ toward 5/4: the second is 1/36 + 85/72 = 87/72.
    near(scores.h_score(F, labels), 1 / 18 * 0.5 / (87 / 72))
    near(scores.h_score([[2.0, 0], [-2, 0]], [0, 1], shrinkage=0), 1)  # a dead dimension


def test_gbc() -> None:
    # Means 0 and 4, variances 1: B = 16/8; both orders.
    near(scores.gbc([[-1.0], [1], [3], [5]], [0, 0, 1, 1]), -2 * math.exp(-2))
    # D = 2, the same mean, variances 1 and 4, v̄ = 5/2: B = log 2.5 − ½ log 4 = log 1.25.
    near(scores.gbc([[-1.0, -1], [1, 1], [-2, -2], [2, 2]], [5, 5, 3, 3]), -2 / 1.25)
    # One example a class: v = 1e-4; means 0.02 apart: B = 4e-4 / 8e-4.
    near(scores.gbc([[0.0], [0.02]], [0, 1]), -2 * math.exp(-0.5))
    # The floor is of every dimension: (1e-4 + 2)/2 for variances 0 and 2; the same classes but for their means.
    root, v = math.sqrt(2), 1.00005
    rows = [[0.0, -root], [0, root], [4, -root], [4, root]]
    near(scores.gbc(rows, [0, 0, 1, 1]), -2 * math.exp(-16 / (8 * v)))
    # Three classes, two of them the same: B = 0 and 2, 2.
    near(scores.gbc([[-1.0], [1], [-1], [1], [3], [5]], [0, 0, 1, 1, 2, 2]), -2 - 4 * math.exp(-2))
    assert scores.gbc([[1.0], [2]], [0, 0]) == 0


def test_transrate() -> None:
    # ±1 about the mean, one of each class: R(Z) = R(Z_c) = ½ log(1 + 1e4).
    near(scores.transrate([[0.0], [2]], [0, 1]), 0)
    # A cross: ZᵀZ/N = ½I; every class has one axis, of 1.
    cross = [[1.0, 0], [-1, 0], [0, 1], [0, -1]]
    near(scores.transrate(cross, [0, 0, 1, 1]), math.log(5001) - math.log(10001) / 2)
    near(scores.transrate(cross, [0, 0, 1, 1], epsilon_square=1), math.log(1.5) - math.log(2) / 2)
    near(scores.transrate(cross, [3] * 4), 0)  # one class
    # Classes of 4 and 2, axes of 1 and 4: ZᵀZ/N = diag(4/6, 8/6); ε² = 1:
    # ½ log(5/3 · 7/3) − (⅔ · ½ log 2 + ⅓ · ½ log 5).
    rows = [*cross[:2], *cross[:2], [0, 2], [0, -2]]
    expected = math.log(35 / 9) / 2 - math.log(2) / 3 - math.log(5) / 6
    near(scores.transrate(rows, [0, 0, 0, 0, 1, 1], epsilon_square=1), expected)


def test_nearest_neighbours() -> None:
    F, labels = [[1.0, 0], [10, 1], [0, 1], [1, 10]], [0, 0, 1, 1]
    assert scores.nearest_neighbour_accuracy(F, labels, k=1) == 1  # (10, 1) is far, but its cosine is near
    assert scores.nearest_neighbour_accuracy(F, labels) == 0  # all three others: two of the other class
    assert scores.nearest_neighbour_accuracy(F, labels, k=2) == 0.5  # one of each: the smaller class
    assert scores.nearest_neighbour_accuracy(F, labels, k=1, folds=[0, 0, 1, 1]) == 0
    assert scores.nearest_neighbour_accuracy(F, labels, k=1, folds=[0, 1, 1, 0]) == 1
    assert scores.nearest_neighbour_accuracy(F, [2] * 4) == 1  # one class
    # k = 2 of classes 0, 1, 0: a tie, all wrong (1), a tie.
    near(scores.nearest_neighbour_accuracy([[1.0, 0], [1, 1], [1, -1]], [0, 1, 0], k=2), 2 / 3)
    # Two equal cosines: the earlier example. (0, 0): all cosines 0, so example 0.
    assert scores.nearest_neighbour_accuracy([[1.0, 0], [1, 1], [1, -1]], [0, 1, 0], k=1) == 1 / 3
    assert scores.nearest_neighbour_accuracy([[1.0, 0], [1, 0], [0, 0]], [1, 1, 1], k=1) == 1


def test_weighted_tau() -> None:
    near(scores.weighted_tau([3, 1, 2], [9, 4, 5]), 1)
    near(scores.weighted_tau(np.array([3, 1, 2]), np.array([9, 4, 5])), 1)
    near(scores.weighted_tau([3, 1, 2], [-9, -4, -5]), -1)
    # Ranks by x: 0, 1, 2 (weights 1, ½, ⅓): pairs 3/2, 4/3, 5/6, in sum 11/3. The last two are swapped in y: of
    # ranks by x that is the pair of 5/6: (11/3 − 5/3) / (11/3) = 6/11; ranks by y give it the same weight.
    near(scores.weighted_tau([3, 2, 1], [3, 1, 2]), 6 / 11)
    # The first two swapped: (11/3 − 3) / (11/3) = 2/11.
    near(scores.weighted_tau([3, 2, 1], [2, 3, 1]), 2 / 11)
    # A tie in y of the last two: ⟨x, y⟩ = ⟨y, y⟩ = 17/6, ⟨x, x⟩ = 11/3: √(17/22).
    near(scores.weighted_tau([3, 2, 1], [3, 1, 1]), math.sqrt(17 / 22))
    assert math.isnan(scores.weighted_tau([1, 1], [1, 2]))
    random = np.random.default_rng(0)
    for _ in range(20):
        x, y = random.integers(0, 6, 12).tolist(), random.integers(0, 6, 12).tolist()
        near(scores.weighted_tau(x, y), weightedtau(x, y).statistic)


def test_of_the_pick() -> None:
    near(scores.of_the_pick([1, 3, 3], [0.8, 0.6, 0.9]), [2 / 3, 30])
    assert scores.of_the_pick([2], [0.5]) == (1, 0)
