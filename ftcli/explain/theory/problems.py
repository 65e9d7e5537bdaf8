"""Random problems of Kumar et al. 2022, section 3: data from y = v*ᵀB*x, and pretrained features B0 near B*.

Many problems of one family are drawn and trained together. Shape letters in this folder: P problems, k features,
n examples, d inputs.
"""

from dataclasses import dataclass

import numpy as np

Array = np.ndarray
SINGULAR_VALUES = (0.5, 1.5)  # range of those of the inputs


@dataclass(frozen=True)
class ProblemFamily:
    """What random problems have in common: sizes, the distance ε of B0 from B*, θ_k between the rows of B0 and the
    complement of the inputs' span (None: random), the length of w* and the standard deviation of the random head.
    """

    k: int
    n: int
    d: int
    epsilon: float
    angle: float | None = None  # degrees
    norm: float = 1.0
    head_std: float = 0.1


@dataclass(frozen=True)
class Problems:
    """P problems with y = v*ᵀB*x, aligned: no rotation of B*'s rows brings it nearer to B0. All float64.

    `B0`, `Bstar` [P, k, d] with orthonormal rows, `vstar` [P, k], `X` [P, n, d] of rank n, `v0` [P, k]: a random head.
    """

    B0: Array
    Bstar: Array
    vstar: Array
    X: Array
    v0: Array

    @property
    def wstar(self) -> Array:
        """The true weights B*ᵀv*: [P, d]."""
        return end_to_end_weights(self.Bstar, self.vstar)

    @property
    def Y(self) -> Array:
        """The labels, without noise: [P, n]."""
        return np.einsum("pnd,pd->pn", self.X, self.wstar)


def end_to_end_weights(B: Array, v: Array) -> Array:
    """Bᵀv, the network as one linear map: [P, k, d], [P, k] -> [P, d]."""
    return (v[:, None, :] @ B)[:, 0]


def align(B0: Array, Bstar: Array, vstar: Array) -> tuple[Array, Array]:
    """(U·B*, U·v*) with U the polar factor of B0·B*ᵀ: the same function, with its features rotated nearest to B0."""
    U = polar_factor(B0 @ Bstar.swapaxes(-1, -2))  # [P, k, k]
    return U @ Bstar, (U @ vstar[..., None])[..., 0]


def polar_factor(M: Array) -> Array:
    """The orthogonal factor of the polar decomposition of each square matrix."""
    left, _, right = np.linalg.svd(M)
    return left @ right


def subspace_distance(A: Array, B: Array) -> Array:
    """d(A, B) = min over orthogonal U of ‖A - U·B‖₂, orthonormal rows [P, k, d] -> [P], in [0, √2].

    Equal to √(2 - 2σ_min(A·Bᵀ)), which would lose half the digits of a small distance.
    """
    rotated = polar_factor(A @ B.swapaxes(-1, -2)) @ B
    return np.linalg.norm(A - rotated, ord=2, axis=(-2, -1))


def orthogonal_complement(X: Array) -> Array:
    """An orthonormal basis F of S^⊥, the directions that no input has: [P, n, d] of rank n -> [P, d, d - n]."""
    return np.linalg.svd(X)[2][:, X.shape[1] :].swapaxes(-1, -2)


def cos_theta(B0: Array, F: Array) -> Array:
    """cos θ_k = σ_k(B0·F) between the rows of B0 and S^⊥, of which F [P, d, d - n] is a basis: [P], in [0, 1].

    0 where S^⊥ has fewer than k dimensions.
    """
    k = B0.shape[1]
    if F.shape[-1] < k:
        return np.zeros(len(B0))
    return np.minimum(np.linalg.svd(B0 @ F, compute_uv=False)[:, k - 1], 1.0)


def random_problems(count: int, family: ProblemFamily, rng: np.random.Generator) -> Problems:
    """`count` problems of a family.

    Of the principal angles between B0 and B* the largest gives ε, and the others are uniform below it. The singular
    values of X are uniform in SINGULAR_VALUES, its singular vectors random.
    """
    k, d = family.k, family.d
    basis = random_orthogonal(count, d, rng)
    B0, complement = basis[:, :k], basis[:, k:]
    angles = random_angles(count, k, 2 * np.arcsin(family.epsilon / 2), 0.0, rng)
    rotated = rotate_towards(B0, complement, angles)
    vstar = rng.standard_normal((count, k))
    vstar *= family.norm / np.linalg.norm(vstar, axis=1, keepdims=True)
    Bstar, vstar = align(B0, random_orthogonal(count, k, rng) @ rotated, vstar)
    v0 = family.head_std * rng.standard_normal((count, k))
    return Problems(B0, Bstar, vstar, random_inputs(family, B0, complement, rng), v0)


def random_inputs(family: ProblemFamily, B0: Array, complement: Array, rng: np.random.Generator) -> Array:
    """X [P, n, d] with a row space S that is random, or such that the largest angle between S^⊥ and the rows of B0 is
    that of the family. `complement` [P, d - k, d]: an orthonormal basis of what is orthogonal to the rows of B0.
    """
    count, k, n, d = len(B0), family.k, family.n, family.d
    if family.angle is None:
        span = random_orthogonal(count, d, rng)[:, :n]
    else:
        largest = np.radians(family.angle)
        angles = random_angles(count, k, largest, largest / 2, rng)
        other = random_orthogonal(count, d - k, rng) @ complement
        nearest = rotate_towards(random_orthogonal(count, k, rng) @ B0, other, angles)  # the k directions near B0
        unseen = np.concatenate([nearest, other[:, k : d - n]], axis=1)  # a basis of S^⊥, [P, d - n, d]
        span = np.linalg.qr(unseen.swapaxes(-1, -2), mode="complete")[0][..., d - n :].swapaxes(-1, -2)
    scale = rng.uniform(*SINGULAR_VALUES, (count, n, 1))
    return random_orthogonal(count, n, rng) @ (scale * (random_orthogonal(count, n, rng) @ span))


def rotate_towards(rows: Array, targets: Array, angles: Array) -> Array:
    """Orthonormal rows, each rotated by its angle [P, k] towards its row of `targets`; those beyond the last target
    stay.
    """
    count = min(rows.shape[1], targets.shape[1])
    cosine, sine = np.cos(angles[:, :count, None]), np.sin(angles[:, :count, None])
    return np.concatenate([cosine * rows[:, :count] + sine * targets[:, :count], rows[:, count:]], axis=1)


def random_angles(count: int, k: int, largest: float, least: float, rng: np.random.Generator) -> Array:
    """Angles [P, k]: the first is the largest, the others are uniform between `least` and it."""
    angles = rng.uniform(least, largest, (count, k))
    angles[:, 0] = largest
    return angles


def random_orthogonal(count: int, size: int, rng: np.random.Generator) -> Array:
    """Orthogonal matrices, uniform over all of them: [P, size, size]."""
    q, r = np.linalg.qr(rng.standard_normal((count, size, size)))
    return q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[:, None, :]
