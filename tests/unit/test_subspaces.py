"""Directions, principal angles and d(A, B) against NumPy's SVD and SciPy's `subspace_angles`, near-zero angles too."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles
from scipy.stats import ortho_group

from ftcli.explain.distortion.measure import subspace
from ftcli.explain.distortion.moments import Products
from ftcli.explain.distortion.subspaces import principal_angles, principal_directions, subspace_distance

D, K = 40, 6
SMALL_ANGLES = (1e-9, 1e-7, 1e-4, 1e-2)


def features(n: int, width: int = D, seed: int = 0, mean: float = 0.0) -> np.ndarray:
    """[n, D] of known directions, the strongest 30 times the weakest, no two alike."""
    rng = np.random.default_rng(seed)
    turn = ortho_group.rvs(width, random_state=seed)
    return rng.normal(size=(n, width)) * np.geomspace(30, 1, width) @ turn + mean


def centred(X: np.ndarray) -> np.ndarray:
    return X - X.mean(0)


def scatter(X: np.ndarray, size: int = 13) -> torch.Tensor:
    """XcᵀXc, summed up a batch at a time."""
    sums = Products()
    for batch in torch.from_numpy(X).split(size):
        sums.add(batch, batch)
    return sums.centred()


def rows(seed: int, k: int = K, width: int = D) -> np.ndarray:
    """k orthonormal rows."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(width, k)))[0].T


def spanned(X: np.ndarray, Y: np.ndarray) -> dict[str, Any]:
    """What the report says of the K directions in which two sets of features vary most."""
    return subspace(*(principal_directions(scatter(F).numpy(), K, len(F)) for F in (X, Y)))


def turned(A: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Rows whose principal angles with A [k, D] are these: each row turned towards a direction of its own."""
    whole = np.linalg.svd(A)[2]  # its rows k … D-1 are orthogonal to A
    k = len(A)
    B = np.cos(angles)[:, None] * A + np.sin(angles)[:, None] * whole[k : 2 * k]
    return np.linalg.qr(np.random.default_rng(3).normal(size=(k, k)))[0] @ B  # another basis of the same space


@pytest.mark.parametrize("n", [25, 400])
def test_directions_are_the_singular_vectors(n: int) -> None:
    X = features(n)
    found = principal_directions(scatter(X).numpy(), K, n)
    assert found.shape == (K, D)
    np.testing.assert_allclose(found @ found.T, np.eye(K), atol=1e-12)
    expected = np.linalg.svd(centred(X))[2][:K]
    np.testing.assert_allclose(np.abs((found * expected).sum(1)), 1, atol=1e-10)  # in order, up to sign
    assert subspace_angles(found.T, expected.T).max() < 1e-7


@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_angles_of_features(mean: float) -> None:
    """From the features on, as SciPy has them of the singular vectors; a large mean costs no digits."""
    X = features(300, seed=1)
    Y = X + 0.4 * features(300, seed=2)
    A, B = (np.linalg.svd(centred(part))[2][:K] for part in (X, Y))
    expected = subspace_angles(A.T, B.T)
    found = spanned(X + mean, Y - mean)
    assert found["k"] == K and 0.1 < expected[0] < np.pi / 2
    np.testing.assert_allclose(np.deg2rad(found["angles"]), expected, atol=1e-6)
    assert found["d"] == pytest.approx(np.sqrt(2 - 2 * np.linalg.svd(A @ B.T)[1].min()), abs=1e-6)


@pytest.mark.parametrize("width", [K, K + 2, D])
def test_angles_are_scipys_and_numpys(width: int) -> None:
    A, B = rows(0, width=width), rows(1, width=width)
    found = principal_angles(A, B)
    assert found.shape == (K,) and (np.diff(found) <= 0).all()
    np.testing.assert_allclose(found, subspace_angles(A.T, B.T), atol=1e-12)
    cosines = np.linalg.svd(A @ B.T)[1].clip(-1, 1)
    np.testing.assert_allclose(np.cos(found), np.sort(cosines), atol=1e-12)


@pytest.mark.parametrize("angle", SMALL_ANGLES)
def test_near_zero_angles_keep_their_digits(angle: float) -> None:
    """The arc cosine would give 0, or 1e-8 for all of them."""
    wanted = angle * np.arange(1, K + 1)
    A = rows(4)
    B = turned(A, wanted)
    np.testing.assert_allclose(principal_angles(A, B), wanted[::-1], rtol=1e-6, atol=1e-15)
    d = subspace_distance(principal_angles(A, B))
    assert d == pytest.approx(wanted[-1], rel=max(1e-6, wanted[-1] ** 2))
    assert d == pytest.approx(2 * np.sin(wanted[-1] / 2), rel=1e-6)


@pytest.mark.parametrize("angle", SMALL_ANGLES[:2])
def test_near_zero_angles_of_features(angle: float) -> None:
    """Features turned by a known angle: the strong directions towards the weak ones."""
    basis, rng = ortho_group.rvs(D, random_state=0), np.random.default_rng(0)
    amounts = rng.normal(size=(500, D)) * np.r_[np.geomspace(10, 5, K), np.geomspace(0.5, 0.1, D - K)]
    A = np.linalg.svd(centred(amounts))[2][:K]  # the directions, in the coordinates of the basis
    turn = np.eye(D)
    for i in range(K):
        turn[[i, i, K + i, K + i], [i, K + i, i, K + i]] = np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)
    expected = subspace_angles(A.T, (A @ turn).T)
    assert angle / 2 < expected[0] < 2 * angle
    found = spanned(amounts @ basis, amounts @ turn @ basis)
    np.testing.assert_allclose(np.deg2rad(found["angles"]), expected, atol=1e-11)


@pytest.mark.parametrize("seed", range(4))
def test_distance_is_the_least_over_all_turns(seed: int) -> None:
    """d(A, B) = min over orthogonal U of ‖A - U B‖₂: reached by the nearest turn, and by no other undercut."""
    A, B = rows(seed), turned(rows(seed), np.linspace(0.05, 1.2, K))
    left, sigma, right = np.linalg.svd(A @ B.T)
    d = subspace_distance(principal_angles(A, B))
    assert d == pytest.approx(np.linalg.norm(A - left @ right @ B, 2), abs=1e-9)
    assert d == pytest.approx(np.sqrt(2 - 2 * sigma.min()), abs=1e-9)
    others = ortho_group.rvs(K, size=50, random_state=seed)
    near = [left @ np.linalg.qr(np.eye(K) + 0.1 * (U - U.T))[0] @ right for U in others]
    assert all(np.linalg.norm(A - U @ B, 2) >= d - 1e-12 for U in (*others, *near))


def test_same_space_and_orthogonal_ones() -> None:
    A = rows(0)
    turn = ortho_group.rvs(K, random_state=1)
    assert principal_angles(A, turn @ A).max() < 1e-14
    whole = np.linalg.svd(A)[2]
    assert subspace_distance(principal_angles(A, whole[K : 2 * K])) == pytest.approx(np.sqrt(2))


def test_features_with_themselves() -> None:
    found = spanned(features(100), features(100))
    assert found["d"] < 1e-14 and max(found["angles"]) < 1e-12


@pytest.mark.parametrize("n", [1, 2, 5, 12, 200])
def test_rank_is_that_of_the_centred_features(n: int) -> None:
    X = features(n, mean=100.0)
    assert len(principal_directions(scatter(X).numpy(), D, n)) == min(n - 1, D) == np.linalg.matrix_rank(centred(X))


def test_rank_of_features_that_lack_directions() -> None:
    X = np.random.default_rng(0).normal(size=(100, 3)) @ features(3)
    assert len(principal_directions(scatter(X).numpy(), D, 100)) == 3
    none = principal_directions(scatter(np.full((20, D), 3.25)).numpy(), D, 20)
    assert len(none) == 0 and subspace(none, none) == {"k": 0, "d": None, "angles": []}
