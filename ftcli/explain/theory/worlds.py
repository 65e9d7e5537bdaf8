"""Worlds of two-layer linear networks (Kumar et al. 2022, section 3): features before and as they should be, inputs.

Many worlds of one shape are drawn and trained together. Shape letters here: W worlds, k features, n examples, d inputs.
"""

from dataclasses import dataclass

import numpy as np

Array = np.ndarray
SPREAD = (0.5, 1.5)  # of the inputs' singular values


@dataclass(frozen=True)
class Shape:
    """What a random world is drawn with; `angle` None leaves the subspace of the inputs to chance."""

    k: int
    n: int
    d: int
    epsilon: float
    angle: float | None = None  # degrees
    norm: float = 1.0
    head_std: float = 0.1


@dataclass(frozen=True)
class Worlds:
    """W worlds with y = v*ᵀB*x, aligned: no rotation of B*'s rows brings it nearer to B0. All float64.

    `B0`, `Bstar` [W, k, d] with orthonormal rows, `vstar` [W, k], `X` [W, n, d] of rank n, `v0` [W, k]: a random head.
    """

    B0: Array
    Bstar: Array
    vstar: Array
    X: Array
    v0: Array

    @property
    def wstar(self) -> Array:
        """The true weights B*ᵀv*: [W, d]."""
        return through(self.Bstar, self.vstar)

    @property
    def Y(self) -> Array:
        """The labels, without noise: [W, n]."""
        return np.einsum("wnd,wd->wn", self.X, self.wstar)


def through(B: Array, v: Array) -> Array:
    """Bᵀv of each world, the network as one linear map: [W, k, d], [W, k] -> [W, d]."""
    return (v[:, None, :] @ B)[:, 0]


def aligned(B0: Array, Bstar: Array, vstar: Array) -> tuple[Array, Array]:
    """(U·B*, U·v*) with U = polar(B0·B*ᵀ): the same function y, its features turned as near to B0's as they go."""
    U = polar(B0 @ Bstar.swapaxes(-1, -2))  # [W, k, k]
    return U @ Bstar, (U @ vstar[..., None])[..., 0]


def polar(M: Array) -> Array:
    """The orthogonal factor of the polar decomposition of each square matrix."""
    left, _, right = np.linalg.svd(M)
    return left @ right


def distance(A: Array, B: Array) -> Array:
    """d(A, B) = min over orthogonal U of ‖A - U·B‖₂, orthonormal rows [W, k, d] -> [W], in [0, √2].

    Equal to √(2 - 2σ_min(A·Bᵀ)), which would lose half the digits of a small distance.
    """
    turned = polar(A @ B.swapaxes(-1, -2)) @ B
    return np.linalg.norm(A - turned, ord=2, axis=(-2, -1))


def unseen(X: Array) -> Array:
    """An orthonormal basis F of S^⊥, the directions that no input has: [W, n, d] of rank n -> [W, d, d - n]."""
    return np.linalg.svd(X)[2][:, X.shape[1] :].swapaxes(-1, -2)


def cos_theta(B0: Array, F: Array) -> Array:
    """cos θ_k = σ_k(B0·F) between the rows of B0 and S^⊥, of which F [W, d, d - n] is a basis: [W], in [0, 1].

    0 where S^⊥ has fewer than k dimensions.
    """
    k = B0.shape[1]
    if F.shape[-1] < k:
        return np.zeros(len(B0))
    return np.minimum(np.linalg.svd(B0 @ F, compute_uv=False)[:, k - 1], 1.0)


def random_worlds(count: int, shape: Shape, rng: np.random.Generator) -> Worlds:
    """Worlds with d(B0, B*) = ε and ‖w*‖ as asked for, and θ_k where it is.

    Of the principal angles between B0 and B* the largest gives ε, and the others are uniform below it. The singular
    values of X are uniform in SPREAD, its singular vectors random.
    """
    k, d = shape.k, shape.d
    frame = orthogonal(count, d, rng)
    B0, outside = frame[:, :k], frame[:, k:]  # outside: a basis of what B0 does not see, [W, d - k, d]
    theta = largest_first(count, k, 2 * np.arcsin(shape.epsilon / 2), 0.0, rng)
    tilted = tilt(B0, outside, theta)
    vstar = rng.standard_normal((count, k))
    vstar *= shape.norm / np.linalg.norm(vstar, axis=1, keepdims=True)
    Bstar, vstar = aligned(B0, orthogonal(count, k, rng) @ tilted, vstar)
    v0 = shape.head_std * rng.standard_normal((count, k))
    return Worlds(B0, Bstar, vstar, inputs(shape, B0, outside, rng), v0)


def inputs(shape: Shape, B0: Array, outside: Array, rng: np.random.Generator) -> Array:
    """X [W, n, d], its row space random, or at the angle asked for from its complement to the rows of B0."""
    count, k, n, d = len(B0), shape.k, shape.n, shape.d
    if shape.angle is None:
        seen = orthogonal(count, d, rng)[:, :n]
    else:
        largest = np.radians(shape.angle)
        theta = largest_first(count, k, largest, largest / 2, rng)
        other = orthogonal(count, d - k, rng) @ outside
        lean = tilt(orthogonal(count, k, rng) @ B0, other, theta)  # k directions of S^⊥, the rest unseen by B0
        hidden = np.concatenate([lean, other[:, k : d - n]], axis=1)  # [W, d - n, d]
        seen = np.linalg.qr(hidden.swapaxes(-1, -2), mode="complete")[0][..., d - n :].swapaxes(-1, -2)
    scale = rng.uniform(*SPREAD, (count, n, 1))
    return orthogonal(count, n, rng) @ (scale * (orthogonal(count, n, rng) @ seen))


def tilt(rows: Array, outside: Array, theta: Array) -> Array:
    """Orthonormal rows turned by the angles `theta` [W, k] towards rows of `outside`; where those end, not at all."""
    able = min(rows.shape[1], outside.shape[1])
    turned = rows.copy()
    turned[:, :able] = (
        np.cos(theta[:, :able, None]) * rows[:, :able] + np.sin(theta[:, :able, None]) * outside[:, :able]
    )
    return turned


def largest_first(count: int, k: int, largest: float, least: float, rng: np.random.Generator) -> Array:
    """Angles [W, k]: the first is the largest, the others uniform between `least` and it."""
    theta = rng.uniform(least, largest, (count, k))
    theta[:, 0] = largest
    return theta


def orthogonal(count: int, size: int, rng: np.random.Generator) -> Array:
    """Orthogonal matrices, uniform over all of them: [W, size, size]."""
    q, r = np.linalg.qr(rng.standard_normal((count, size, size)))
    return q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[:, None, :]
