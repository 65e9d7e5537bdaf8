"""The lower bound of fine-tuning, from its formula in plain loops, and held against trainings."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.linalg import null_space, subspace_angles

from ftcli.explain.theory.bound import lower_bound, phi
from ftcli.explain.theory.problems import ProblemFamily, Problems, orthogonal_complement, random_problems
from ftcli.explain.theory.simulation import bound_of, perfect_features_of, simulate
from ftcli.explain.theory.training import gradient, gradient_flow, linear_probe
from ftcli.explain.theory.trajectory import record

FAMILIES = [
    ProblemFamily(1, 4, 12, 0.01),
    ProblemFamily(3, 8, 20, 0.05, norm=2.0),
    ProblemFamily(2, 6, 9, 0.3, 40.0, head_std=1.0),
]


def plain_bound(problems: Problems, w: int) -> float:
    """cos θ_k/√k · min(φ, φ²/‖w*‖)/(1 + ‖w*‖)² - ε of one problem, angles by SciPy."""
    v, true = problems.v0[w], problems.vstar[w]
    apart = np.sqrt(abs((v @ true) ** 2 - (true @ true) ** 2))
    length = np.linalg.norm(problems.Bstar[w].T @ true)
    cosine = np.cos(subspace_angles(problems.B0[w].T, null_space(problems.X[w]))[0])
    epsilon = 2 * np.sin(subspace_angles(problems.B0[w].T, problems.Bstar[w].T)[0] / 2)
    return float(cosine / np.sqrt(len(v)) * min(apart, apart**2 / length) / (1 + length) ** 2 - epsilon)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_formula(family: ProblemFamily) -> None:
    problems = random_problems(5, family, np.random.default_rng(0))
    assert lower_bound(problems, problems.v0) == pytest.approx([plain_bound(problems, w) for w in range(5)], abs=1e-12)


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
    point = simulate(ProblemFamily(1, 4, 9, 0.0, angle, head_std=head_std), 6, 300.0, np.random.default_rng(6))
    s, cosine = np.sin(np.radians(angle)) ** 2, np.cos(np.radians(angle))
    start = point.problems.v0[:, 0] ** 2
    p = (start - s + np.sqrt((s - start) ** 2 + 4 * s)) / 2
    np.testing.assert_allclose(point.ft.last.v[:, 0] ** 2, p, rtol=1e-7)
    np.testing.assert_allclose(np.sqrt(point.ft.ood[-1]), abs(np.sqrt(p) - 1) * cosine, rtol=1e-6)
    if head_std == 0:
        assert bound_of(point).violated == (6 if angle > 58.3 else 0)


def test_weights_of_no_length_have_no_bound() -> None:
    problems = random_problems(2, ProblemFamily(2, 4, 8, 0.1, norm=0.0), np.random.default_rng(0))
    with pytest.raises(ValueError, match="length of w"):
        lower_bound(problems, problems.v0)


@pytest.mark.parametrize("family", FAMILIES)
def test_fine_tuning_never_falls_below(family: ProblemFamily) -> None:
    problems = random_problems(30, family, np.random.default_rng(1))
    seen = record(
        gradient_flow(problems.X, problems.Y, problems.v0, problems.B0, 300.0),
        problems.X,
        problems.Y,
        problems.wstar,
        orthogonal_complement(problems.X),
    )
    for w in range(30):
        assert np.sqrt(seen.ood[:, w]).min() >= plain_bound(problems, w)


def test_what_is_said_of_the_bound() -> None:
    """Counts from plain formulas; and a training that is put below its bound is seen."""
    point = simulate(ProblemFamily(2, 6, 14, 0.1), 20, 300.0, np.random.default_rng(2))
    bounds = np.array([plain_bound(point.problems, w) for w in range(20)])
    roots = np.sqrt(point.ft.ood).min(axis=0)
    found = bound_of(point)
    assert 0 < found.positive == (bounds > 0).sum() < 20
    assert found.violated == 0
    assert found.slack == pytest.approx((roots - bounds).min())
    assert found.nearest == pytest.approx(min(roots[w] / bounds[w] for w in range(20) if bounds[w] > 0))
    point.ft.ood[3, :] = 0.0
    assert bound_of(point).violated == found.positive


def test_perfect_features() -> None:
    """LP gives the very head, where the gradient is 0: LP-FT stays at 0, and FT from a random head never gets there."""
    point = simulate(ProblemFamily(3, 9, 20, 0.0), 20, 300.0, np.random.default_rng(3))
    problems, found = point.problems, perfect_features_of(point)
    for w in range(20):
        head = np.linalg.lstsq(problems.X[w] @ problems.B0[w].T, problems.Y[w], rcond=None)[0]
        np.testing.assert_allclose(problems.B0[w].T @ head, problems.wstar[w], atol=1e-13)
    dv, dB = gradient(problems.X, problems.Y, linear_probe(problems.X, problems.Y, problems.B0), problems.B0)
    assert max(np.abs(dv).max(), np.abs(dB).max()) == found.gradient < 1e-12
    assert point.lpft.ood.max() == found.lpft_largest < 1e-24
    assert point.ft.ood.min() == found.ft_smallest > 1e-4
    assert point.ft.converged.all()  # although it fits the examples


def test_the_nearer_the_features_the_smaller_the_ratio() -> None:
    """The same random numbers at four distances: LP's L_ood goes with ε², FT's hardly moves."""
    ratios = []
    for epsilon in (0.1, 0.01, 0.001, 0.0001):
        ood = simulate(ProblemFamily(3, 9, 20, epsilon), 20, 300.0, np.random.default_rng(4)).ood()
        ratios.append(np.median(ood["lp"] / ood["ft"]))
    for larger, smaller in pairwise(ratios[1:]):
        assert larger / smaller == pytest.approx(100, rel=0.1)
    assert ratios[0] > 10 * ratios[1]
