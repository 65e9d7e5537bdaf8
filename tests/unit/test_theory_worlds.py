"""Random worlds: what is asked for is what is drawn, by SciPy's angles and by brute force."""

import numpy as np
import pytest
from scipy.linalg import null_space, subspace_angles
from scipy.optimize import minimize_scalar

from ftcli.explain.theory.worlds import SPREAD, Shape, Worlds, aligned, cos_theta, distance, random_worlds, unseen

SHAPES = [
    Shape(3, 8, 20, 0.1),
    Shape(1, 2, 3, 0.5),
    Shape(4, 6, 9, 1.2, norm=2.5),  # fewer unseen directions than features
    Shape(5, 6, 8, np.sqrt(2)),  # features that differ in 3 directions at most
    Shape(3, 8, 20, 0.0, 30.0),
    Shape(2, 5, 7, 0.01, 90.0),
    Shape(6, 9, 15, 0.3, 5.0),
]


def draw(shape: Shape, count: int = 4, seed: int = 0) -> Worlds:
    return random_worlds(count, shape, np.random.default_rng(seed))


@pytest.fixture(params=SHAPES, ids=lambda shape: f"k{shape.k}-n{shape.n}-d{shape.d}-{shape.epsilon:.2g}-{shape.angle}")
def shape(request: pytest.FixtureRequest) -> Shape:
    return request.param


def test_a_world_is_as_asked_for(shape: Shape) -> None:
    worlds = draw(shape)
    for w in range(4):
        for rows in (worlds.B0[w], worlds.Bstar[w]):
            np.testing.assert_allclose(rows @ rows.T, np.eye(shape.k), atol=1e-13)
        cosines = np.linalg.svd(worlds.B0[w] @ worlds.Bstar[w].T, compute_uv=False)
        assert np.sqrt(max(2 - 2 * cosines[-1], 0.0)) == pytest.approx(shape.epsilon, abs=1e-7)
        assert np.linalg.norm(worlds.Bstar[w].T @ worlds.vstar[w]) == pytest.approx(shape.norm, rel=1e-12)
        sizes = np.linalg.svd(worlds.X[w], compute_uv=False)
        assert len(sizes) == shape.n and SPREAD[0] <= sizes[-1] and sizes[0] <= SPREAD[1]
        np.testing.assert_allclose(worlds.Y[w], worlds.X[w] @ worlds.Bstar[w].T @ worlds.vstar[w], rtol=0, atol=1e-13)


def test_the_angle_is_scipys(shape: Shape) -> None:
    worlds = draw(shape)
    found = cos_theta(worlds.B0, unseen(worlds.X))
    for w in range(4):
        hidden = null_space(worlds.X[w])  # [d, d - n]
        wide_enough = hidden.shape[1] >= shape.k
        angles = subspace_angles(worlds.B0[w].T, hidden)  # the largest first
        assert found[w] == pytest.approx(np.cos(angles[0]) if wide_enough else 0.0, abs=1e-12)
        if shape.angle is not None:
            assert np.degrees(angles[0]) == pytest.approx(shape.angle, abs=1e-6)
            assert np.degrees(angles[-1]) >= shape.angle / 2 - 1e-6


def test_features_are_aligned(shape: Shape) -> None:
    """No rotation brings B* nearer: B0·B*ᵀ is symmetric without negative eigenvalues."""
    worlds = draw(shape)
    for w in range(4):
        overlap = worlds.B0[w] @ worlds.Bstar[w].T
        np.testing.assert_allclose(overlap, overlap.T, atol=1e-12)
        assert np.linalg.eigvalsh(overlap)[0] >= -1e-12


def test_aligning_keeps_the_function() -> None:
    worlds, rng = draw(SHAPES[0]), np.random.default_rng(3)
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    Bstar, vstar = aligned(worlds.B0, turn @ worlds.Bstar, worlds.vstar @ turn.T)
    np.testing.assert_allclose(Bstar, worlds.Bstar, atol=1e-12)
    np.testing.assert_allclose(vstar, worlds.vstar, atol=1e-12)


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
        found = distance(A[None], B[None])[0]
        assert found == pytest.approx(brute_force(A, B), abs=1e-7)
        assert found == pytest.approx(2 * np.sin(subspace_angles(A.T, B.T)[0] / 2), abs=1e-12)


@pytest.mark.parametrize("small", [1e-10, 1e-7, 1e-4])
def test_small_distances_keep_their_digits(small: float) -> None:
    worlds = draw(Shape(3, 8, 20, small))
    assert distance(worlds.B0, worlds.Bstar) == pytest.approx(np.full(4, small), rel=1e-4)


def test_a_seed_gives_its_worlds_and_no_other() -> None:
    first, again, other = draw(SHAPES[0]), draw(SHAPES[0]), draw(SHAPES[0], seed=1)
    for name in ("B0", "Bstar", "vstar", "X", "v0"):
        assert (getattr(first, name) == getattr(again, name)).all()
        assert not np.isclose(getattr(first, name), getattr(other, name)).any()
        assert not np.isclose(getattr(first, name)[0], getattr(first, name)[1]).any()
