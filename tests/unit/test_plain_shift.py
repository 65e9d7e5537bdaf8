"""The plain formulas of shifts themselves, against cases worked out by hand."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from tests.helpers.plain_shift import estimates


def near(values: object, expected: object, atol: float = 1e-12) -> None:
    np.testing.assert_allclose(values, expected, rtol=0, atol=atol)


# Estimates


def test_scores_of_one_example() -> None:
    # Powers 3, 1, 0: p = 3/4, 1/4; at τ = 1/2 powers 9, 1: 9/10, 1/10.
    z = [[math.log(3), 0.0]]
    near(estimates.softmax(z), [[0.75, 0.25]])
    near(estimates.softmax(z, 0.5), [[0.9, 0.1]])
    # −log(1/3) = log 3, twice that at τ = 1/2; a tie: −log(1 + 1/e²).
    near(estimates.margins(z), [math.log(3)])
    near(estimates.margins(z, 0.5), [2 * math.log(3)])
    near(estimates.margins([[5, 5, 3]]), [-math.log(1 + math.exp(-2))])
    near(estimates.negentropies([[0.5, 0.5], [1, 0], [0.25, 0.75]])[:2], [-math.log(2), 0])
    # max p is 1 in both, but the margins are 100 and 200.
    saturated = [[100.0, 0.0], [0.0, 200.0]]
    assert estimates.softmax(saturated).max(axis=1).tolist() == [1, 1]
    assert estimates.margins(saturated).tolist() == [100, 200]
    assert estimates.margins([[4.0]]).tolist() == estimates.margins([[0.0, 800.0]]).tolist() == [math.inf]


def test_confidence() -> None:
    near(estimates.average_confidence([[0.7, 0.3], [0.1, 0.9]]), 0.8)
    near(estimates.average_confidence([[1.0]]), 1)  # one class
    near(estimates.difference_of_confidence(0.9, 0.95, 0.8), 0.75)
    assert estimates.difference_of_confidence(0.9, 0.6, 0.8) == 1
    assert estimates.difference_of_confidence(0.1, 0.9, 0.5) == 0


def test_atc() -> None:
    v, correct = [4, 1, 3, 2], [True, False, True, True]  # e = 1: t is the second lowest
    assert estimates.atc_threshold(v, correct) == (2, 1)
    assert estimates.atc(v, correct, v) == 0.75
    assert estimates.atc(v, correct, [2]) == 1
    assert estimates.atc(v, correct, [1.9, 2, 5, 0, 0]) == 0.4


def test_atc_with_ties() -> None:
    # e = 2 of 5: t = the third of 1, 2, 2, 2, 3 = 2; ρ = (5 − 2 − 1) / 3 = 2/3.
    v, correct = [2, 1, 2, 3, 2], [False, False, True, True, True]
    t, rho = estimates.atc_threshold(v, correct)
    assert t == 2
    near(rho, 2 / 3)
    near(estimates.atc(v, correct, v), 3 / 5)  # acc_V itself
    near(estimates.atc(v, correct, [3, 2, 2, 1]), (1 + 2 * 2 / 3) / 4)
    # All equal, 1 wrong of 4: ρ = 3/4.
    near(estimates.atc([7] * 4, [True, False, True, True], [7, 7, 8, 6]), (1 + 2 * 3 / 4) / 4)


def test_atc_without_error_and_with_nothing_but_errors() -> None:
    assert estimates.atc_threshold([0.5, 0.9], [True, True]) == (0.5, 1)
    assert estimates.atc([0.5, 0.9], [True, True], [0.4, 0.5, 0.6, 0.7]) == 0.75
    assert estimates.atc([-0.5, -0.1], [True, True], [-0.6, -0.1]) == 0.5  # NE: below 0 is not "always wrong"
    assert estimates.atc_threshold([0.5, math.inf], [False, False]) == (math.inf, 0)
    assert estimates.atc([0.5, math.inf], [False, False], [9, math.inf]) == 0
    assert estimates.atc([0.5], [True], [0.5]) == 1
    # Infinite margins tie with each other: ρ = (3 − 1 − 0) / 2 = 1.
    assert estimates.atc([1, math.inf, math.inf], [False, True, True], [math.inf, 5]) == 0.5


def test_cot() -> None:
    near(estimates.shares([0, 2, 2, 0, 2], 3), [0.4, 0, 0.6])
    p = [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6]]
    # Half of U must be class 1: examples 4 and 3 (0.6 and 0.3): (0.9 + 0.8 + 0.3 + 0.6) / 4.
    near(estimates.transport_plan(p, [0.5, 0.5]), [[0.25, 0], [0.25, 0], [0, 0.25], [0, 0.25]])
    near(estimates.cot(p, [0.5, 0.5]), 0.65)
    # The shares of ŷ itself: average confidence.
    near(estimates.cot(p, [0.75, 0.25]), estimates.average_confidence(p))
    # 3/8 of class 1: half of example 3: (0.9 + 0.8 + ½ · 0.7 + ½ · 0.3 + 0.6) / 4.
    near(estimates.cot(p, [0.625, 0.375]), 0.7)
    # m = 1: p split as the shares are: 0.25 · 0.9 + 0.75 · 0.1.
    near(estimates.cot([[0.9, 0.1]], [0.25, 0.75]), 0.3)
    near(estimates.cot([[1.0], [1.0]], [1.0]), 1)  # one class
    # A class that V does not have gets nothing.
    near(estimates.cot([[0.2, 0.5, 0.3]], [1, 0, 0]), 0.2)


def test_cott() -> None:
    p = [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6]]
    costs = estimates.transport_costs(p, estimates.transport_plan(p, [0.5, 0.5]))
    near(costs, [0.1, 0.2, 0.7, 0.4])
    exact = [0.1, 0.2, 0.7, 0.4]
    # e = 1: t is the third, 0.4; on V itself one of four lies above it.
    assert estimates.cott(exact, [True, True, False, True], exact) == 0.75
    assert estimates.cott(exact, [True, True, False, True], [0.4, 0.41]) == 0.5  # equal counts as right
    assert estimates.cott(exact, [True] * 4, [0.7, 0.71]) == 0.5  # no error: t = 0.7
    assert estimates.cott(exact, [False] * 4, [0, 0.5]) == 0  # all wrong: t = −∞
    assert estimates.cott([0.3], [True], [0.3]) == 1


def test_nuclear_norm() -> None:
    near(estimates.nuclear_norm(np.eye(3)), 1)  # 3 / √(3 · 3)
    near(estimates.nuclear_norm([[1, 0], [1, 0], [0, 1], [0, 1]]), 1)  # 2√2 / √8
    near(estimates.nuclear_norm([[1, 0], [1, 0]]), 1 / math.sqrt(2))  # √2 / √4
    near(estimates.nuclear_norm([[0.5, 0.5]]), math.sqrt(0.5))  # m = 1: its norm
    near(estimates.nuclear_norm([[1], [1], [1]]), 1)  # one class: √3 / √3


def test_gde() -> None:
    # Agreements 3/4, 1/4 and 2/4.
    near(estimates.gde([[0, 1, 2, 0], [0, 1, 2, 1], [1, 1, 0, 1]]), 0.5)
    assert estimates.gde([[1], [1]]) == 1


def test_line() -> None:
    # On the line y = x + 1.
    near(estimates.line([0, 1, 2], [1, 2, 3]), [1, 1, 1])
    # (0, 0), (1, 3), (2, 0): Sxy = 0, so slope 0, intercept 1, R² 0.
    near(estimates.line([0, 1, 2], [0, 3, 0]), [0, 1, 0])
    # (0, 0), (1, 0), (2, 3): means 1, 1; Sxy = 1 + 2 = 3, Sxx = 2; slope 1.5, intercept −½; residuals ½, −1, ½.
    near(estimates.line([0, 1, 2], [0, 0, 3]), [1.5, -0.5, 1 - 1.5 / 6])
    assert math.isnan(estimates.line([0, 1], [2, 2])[2])
    for x, y in (([1, 1], [0, 2]), ([0, math.inf], [0, 1])):
        with pytest.raises(ValueError):
            estimates.line(x, y)


# Three runs on ten examples of V, all of class 0: the first k of each are wrong (class 1), but for the last run.
V = [[1] * 2 + [0] * 8, [1] * 3 + [0] * 7, [0] * 6 + [1] * 4]  # agreements 0.9, 0.4 (= 1 − 0.6), 0.3
U = [[1] * 2 + [0] * 8, [1] * 4 + [0] * 6, [0] * 5 + [1] * 5]  # agreements 0.8, 0.3 (= 1 − 0.7), 0.1


def test_aline() -> None:
    pairs = estimates.aline_pairs(V, U)
    assert [pair[:2] for pair in pairs] == [(0, 1), (0, 2), (1, 2)]
    near([pair[2:] for pair in pairs], [(0.9, 0.8), (0.4, 0.3), (0.3, 0.1)])
    x, y = norm.ppf([0.9, 0.4, 0.3]), norm.ppf([0.8, 0.3, 0.1])
    slope, intercept = np.polyfit(x, y, 1)
    near(estimates.aline_line(pairs)[:2], [slope, intercept])
    accuracies = [0.8, 0.7, 0.6]
    q = norm.ppf(accuracies)
    near(estimates.aline_s(accuracies, V, U), norm.cdf(slope * q + intercept))
    # Three equations in three unknowns, b of (0, 1), (0, 2), (1, 2): w_0 = b_01 + b_02 − b_12, and so on.
    b01, b02, b12 = (y[k] + slope * ((q[i] + q[j]) / 2 - x[k]) for k, (i, j) in enumerate([(0, 1), (0, 2), (1, 2)]))
    near(estimates.aline_d(accuracies, V, U), norm.cdf([b01 + b02 - b12, b01 + b12 - b02, b02 + b12 - b01]))
    with pytest.raises(ValueError):
        estimates.aline_d([1.0, 0.7, 0.6], V, U)


def test_aline_on_a_set_like_v() -> None:
    # U = V: the line is y = x, and both give acc_V back.
    accuracies = [0.8, 0.7, 0.6]
    near(estimates.aline_line(estimates.aline_pairs(V, V)), [1, 0, 1])
    near(estimates.aline_s(accuracies, V, V), accuracies)
    near(estimates.aline_d(accuracies, V, V), accuracies)


def test_aline_leaves_extreme_pairs_out() -> None:
    # Of 100 examples: agreements 0.98 and 0.05 stay, 0.99 and 0.04 go, on either side.
    same, two, one, far, further = ([1] * k + [0] * (100 - k) for k in (0, 2, 1, 95, 96))
    kept = [estimates.aline_pairs([same, other], [same, two]) for other in (two, one, far, further)]
    assert [len(pairs) for pairs in kept] == [1, 0, 1, 0]
    assert estimates.aline_pairs([same, two], [same, one]) == estimates.aline_pairs([same, two], [same, same]) == []


def test_from_a_score_to_an_accuracy() -> None:
    # Probits of the scores −1, 0, 1 and of the accuracies −1, 1, 3: slope 2, intercept 1.
    scores, accuracies = norm.cdf([-1, 0, 1]), norm.cdf([-1, 1, 3])
    near(estimates.probit_line(scores, accuracies), [2, 1], 1e-10)
    near(estimates.probit_accuracy(0.5, 2, 1), 0.8413447460685429)  # Φ(1)
    # Without the last, odd one: the line through the first two is 2x + 1, so 3 instead of 2.
    scores, accuracies = norm.cdf([-1, 0, 1, 1]), norm.cdf([-1, 1, 2, 2])
    estimated = estimates.left_out_accuracies(scores, accuracies, ["a", "b", "c", "c"])
    near(norm.ppf(estimated[2:]), [3, 3], 1e-10)
    # Without the first: (0, 1), (1, 2), (1, 2): x + 1, at −1: 0.
    near(norm.ppf(estimated[0]), 0, 1e-10)
    with pytest.raises(ValueError):
        estimates.probit_line([0.5, 1.0], [0.5, 0.6])


def test_dis2() -> None:
    # (4 · 100 + 100) / (2 · 100 · 100) = 1/40, of log(1 / δ) = 1.
    near(estimates.dis2_epsilon(100, 100, math.exp(-1)), math.sqrt(1 / 40))
    near(estimates.dis2_epsilon(1, 4, math.exp(-2)), math.sqrt(17 * 2 / 8))  # not symmetric
    # Critic 0 agrees on 4/4 and 1/2; critic 1 on 3/4 and 2/2: gaps 1/2 and −1/4.
    v, u = [0, 1, 1, 0], [0, 1]
    critics_v, critics_u = [[0, 1, 1, 0], [1, 1, 1, 0]], [[0, 0], [0, 1]]
    assert estimates.disagreement_gap(v, critics_v[1], u, critics_u[1]) == -0.25
    expected = 0.9 - 0.5 - estimates.dis2_epsilon(4, 2, 0.05)
    near(estimates.dis2_bound(0.9, v, u, critics_v, critics_u, 0.05), expected)
    # −log(3/4) on V; on U: z'_0 = log 3 against the mean of 1 and −1: log(1 + 3).
    z = math.log(3)
    near(estimates.critic_loss([[z, 0]], [0], [[z, 1, -1]], [0]), -math.log(0.75) + math.log(4))
