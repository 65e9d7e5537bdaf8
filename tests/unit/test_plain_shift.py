"""The plain formulas of shifts themselves, against cases worked out by hand."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from tests.helpers.plain_shift import estimates, label_shift, two_samples


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


# Label shift


def test_bbse() -> None:
    # Of 4 of class 0 three are right, of 4 of class 1 two: C = [[3, 2], [1, 2]] / 8.
    labels, predicted = [0] * 4 + [1] * 4, [0, 0, 0, 1, 0, 0, 1, 1]
    C = label_shift.joint_matrix(predicted, labels, 2)
    near(C, [[3 / 8, 2 / 8], [1 / 8, 2 / 8]])
    # μ = (11/16, 5/16): 3w_0 + 2w_1 = 5.5, w_0 + 2w_1 = 2.5: w = (1.5, 0.5), q = (0.75, 0.25).
    near(label_shift.bbse(predicted, labels, [0] * 11 + [1] * 5, 2), [0.75, 0.25])
    # μ = (1, 0): 3w_0 + 2w_1 = 8, w_0 + 2w_1 = 0: w = (4, −2), so q = (1, 0).
    near(label_shift.bbse(predicted, labels, [0], 2), [1, 0])
    # V's own predictions: V's own shares.
    near(label_shift.bbse(predicted, labels, predicted, 2), [0.5, 0.5])
    near(label_shift.bbse([0], [0], [0], 1), [1])  # one class
    near(label_shift.weighted_shares([1, 3], [0.75, 0.25]), [0.5, 0.5])
    with pytest.raises(np.linalg.LinAlgError):
        label_shift.bbse([0, 0], [0, 1], [0], 2)  # class 1 is never predicted


def test_condition() -> None:
    assert label_shift.condition([[0.5, 0], [0, 0.125]]) == 4
    assert label_shift.condition([[0.5, 0.5], [0, 0]]) == math.inf


def test_rlls_theta() -> None:
    half, none = [[0.5, 0], [0, 0.5]], [0, 0]
    # ‖θ/2 − d‖ + λ‖θ‖: a loss of ½ − λ per unit on the way to θ = 2d.
    near(label_shift.rlls_theta(half, [0.3, -0.4], 0.49), [0.6, -0.8])
    near(label_shift.rlls_theta(half, [0.3, -0.4], 0.51), none)
    # Bound: |θ/2 + 1| falls down to −2, but θ ≥ −1.
    near(label_shift.rlls_theta(half, [-1, 0], 0.1), [-1, 0])
    # √((θ − 2)² + 1) + 0.6 θ: (θ − 2) / √… = −0.6, so 2 − θ = 3/4.
    near(label_shift.rlls_theta([[1, 0], [0, 0]], [2, 1], 0.6), [1.25, 0], 1e-11)
    near(label_shift.rlls_objective([1.25, 0], [[1, 0], [0, 0]], [2, 1], 0.6), 2)
    # The same at K = 1: |2θ − 1| + λ|θ|.
    near(label_shift.rlls_theta([[2]], [1], 1.9), [0.5])
    near(label_shift.rlls_theta([[2]], [1], 2.1), [0])


def test_rlls_theta_is_the_smallest() -> None:
    random = np.random.default_rng(0)
    for strength in (0.01, 0.05, 0.1, 0.2):
        C = random.dirichlet(np.ones(16)).reshape(4, 4)
        d = random.dirichlet(np.ones(4)) - random.dirichlet(np.ones(4))
        theta = label_shift.rlls_theta(C, d, strength)
        least = label_shift.rlls_objective(theta, C, d, strength)
        assert theta.min() >= -1
        for size in (1e-6, 1e-4, 1e-2, 1):
            for step in size * random.normal(size=(200, 4)):
                other = np.maximum(theta + step, -1)
                assert label_shift.rlls_objective(other, C, d, strength) >= least - 1e-15


def test_rlls() -> None:
    # log(2 · 2 / 0.05) = log 80; n = 8.
    near(label_shift.rlls_rho(8, 2), math.log(80) / 4 + 1.5 * math.sqrt(math.log(80)))
    near(label_shift.rlls_rho(8, 2, 4 / math.e), 3 * (2 / 24 + 0.5))  # a logarithm of 1
    # Strength 0.01 · ρ ≈ 0.042, below the smallest singular value of C (0.121): exactly BBSE's w = (1.5, 0.5).
    labels, predicted = [0] * 4 + [1] * 4, [0, 0, 0, 1, 0, 0, 1, 1]
    near(label_shift.rlls(predicted, labels, [0] * 11 + [1] * 5, 2), [1.5, 0.5])
    near(label_shift.rlls(predicted, labels, predicted, 2), [1, 1])


def test_em() -> None:
    near(label_shift.em([[1, 0], [1, 0], [0, 1], [1, 0]], [0.5, 0.5]), [0.75, 0.25])
    # From even shares: (0.8, 0.2); then 0.64 : 0.04.
    p = [[0.8, 0.2]]
    near(label_shift.em(p, [0.5, 0.5], rounds=1), [0.8, 0.2])
    near(label_shift.em(p, [0.5, 0.5], rounds=2), [16 / 17, 1 / 17])
    near(label_shift.em(p, [0.5, 0.5], tolerance=0.31), [0.8, 0.2])  # the first change, 0.3, ends it
    # From (0.2, 0.8): p again; then 0.8 · 0.8 / 0.2 : 0.2 · 0.2 / 0.8 = 3.2 : 0.05.
    near(label_shift.em(p, [0.2, 0.8], rounds=2), [64 / 65, 1 / 65])
    # Two examples that mirror each other stay where they are.
    near(label_shift.em([[0.8, 0.2], [0.2, 0.8]], [0.5, 0.5]), [0.5, 0.5])
    near(label_shift.em([[0.5, 0.3, 0.2]], [0.625, 0.375, 0], rounds=1), [0.625, 0.375, 0])  # class 2 is not in V
    near(label_shift.em([[1.0]], [1.0]), [1])
    near(label_shift.corrected_logits([[1, 2]], [0.8, 0.2], [0.4, 0.4]), [[1 + math.log(2), 2 - math.log(2)]])


def test_homogeneity() -> None:
    # 6 and 4 against 2 and 8: expected 4 and 6 in both; 4 · (1/4 + 1/6) · 2 = 10/3.
    v, u = [0] * 6 + [1] * 4, [0] * 2 + [1] * 8
    statistic, freedom, p = label_shift.homogeneity(v, u, 3)
    near(statistic, 10 / 3)
    assert freedom == 1
    near(p, math.erfc(math.sqrt(10 / 3 / 2)))  # one degree of freedom: P(|N| > √χ²)
    # Two degrees of freedom: exp(−χ²/2). Counts 2, 0, 2 against 0, 2, 2: expected 1, 1, 2; χ² = 4.
    near(label_shift.homogeneity([0, 0, 2, 2], [1, 1, 2, 2], 3), [4, 2, math.exp(-2)])
    # Not equal in size: 1, 1 against 4, 2: expected 5/4, 3/4, 15/4, 9/4, all off by 1/4.
    near(label_shift.homogeneity([0, 1], [0] * 4 + [1] * 2, 2)[0], (4 / 5 + 4 / 3 + 4 / 15 + 4 / 9) / 16)
    assert label_shift.homogeneity([1, 1], [1], 3) == (0, 0, 1)


def test_expected_accuracy() -> None:
    recall = label_shift.recalls([0, 0, 0, 1, 1], [0, 0, 0, 0, 1], 3)
    near(recall, [0.75, 1, math.nan])
    near(label_shift.expected_accuracy([0.4, 0.6, 0], recall), 0.9)
    near(label_shift.expected_accuracy([0.8, 0.2, 0], recall), 0.8)  # V's own shares: V's accuracy
    assert math.isnan(label_shift.expected_accuracy([0, 0.5, 0.5], recall))


# Two samples


def test_two_proportions() -> None:
    # 0.9 and 0.7 of 100 each: a = 0.8; √(0.16 · 0.02) = 0.04 · √2.
    z, p = two_samples.two_proportions(90, 100, 70, 100)
    near(z, 0.2 / (0.04 * math.sqrt(2)))
    near(p, math.erfc(z / math.sqrt(2)) / 2)
    # 8/10 and 10/40: a = 18/50; √(0.36 · 0.64 · 0.125) = 0.48 · √(1/8).
    near(two_samples.two_proportions(8, 10, 10, 40)[0], 0.55 / (0.48 * math.sqrt(1 / 8)))
    assert two_samples.two_proportions(3, 3, 1, 1) == two_samples.two_proportions(0, 3, 0, 1) == (0, 0.5)
    near(two_samples.two_proportions(70, 100, 90, 100)[0], -z)


def test_power() -> None:
    # α = ½: z_{1 − α} = 0. a = 0.8, b = 0.5: s₁ = √(0.16/16 + 0.25/25) = √0.02.
    near(two_samples.power(0.8, 0.3, 16, 25, alpha=0.5), norm.cdf(0.3 / math.sqrt(0.02)))
    # a = 0.9, b = 0.7, 100 each: s₀ = 0.04 · √2, s₁ = √(0.0009 + 0.0021).
    z = 2.3263478740408408  # of 0.99
    expected = norm.cdf((0.2 - z * 0.04 * math.sqrt(2)) / math.sqrt(0.003))
    near(two_samples.power(0.9, 0.2, 100, 100), expected)
    near(two_samples.power(0.9, 0.0, 100, 100), 0.01)  # nothing to find: the level
    assert two_samples.power(1.0, 1.0, 10, 10) == 1
    assert two_samples.power(1.0, 1.0, 1, 1) == 0  # s₀ = √(¼ · 2), · 2.33 > 1


def test_smallest_drop() -> None:
    for accuracy, n, m in ((0.9, 130, 300), (0.5, 1000, 50), (1.0, 100, 100)):
        drop = two_samples.smallest_drop(accuracy, n, m)
        near(two_samples.power(accuracy, drop, n, m), 0.8)
        assert two_samples.power(accuracy, drop - 1e-6, n, m) < 0.8
    assert math.isnan(two_samples.smallest_drop(0.1, 10, 10))
    assert math.isnan(two_samples.smallest_drop(0.0, 10, 10))
    # (2.3263 + 0.8416) · √(0.25 · 0.02) at 0.5 and 100 each.
    short = (2.3263478740408408 + 0.8416212335729143) * math.sqrt(0.005)
    near(two_samples.smallest_drop_of_equal_variance(0.5, 100, 100), short)


def test_auc() -> None:
    # Pairs: 2 > 1; 2 = 2; 2 < 3; 4 > 1, 2, 3: 4.5 of 6.
    assert two_samples.auc([1, 2, 3], [2, 4]) == 0.75
    assert two_samples.auc([1], [1]) == 0.5
    assert (two_samples.auc([1, 2], [3]), two_samples.auc([3], [1, 2])) == (1, 0)


def test_mann_whitney() -> None:
    # No ties: 2 · 2 / 12 · 5 = 5/3; U = 4 of an expected 2.
    near(two_samples.mann_whitney([1, 2], [3, 4])[0], 2 / math.sqrt(5 / 3))
    # One tie of two: (8 − 2) / (5 · 4) = 0.3 off 6; variance 6 / 12 · 5.7; U = 4.5 of an expected 3.
    near(two_samples.mann_whitney([1, 2, 3], [2, 4])[0], 1.5 / math.sqrt(2.85))
    assert two_samples.mann_whitney([1, 1], [1, 1]) == (0, 0.5)


def test_divergence() -> None:
    assert two_samples.gaussian_divergence([3], [2], [3], [2]) == 0
    # The same deviation 2, means 1 apart: both (1/4) / 2.
    near(two_samples.gaussian_divergence([0], [2], [1], [2]), 1 / 8)
    # σ_V = 1, σ_U = 2, the same mean: U to V −log 2 + 2 − ½, V to U log 2 + 1/8 − ½; half the sum.
    near(two_samples.gaussian_divergence([5], [1], [5], [2]), 9 / 16)
    near(two_samples.gaussian_divergence([0, 5], [2, 1], [1, 5], [2, 2]), (1 / 8 + 9 / 16) / 2)
    # Both: means 1 apart too: (1 / 2 + 1 / 8) / 2 more.
    near(two_samples.gaussian_divergence([5], [1], [6], [2]), 9 / 16 + 5 / 16)
    near(two_samples.moments([[1, 0], [3, 4]]), [[2, 2], [1, 2]])
    near(two_samples.moment_divergence([[0.0], [4]], [[1.0], [5]]), 1 / 8)
    near(two_samples.divergence_over_noise([[0.0], [4]], [[1.0], [5]], [[0.0], [4]], [[0.5], [4.5]]), 3 / 32)


def test_gradients() -> None:
    gradients, weights = {"a": [[3.0, 0]], "b": [4.0], "c": [1.0]}, {"a": [[6.0, 0]], "b": [8.0], "c": [4.0]}
    blocks = {"a": "first", "b": "first", "c": "last"}
    assert two_samples.relative_gradient_norms(gradients, weights, blocks) == {"first": 0.5, "last": 0.25}
    # Signs + + +, + − 0, + − −: 1, 0 and 1/3.
    near(two_samples.sign_agreement([[1, 2, 3], [9, -1, -4], [0.1, 0, -1]]), (1 + 0 + 1 / 3) / 3)
    assert two_samples.sign_agreement([[1, -2, 0]]) == 2 / 3  # one batch
