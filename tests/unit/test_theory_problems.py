"""Random problems: what is asked for is what is drawn, by SciPy's angles and by brute force."""

import numpy as np
import pytest
from scipy.linalg import null_space, subspace_angles
from scipy.optimize import minimize_scalar

from ftcli.explain.theory.problems import (
    SINGULAR_VALUES,
    ProblemFamily,
    Problems,
    align,
    cos_theta,
    orthogonal_complement,
    random_problems,
    subspace_distance,
)

FAMILIES = [
    ProblemFamily(3, 8, 20, 0.1),
    ProblemFamily(1, 2, 3, 0.5),
    ProblemFamily(4, 6, 9, 1.2, norm=2.5),  # fewer unseen directions than features
    ProblemFamily(5, 6, 8, np.sqrt(2)),  # features that differ in 3 directions at most
    ProblemFamily(3, 8, 20, 0.0, 30.0),
    ProblemFamily(2, 5, 7, 0.01, 90.0),
    ProblemFamily(6, 9, 15, 0.3, 5.0),
]


def draw(family: ProblemFamily, count: int = 4, seed: int = 0) -> Problems:
    return random_problems(count, family, np.random.default_rng(seed))


@pytest.fixture(
    params=FAMILIES, ids=lambda family: f"k{family.k}-n{family.n}-d{family.d}-{family.epsilon:.2g}-{family.angle}"
)
def family(request: pytest.FixtureRequest) -> ProblemFamily:
    return request.param


def test_a_problem_is_as_asked_for(family: ProblemFamily) -> None:
    problems = draw(family)
    for w in range(4):
        for rows in (problems.B0[w], problems.Bstar[w]):
            np.testing.assert_allclose(rows @ rows.T, np.eye(family.k), atol=1e-13)
        cosines = np.linalg.svd(problems.B0[w] @ problems.Bstar[w].T, compute_uv=False)
        assert np.sqrt(max(2 - 2 * cosines[-1], 0.0)) == pytest.approx(family.epsilon, abs=1e-7)
        assert np.linalg.norm(problems.Bstar[w].T @ problems.vstar[w]) == pytest.approx(family.norm, rel=1e-12)
        sizes = np.linalg.svd(problems.X[w], compute_uv=False)
        assert len(sizes) == family.n and SINGULAR_VALUES[0] <= sizes[-1] and sizes[0] <= SINGULAR_VALUES[1]
        np.testing.assert_allclose(
            problems.Y[w], problems.X[w] @ problems.Bstar[w].T @ problems.vstar[w], rtol=0, atol=1e-13
        )


def test_the_angle_is_scipys(family: ProblemFamily) -> None:
    problems = draw(family)
    found = cos_theta(problems.B0, orthogonal_complement(problems.X))
    for w in range(4):
        hidden = null_space(problems.X[w])  # [d, d - n]
        wide_enough = hidden.shape[1] >= family.k
        angles = subspace_angles(problems.B0[w].T, hidden)  # the largest first
        assert found[w] == pytest.approx(np.cos(angles[0]) if wide_enough else 0.0, abs=1e-12)
        if family.angle is not None:
            assert np.degrees(angles[0]) == pytest.approx(family.angle, abs=1e-6)
            assert np.degrees(angles[-1]) >= family.angle / 2 - 1e-6


def test_features_are_aligned(family: ProblemFamily) -> None:
    """No rotation brings B* nearer: B0·B*ᵀ is symmetric without negative eigenvalues."""
    problems = draw(family)
    for w in range(4):
        overlap = problems.B0[w] @ problems.Bstar[w].T
        np.testing.assert_allclose(overlap, overlap.T, atol=1e-12)
        assert np.linalg.eigvalsh(overlap)[0] >= -1e-12


def test_aligning_keeps_the_function() -> None:
    problems, rng = draw(FAMILIES[0]), np.random.default_rng(3)
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    Bstar, vstar = align(problems.B0, turn @ problems.Bstar, problems.vstar @ turn.T)
    np.testing.assert_allclose(Bstar, problems.Bstar, atol=1e-12)
    np.testing.assert_allclose(vstar, problems.vstar, atol=1e-12)


def brute_force(A: np.ndarray, B: np.ndarray) -> float:
    """min over all orthogonal 2×2 matrices of ‖A - U·B‖₂: every rotation, and every rotation of a reflection."""

    def apart(angle: float, mirror: float) -> float:
        c, s = np.cos(angle), np.sin(angle)
        U = np.array([[c, -s], [s, c]]) @ np.diag([1.0, mirror])
        return float(np.linalg.svd(A - U @ B, compute_uv=False)[0])

    best = np.inf
    for mirror in (1.0, -1.0):
        grid = np.linspace(0, 2 * np.pi, 721)
        at = grid[np.argmin([apart(angle, mirror) for angle in grid])]
        best = min(best, minimize_scalar(apart, (at - 0.01, at, at + 0.01), args=(mirror,), tol=1e-12).fun)
    return best


def test_the_distance_is_the_least_over_all_rotations() -> None:
    rng = np.random.default_rng(5)
    for _ in range(6):
        A, B = (np.linalg.qr(rng.standard_normal((5, 2)))[0].T for _ in range(2))
        found = subspace_distance(A[None], B[None])[0]
        assert found == pytest.approx(brute_force(A, B), abs=1e-7)
        assert found == pytest.approx(2 * np.sin(subspace_angles(A.T, B.T)[0] / 2), abs=1e-12)


@pytest.mark.parametrize("small", [1e-10, 1e-7, 1e-4])
def test_small_distances_keep_their_digits(small: float) -> None:
    problems = draw(ProblemFamily(3, 8, 20, small))
    assert subspace_distance(problems.B0, problems.Bstar) == pytest.approx(np.full(4, small), rel=1e-4)


def test_a_seed_gives_its_problems_and_no_other() -> None:
    first, again, other = draw(FAMILIES[0]), draw(FAMILIES[0]), draw(FAMILIES[0], seed=1)
    for name in ("B0", "Bstar", "vstar", "X", "v0"):
        assert (getattr(first, name) == getattr(again, name)).all()
        assert not np.isclose(getattr(first, name), getattr(other, name)).any()
        assert not np.isclose(getattr(first, name)[0], getattr(first, name)[1]).any()
