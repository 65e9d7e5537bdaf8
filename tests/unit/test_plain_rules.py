"""The plain rules themselves, against cases worked out by hand."""

import math

import numpy as np
import pytest
import torch

from tests.helpers.plain_rules.averages import greedy, lines, running_mean, stock, uniform, wise
from tests.helpers.plain_rules.heads import dfr, l1_logistic, ldifs, one_standard_error
from tests.helpers.plain_rules.optimisers import ftp_steps, spd_steps
from tests.helpers.plain_rules.weights import plain, plain_weights


def near(values: np.ndarray, expected: object, atol: float = 1e-12) -> None:
    np.testing.assert_allclose(values, expected, rtol=0, atol=atol)


def test_plain_copies_are_float64_and_leave_integers_out() -> None:
    weight = torch.tensor([1.5], requires_grad=True)
    copies = plain_weights({"w": weight, "half": torch.tensor([0.5]).bfloat16(), "list": [0.1], "n": torch.tensor(3)})
    assert {name: (w.dtype, w.tolist()) for name, w in copies.items()} == {
        "w": (np.float64, [1.5]),
        "half": (np.float64, [0.5]),
        "list": (np.float64, [0.1]),  # not rounded to float32
    }
    for own in (np.zeros(1), torch.zeros(1).double()):
        plain(own)[0] = 1
        assert own[0] == 0


# Averages


def test_running_mean() -> None:
    # 9 does not count: itself, and not in the mean. Then 2; (2 + 4) / 2 = 3; (2 + 4 + 9) / 3 = 5.
    steps = [{"w": [x]} for x in (9.0, 2.0, 4.0, 9.0)]
    assert [mean["w"].item() for mean in running_mean(steps, 1)] == [9, 2, 3, 5]
    # From the first on: 9; 11 / 2; 15 / 3; 24 / 4.
    near([mean["w"].item() for mean in running_mean(steps, 0)], [9, 5.5, 5, 6])
    assert [mean["w"].item() for mean in running_mean(steps, 9)] == [9, 2, 4, 9]


def test_wise() -> None:
    start, end = {"w": [1.0, 10.0]}, {"w": [5.0, 30.0]}
    assert [wise(start, end, x)["w"].tolist() for x in (0, 0.25, 1)] == [[1, 10], [2, 15], [5, 30]]


def test_uniform() -> None:
    assert uniform([{"w": [x]} for x in (1.0, 2.0, 9.0)])["w"].tolist() == [4]


def test_greedy() -> None:
    # Order of trial: 8 (0.9), then 4 and 0 (0.8 each, the earlier first), then 2 (0.7).
    members = [(0.7, {"w": [2.0]}), (0.8, {"w": [4.0]}), (0.9, {"w": [8.0]}), (0.8, {"w": [0.0]})]
    # 8 and 4: mean 6, equal to 0.9, enters. 8, 4, 0: mean 4, worse, does not. 8, 4, 2: mean 14/3, better, enters.
    accuracy = {6.0: 0.9, 4.0: 0.89, 14 / 3: 0.95}
    asked = []

    def evaluate(weights: dict[str, np.ndarray]) -> float:
        asked.append(weights["w"].item())
        return accuracy[asked[-1]]

    soup, kept = greedy(members, evaluate)
    assert (asked, kept, soup["w"].tolist()) == ([6.0, 4.0, 14 / 3], [2, 1, 0], [14 / 3])


def test_greedy_compares_with_the_soup_so_far_and_not_with_the_best_member() -> None:
    # 8 and 4 rise to 0.95; with 0 the soup has 0.92: above the best member (0.9), below the soup (0.95).
    members = [(0.9, {"w": [8.0]}), (0.8, {"w": [4.0]}), (0.7, {"w": [0.0]})]
    assert greedy(members, lambda w: {6.0: 0.95, 4.0: 0.92}[w["w"].item()])[1] == [0, 1]


@pytest.mark.parametrize(
    ("members", "ratio"),
    [
        ([[2.0, 0.0], [2.0, 0.0]], 1.0),  # the same member twice: cos 1, t = 2 / 2
        ([[2.0, 0.0], [-1.0, 0.0]], 0.0),  # opposite: cos −1, t = −2 / 0, clipped
        ([[0.1, 0.3], [-0.3, -0.9]], 0.0),  # opposite up to rounding, where the denominator may come out below zero
        ([[2.0, 0.0], [0.0, 3.0]], 0.0),  # orthogonal: cos 0
        ([[2.0, 0.0], [1.0, 3**0.5]], 2 / 3),  # 60 degrees: cos 1/2, t = 1 / (3/2)
        ([[2.0, 0.0], [2.0, 0.0], [0.0, 1.0]], 0.6),  # cosines 1, 0, 0: mean 1/3, t = 1 / (5/3) (of angles: 3/4)
        ([[2.0, 0.0], [0.0, 0.0]], 1.0),  # one did not move
    ],
)
def test_stock(members: list[list[float]], ratio: float) -> None:
    start = np.array([10.0, 20.0])
    moved = [{"w": start + member} for member in members]
    near(stock(moved, {"w": start})["w"], start + ratio * np.mean(members, axis=0))


def test_stock_takes_every_tensor_on_its_own() -> None:
    start = {"same": [[1.0]], "apart": [[1.0, 1.0]]}
    members = [{"same": [[2.0]], "apart": [[2.0, 1.0]]}, {"same": [[2.0]], "apart": [[1.0, 2.0]]}]
    assert {n: w.tolist() for n, w in stock(members, start).items()} == {"same": [[2.0]], "apart": [[1.0, 1.0]]}
    with pytest.raises(ValueError, match="two members"):
        stock(members[:1], start)


def test_lines() -> None:
    start = {name: [1.0] for name in ("first", "middle", "last", "head")}
    end = {name: [5.0] for name in start}
    blocks = {"first": 0, "middle": 1, "last": 2, "head": None}
    # α = 0.5: s = 0.5, 0.75, 1 and 1 for the head, times a difference of 4.
    scaled = lines(start, end, blocks, 3, 0.5)
    assert {n: w.item() for n, w in scaled.items()} == {"first": 3, "middle": 4, "last": 5, "head": 5}
    assert {w.item() for w in lines(start, end, blocks, 3, 1).values()} == {5}
    assert lines(start, end, blocks, 3, 0)["first"].item() == 1
    assert lines({"w": [1.0]}, {"w": [5.0]}, {"w": 0}, 1, 0.5)["w"].item() == 5  # one block: s = 1


# Optimisers


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_without_strength_the_steps_are_torch_s(optimiser: str) -> None:
    start = {"w": torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64), "b": torch.tensor([0.3]).double()}
    rates, power = [0.1, 0.2, 0.05, 0.3], {"w": 3, "b": 1}
    own = {name: torch.nn.Parameter(w.clone()) for name, w in start.items()}
    torch_s = torch.optim.SGD(own.values(), momentum=0.9) if optimiser == "sgd" else torch.optim.Adam(own.values())
    steps = spd_steps(start, [lambda w: {n: w[n] ** power[n] for n in w}] * 4, rates, optimiser, 0.0, momentum=0.9)
    for lr, ours in zip(rates, steps, strict=True):
        torch_s.param_groups[0]["lr"] = lr
        for name, parameter in own.items():
            parameter.grad = parameter.detach() ** power[name]
        torch_s.step()
        for name, parameter in own.items():
            near(ours[name], parameter.detach().numpy(), 1e-10)


@pytest.mark.parametrize(
    ("gradient", "strength", "expected"),
    [
        # From the anchor 0 to (3, 4), radius 5, where the inner product is 0. Then (9, 12): inner product 75 > 0, the
        # step leads to (−6, −8), radius 10, ρ = (10 − 5) / 10.
        ([9.0, 12.0], 1.0, [-3.0, -4.0]),  # times 1 − 1/2: back on radius 5
        ([9.0, 12.0], 0.5, [-4.5, -6.0]),  # times 1 − 1/4
        ([9.0, 12.0], 2.0, [0.0, 0.0]),  # times 1 − 1
        ([9.0, 12.0], 0.0, [-6.0, -8.0]),
        ([-3.0, -4.0], 1.0, [6.0, 8.0]),  # inner product below 0: free
        ([1.5, 2.0], 1.0, [1.5, 2.0]),  # above 0, but the radius shrinks: ρ = 0
        ([3.0, 4.0], 1.0, [0.0, 0.0]),  # lands on the anchor: ρ = 0 and not 0 / 0
    ],
)
def test_spd(gradient: list[float], strength: float, expected: list[float]) -> None:
    steps = spd_steps({"w": [0.0, 0.0]}, [{"w": [-3.0, -4.0]}, {"w": gradient}], [1.0, 1.0], "sgd", strength)
    near(steps[0]["w"], [3, 4])
    near(steps[1]["w"], expected)


def test_spd_measures_from_the_anchor_and_takes_every_tensor_on_its_own() -> None:
    # As above, around (−10, −20); the second tensor moves outwards and would change a common inner product and radius.
    start = {"w": [-10.0, -20.0], "other": [7.0], "head": [0.0], "frozen": [1.0]}
    gradients = [
        {"w": [-3.0, -4.0], "other": [-100.0], "head": [-1.0]},
        {"w": [9.0, 12.0], "other": [-100.0], "head": [3.0], "frozen": None},
    ]
    end = spd_steps(start, gradients, [1.0, 1.0], "sgd", 1.0, free={"head"})[-1]
    near(end["w"], [-13, -24])
    near(end["other"], [207])
    near(end["head"], [-2])  # free; constrained it would be −1
    near(end["frozen"], [1])


def test_spd_keeps_the_momentum_and_asks_the_raw_gradient() -> None:
    # Momentum 1. Step 1: buffer −4, to 4. Step 2, gradient 1: buffer −3, to 7; inner product 1 · 4 > 0 though the
    # step leads outwards; λ = 1: back to 4. Step 3, gradient −1: buffer −4 and not −1, from 4 to 8, free.
    gradients = [{"w": [g]} for g in (-4.0, 1.0, -1.0)]
    assert [w["w"].item() for w in spd_steps({"w": [0.0]}, gradients, [1.0] * 3, "sgd", 1.0, 1.0)] == [4, 4, 8]


def test_spd_with_adam() -> None:
    # Step 1: to 1. Step 2, gradient 0.1: m = −0.08, over 0.19: −0.421053; v = 0.001009, over 0.001999: 0.504752, its
    # root 0.710459. So 1 + 0.592649, outwards, and 0.1 · 1 > 0: with λ = 1 back to 1, with λ = 0.5 half way.
    gradients = [{"w": [-1.0]}, {"w": [0.1]}]
    end = {x: spd_steps({"w": [0.0]}, gradients, [1.0, 1.0], "adam", x)[-1]["w"].item() for x in (0.0, 0.5, 1.0)}
    near(list(end.values()), [1.592649, 1.296325, 1.0], 1e-6)


def ftp(gradients: list, rates: list[float], shape: tuple[int, ...], k: float = 1.0) -> list[np.ndarray]:
    """Weights less their start, after every step of FTP with SGD."""
    steps = ftp_steps({"w": np.full(shape, 5.0)}, [{"w": np.full(shape, g)} for g in gradients], rates, "sgd", k)
    return [step["w"] - 5 for step in steps]


def test_ftp_returns_to_the_start_in_its_first_step() -> None:
    # Displacement (1, 1), norm 2, γ = 1e-8: 5e-9 each.
    near(ftp([-1.0], [1.0], (1, 2))[0], [[5e-9, 5e-9]], 1e-14)


def test_ftp_grows_by_a_hundredth_and_shrinks_by_k() -> None:
    # Step 2: h = −2 / 2, Adam's first step is its sign, γ = 0.01; displacement (1, 1), norm 2: 0.005 each.
    # Step 3, gradient 1: h = 2 / 2 · k; displacement 0.005 − 1 each, norm 1.99: −γ / 2 each.
    #   k = 1: m = −0.09 + 0.1, over 0.19: 0.0526316; v̂ = 1; γ = 0.01 − 0.000526316.
    #   k = 0: m = −0.09, over 0.19: −0.4736842; v̂ = 0.000999 / 0.001999, root 0.7069300; γ = 0.01 + 0.0067006.
    for k, radius in ((1.0, 0.009473684), (0.0, 0.016700576)):
        steps = ftp([-1.0, -1.0, 1.0], [1.0] * 3, (1, 2), k)
        near(steps[1], [[0.005, 0.005]], 1e-7)
        near(steps[2], np.full((1, 2), -radius / 2), 1e-7)


def test_ftp_takes_the_displacement_before_the_projection() -> None:
    # Gradients −1, −1, −8 with rates 1, 1, 1/8 on one weight: every displacement is about 1, and h = −1, −8, whatever
    # γ is. γ = 0.01, then m̂ = 0.89 / 0.19 = 4.684211, v̂ = 0.064999 / 0.001999, its root 5.702259:
    # γ = 0.01 + 0.00821466.
    steps = ftp([-1.0, -1.0, -8.0], [1.0, 1.0, 0.125], (1, 1))
    near(steps[2], [[0.01821466]], 1e-6)


def test_ftp_clips_the_radius_to_the_largest_norm_and_keeps_it_clipped() -> None:
    # Step 2 with rate 1e-3: norm 0.002 < 0.01, so γ = 0.002 and the displacement 0.001 each is untouched.
    # Step 3 with rate 1: h = −1 again (0.002 of 0.002), γ = 0.002 + 0.01; norm 2.002: 0.006 each (unclipped: 0.01).
    steps = ftp([-1.0, -1.0, -1.0], [1e-3, 1e-3, 1.0], (1, 2))
    near(steps[1], np.full((1, 2), 0.001), 1e-7)
    near(steps[2], np.full((1, 2), 0.006), 1e-6)


def test_ftp_never_lets_the_radius_fall_below_1e_8() -> None:
    # Step 2: displacement −1, h = 1 · 1 (the step before: displacement 1, gradient +1), γ = 1e-8 − 0.01: clipped.
    near(ftp([-1.0, 1.0], [1.0, 1.0], (1, 1))[1], [[-1e-8]], 1e-14)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        # Gradient −(3, 1, 0, 1) twice: γ = 0.01 after the second step (h < 0).
        ([[0.0, 0.0], [0.0, 0.0]], [[0.0075, 0.0025], [0.0, 0.01]]),  # rows of norm 4 and 1
        ([0.0, 0.0, 0.0, 0.0], [0.006, 0.002, 0.0, 0.002]),  # one row of norm 5
        ([[[0.0, 0.0], [0.0, 0.0]]], [[[0.006, 0.002], [0.0, 0.002]]]),  # one row of three dimensions
    ],
)
def test_ftp_rows(start: list, expected: list) -> None:
    gradient = -np.array([3.0, 1.0, 0.0, 1.0]).reshape(np.shape(start))
    steps = ftp_steps({"w": start}, [{"w": gradient}] * 2, [1.0, 1.0], "sgd")
    near(steps[1]["w"], expected, 1e-6)


def test_ftp_weighs_rows_by_their_norms_and_projects_those_outside() -> None:
    # Step 1: displacements (3, 1) and (0, 1), norms 4 and 1. Step 2: h = 4 / 4 − 3 / 1 < 0 (undivided 4 − 3 > 0), so
    # γ = 0.01; displacements (−1, −1) and (0, 3), norms 2 and 3.
    zero, first = np.zeros((2, 2)), -np.array([[3.0, 1.0], [0.0, 1.0]])
    steps = ftp_steps({"w": zero}, [{"w": first}, {"w": [[1.0, 1.0], [0.0, -3.0]]}], [1.0, 1.0], "sgd")
    near(steps[1]["w"], [[-0.005, -0.005], [0.0, 0.01]], 1e-6)
    # Rate 0.005: norms 0.02 and 0.005. γ = 0.01 is below the largest; the second row is within and stays.
    steps = ftp_steps({"w": zero}, [{"w": first}] * 2, [0.005, 0.005], "sgd")
    near(steps[1]["w"], [[0.0075, 0.0025], [0.0, 0.005]], 1e-6)


def test_ftp_leaves_free_tensors_alone_and_takes_adam() -> None:
    # Adam's first two steps with a constant gradient are 1 each: free 2; constrained γ = 0.01.
    start, gradient = {"w": [0.0], "head": [0.0]}, {"w": [-3.0], "head": [-3.0]}
    end = ftp_steps(start, [gradient] * 2, [1.0, 1.0], "adam", free={"head"})[-1]
    near(end["head"], [2], 1e-7)
    near(end["w"], [0.01], 1e-7)


# Features, heads and selection


def test_ldifs() -> None:
    # (3, 4) → (0.6, 0.8) against (1, 0): 0.16 + 0.64, over 2 channels 0.4. One channel, 2 against −3: 1 against −1: 4.
    # Blocks weigh the same: (0.4 + 4) / 2 (over all channels it would be 4.8 / 3).
    now, start = [[[3.0, 4.0]], [[2.0]]], [[[1.0, 0.0]], [[-3.0]]]
    near(np.array(ldifs(now, start, 10)), 22, 1e-8)
    assert ldifs(now, now, 10) == 0


def test_ldifs_norms_are_over_channels() -> None:
    # [1, 2, 1, 2]: position 0 the same but for its scale, position 1 as above: 0.8 over 2 channels and 2 positions.
    now, start = torch.tensor([[[[1.0, 3.0]], [[2.0, 4.0]]]]), torch.tensor([[[[5.0, 1.0]], [[10.0, 0.0]]]])
    near(np.array(ldifs([now], [start], 1)), 0.2, 1e-8)
    both = [torch.cat([now, now])], [torch.cat([start, now])]  # the second example did not move
    near(np.array(ldifs(*both, 1)), 0.1, 1e-8)
    near(np.array(ldifs([[[0.0, 0.0]]], [[[0.0, 2.0]]], 1)), 0.5, 1e-8)  # nothing against (0, 1)


# Standardised features −1 (two of class 0, one of class 1) and 1 (three of class 1), as 10 + 2z.
X, Y = [[8.0], [8.0], [12.0], [12.0], [12.0], [8.0]], [0, 0, 1, 1, 1, 1]
EASY, EVEN = [0, 1, 2, 3], [0, 1, 4, 5]


def test_dfr_with_two_classes() -> None:
    # EASY: |w| + C · 4 · log(1 + e^−w) is least where 4C · σ(−w) = 1: w = log(4C − 1) = log 2.6 at C = 0.9, and by
    # symmetry b = 0. EVEN: at w = b = 0 the slopes are 0.9 · (1 and 0), within 1: w = b = 0. Mean w = log 2.6 / 2.
    # Folded: w / 2 per unit of x, b = −10 · that. The two rows share it, with opposite signs.
    w, b = dfr(X, Y, Y, 0.9, [EASY, EVEN])
    half = math.log(2.6) / 2 / 2
    near(w, [[-half / 2], [half / 2]], 1e-6)
    near(b, [10 * half / 2, -10 * half / 2], 1e-5)
    assert not dfr(X, Y, Y, 0.24, [EASY])[0].any()  # the slope at 0, 4C / 2 = 0.48, is below 1


def test_dfr_scales_as_it_is_told() -> None:
    # Standardised by 0 and 12 (mean 6, deviation 6), x = 12 and 8 are 1 and 1/3, and no longer symmetric.
    scaled, shift = dfr(X, Y, Y, 0.9, [EASY], scale_from=[[0.0], [12.0]])
    slope, intercept = l1_logistic((np.array(X)[EASY] - 6) / 6, np.array(Y)[EASY] == 1, 0.9)
    near(scaled[1] - scaled[0], slope / 6, 1e-8)
    near(shift[1] - shift[0], intercept - slope[0], 1e-8)
    wide = [[*row, 3.0] for row in X]  # a constant feature: deviation 0, no weight
    near(dfr(wide, Y, Y, 0.9, [EASY])[0], np.c_[dfr(X, Y, Y, 0.9, [EASY])[0], [0, 0]], 1e-6)


def test_dfr_refuses_draws_that_are_not_balanced() -> None:
    for draw in ([0, 2, 3, 4], [0, 2], [0, 0, 2, 3]):  # uneven; below the smallest group; a repeat
        with pytest.raises(ValueError, match="not balanced"):
            dfr(X, Y, Y, 0.9, [draw])


def test_dfr_with_three_classes_is_one_against_the_rest() -> None:
    # A row is optimal where every slope of C · Σ log-loss is −sign of its coefficient, or within ±1 where that is 0.
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 8)
    x = rng.normal(size=(24, 3)) * [1, 5, 0.2] + [0, 3, -1] + np.eye(3)[y] * [1, 5, 0.2]
    w, b = dfr(x, y, y, 0.3, [range(24)])
    assert w.shape == (3, 3)
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    z = np.c_[(x - mean) / deviation, np.ones(24)]
    zeros = 0
    for k in range(3):
        row = np.append(w[k] * deviation, b[k] + w[k] @ mean)
        sign = np.where(y == k, 1, -1)
        slopes = 0.3 * (-sign / (1 + np.exp(sign * (z @ row)))) @ z
        off = np.abs(row) < 1e-9
        near(slopes[~off], -np.sign(row[~off]), 1e-4)
        assert (np.abs(slopes[off]) <= 1 + 1e-4).all()
        zeros += off.sum()
    assert 0 < zeros < 12  # both cases occurred


def test_one_standard_error() -> None:
    # Best 0.9: the error is √(0.09 / 100) = 0.03, so 0.87 and more; of 10 000 examples 0.003.
    results = [(0.1, 0.9), (10, 0.87), (100, 0.869), (1, 0.88)]
    assert one_standard_error(results, 100) == 10
    assert one_standard_error(results, 10_000) == 0.1
    # √(0.16 / 25) = 0.08: 0.72 is just within, though 0.8 − 0.08 is above 0.72 in floating point.
    assert one_standard_error([(1, 0.8), (2, 0.72), (3, 0.68)], 25) == 2
    assert one_standard_error([(0.1, 1.0), (1, 1.0), (2, 0.99)], 10) == 1  # no error at 1: the strongest of equals
