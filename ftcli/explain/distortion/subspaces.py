"""The directions in which features vary most, and how far two sets of them are turned against each other."""

import numpy as np
from scipy.linalg import eigh, subspace_angles


def principal_directions(scatter: np.ndarray, k: int, n: int) -> np.ndarray:
    """The top k right singular vectors of n centred features, as orthonormal rows [k, D]; fewer where these do not span
    k directions, beyond rounding of the largest.

    scatter [D, D] = XcᵀXc, float64: its eigenvectors are X's right singular vectors.
    """
    D = len(scatter)
    most = min(k, D, max(n - 1, 0))
    if not most:
        return np.empty((0, D))
    values, vectors = eigh(scatter, subset_by_index=[D - most, D - 1])  # ascending
    spanned = values > max(values[-1], 0.0) * D * np.finfo(np.float64).eps
    return vectors[:, spanned][:, ::-1].T


def principal_angles(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Angles [k] in radians between the row spaces of A and B [k, D], largest first; exact near zero too.

    Knyazev and Argentati 2002: small angles by their sine, as SciPy does.
    """
    return subspace_angles(A.T, B.T)


def subspace_distance(angles: np.ndarray) -> float:
    """d(A, B) = min over orthogonal U of ‖A - U B‖₂ = √(2 - 2 cos θ), θ the largest angle (Kumar et al. 2022,
    definition 3.1).

    As 2 sin(θ/2), which keeps its digits where the angle is small.
    """
    return float(2 * np.sin(angles.max() / 2))
