"""The directions in which features vary most, and how far two sets of them are turned against each other."""

import numpy as np
from scipy.linalg import eigh, subspace_angles


def principal_directions(scatter: np.ndarray, k: int) -> np.ndarray:
    """The top k right singular vectors of centred features, as orthonormal rows [k, D].

    scatter [D, D] = XcᵀXc, float64: its eigenvectors are X's right singular vectors.
    """
    D = len(scatter)
    _, vectors = eigh(scatter, subset_by_index=[D - k, D - 1])  # ascending
    return vectors[:, ::-1].T


def rank_of(scatter: np.ndarray, n: int) -> int:
    """How many directions n examples span, at most: what is beyond rounding of the largest variance."""
    values = np.linalg.eigvalsh(scatter)
    above = values > max(values[-1], 0.0) * len(scatter) * np.finfo(np.float64).eps
    return min(int(above.sum()), max(n - 1, 0), len(scatter))


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
