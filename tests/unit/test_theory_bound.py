"""The lower bound of fine-tuning, from its formula in plain loops, and held against trainings."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.linalg import null_space, subspace_angles

from ftcli.explain.theory.bound import lower_bound, phi
from ftcli.explain.theory.linear import flow, gradient, probe
from ftcli.explain.theory.observed import watch
from ftcli.explain.theory.points import describe_bound, describe_perfect, run_point
from ftcli.explain.theory.worlds import Shape, Worlds, random_worlds, unseen

SHAPES = [Shape(1, 4, 12, 0.01), Shape(3, 8, 20, 0.05, norm=2.0), Shape(2, 6, 9, 0.3, 40.0, head_std=1.0)]


def plain_bound(worlds: Worlds, w: int) -> float:
    """cos θ_k/√k · min(φ, φ²/‖w*‖)/(1 + ‖w*‖)² - ε of one world, angles by SciPy."""
    v, true = worlds.v0[w], worlds.vstar[w]
    apart = np.sqrt(abs((v @ true) ** 2 - (true @ true) ** 2))
    length = np.linalg.norm(worlds.Bstar[w].T @ true)
    cosine = np.cos(subspace_angles(worlds.B0[w].T, null_space(worlds.X[w]))[0])
    epsilon = 2 * np.sin(subspace_angles(worlds.B0[w].T, worlds.Bstar[w].T)[0] / 2)
    return float(cosine / np.sqrt(len(v)) * min(apart, apart**2 / length) / (1 + length) ** 2 - epsilon)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_formula(shape: Shape) -> None:
    worlds = random_worlds(5, shape, np.random.default_rng(0))
    assert lower_bound(worlds, worlds.v0) == pytest.approx([plain_bound(worlds, w) for w in range(5)], abs=1e-12)


def test_phi_is_of_the_head_and_its_opposite() -> None:
    """0 for the true head and for its negative, ‖v*‖² for one at right angles to it."""
    true = np.array([[0.6, 0.8], [3.0, 4.0]])
    assert phi(true, true) == pytest.approx(0, abs=1e-12) and phi(-true, true) == pytest.approx(0, abs=1e-12)
    assert phi(true[:, ::-1] * [1, -1], true) == pytest.approx([1, 25])


@pytest.mark.parametrize("angle", [30.0, 55.0, 60.0, 80.0])
@pytest.mark.parametrize("head_std", [0.0, 0.3])
def test_where_one_feature_ends_and_that_the_bound_is_too_high_there(angle: float, head_std: float) -> None:
    """One perfect feature in closed form. Outside S it stays, in S it fits, and v² - ‖B‖² stays: p = v² at the end
    solves p² + (s - v0²)p - s = 0, s = sin²θ, and √L_ood = |√p - 1|·cos θ: below the printed bound from θ = 58.3° on.
    """
    point = run_point(Shape(1, 4, 9, 0.0, angle, head_std=head_std), 6, 300.0, np.random.default_rng(6))
    s, cosine = np.sin(np.radians(angle)) ** 2, np.cos(np.radians(angle))
    start = point.worlds.v0[:, 0] ** 2
    p = (start - s + np.sqrt((s - start) ** 2 + 4 * s)) / 2
    np.testing.assert_allclose(point.ft.last.v[:, 0] ** 2, p, rtol=1e-7)
    np.testing.assert_allclose(np.sqrt(point.ft.ood[-1]), abs(np.sqrt(p) - 1) * cosine, rtol=1e-6)
    if head_std == 0:
        assert describe_bound(point)["violated"] == (6 if angle > 58.3 else 0)


def test_weights_of_no_length_have_no_bound() -> None:
    worlds = random_worlds(2, Shape(2, 4, 8, 0.1, norm=0.0), np.random.default_rng(0))
    with pytest.raises(ValueError, match="length of w"):
        lower_bound(worlds, worlds.v0)


@pytest.mark.parametrize("shape", SHAPES)
def test_fine_tuning_never_falls_below(shape: Shape) -> None:
    worlds = random_worlds(30, shape, np.random.default_rng(1))
    seen = watch(
        flow(worlds.X, worlds.Y, worlds.v0, worlds.B0, 300.0), worlds.X, worlds.Y, worlds.wstar, unseen(worlds.X)
    )
    for w in range(30):
        assert np.sqrt(seen.ood[:, w]).min() >= plain_bound(worlds, w)


def test_what_is_said_of_the_bound() -> None:
    """Counts from plain formulas; and a training that is put below its bound is seen."""
    point = run_point(Shape(2, 6, 14, 0.1), 20, 300.0, np.random.default_rng(2))
    bounds = np.array([plain_bound(point.worlds, w) for w in range(20)])
    roots = np.sqrt(point.ft.ood).min(axis=0)
    found = describe_bound(point)
    assert 0 < found["positive"] == (bounds > 0).sum() < 20
    assert found["violated"] == 0
    assert found["slack"] == pytest.approx((roots - bounds).min())
    assert found["nearest"] == pytest.approx(min(roots[w] / bounds[w] for w in range(20) if bounds[w] > 0))
    point.ft.ood[3, :] = 0.0
    assert describe_bound(point)["violated"] == found["positive"]


def test_perfect_features() -> None:
    """LP gives the very head, where the gradient is 0: LP-FT stays at 0, and FT from a random head never gets there."""
    point = run_point(Shape(3, 9, 20, 0.0), 20, 300.0, np.random.default_rng(3))
    worlds, found = point.worlds, describe_perfect(point)
    for w in range(20):
        head = np.linalg.lstsq(worlds.X[w] @ worlds.B0[w].T, worlds.Y[w], rcond=None)[0]
        np.testing.assert_allclose(worlds.B0[w].T @ head, worlds.wstar[w], atol=1e-13)
    dv, dB = gradient(worlds.X, worlds.Y, probe(worlds.X, worlds.Y, worlds.B0), worlds.B0)
    assert max(np.abs(dv).max(), np.abs(dB).max()) == found["gradient"] < 1e-12
    assert point.lpft.ood.max() == found["lpft_largest"] < 1e-24
    assert point.ft.ood.min() == found["ft_smallest"] > 1e-4
    assert point.ft.settled.all()  # although it fits the examples


def test_the_nearer_the_features_the_smaller_the_ratio() -> None:
    """The same random numbers at four distances: LP's L_ood goes with ε², FT's hardly moves."""
    ratios = []
    for epsilon in (0.1, 0.01, 0.001, 0.0001):
        ood = run_point(Shape(3, 9, 20, epsilon), 20, 300.0, np.random.default_rng(4)).ood()
        ratios.append(np.median(ood["lp"] / ood["ft"]))
    for larger, smaller in pairwise(ratios[1:]):
        assert larger / smaller == pytest.approx(100, rel=0.1)
    assert ratios[0] > 10 * ratios[1]
