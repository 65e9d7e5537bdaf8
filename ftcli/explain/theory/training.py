"""Training two-layer linear networks f(x) = vᵀBx on ‖XBᵀv - Y‖²: linear probing, gradient flow, gradient descent."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.integrate import DOP853

from ftcli.explain.theory.problems import Array, end_to_end_weights

RTOL, ATOL = 1e-11, 1e-13  # vvᵀ - BBᵀ is only as constant as the solver is exact


class State(NamedTuple):
    """Networks at one time of their training: the head `v` [P, k] and the features `B` [P, k, d]."""

    time: float  # of the flow; of descent the sum of its steps
    v: Array
    B: Array


def residual(X: Array, Y: Array, v: Array, B: Array) -> Array:
    """r = XBᵀv - Y: [P, n]."""
    return (X @ end_to_end_weights(B, v)[..., None])[..., 0] - Y


def gradient(X: Array, Y: Array, v: Array, B: Array) -> tuple[Array, Array]:
    """The gradient of ‖r‖² by v, 2BXᵀr [P, k], and by B, 2v(Xᵀr)ᵀ [P, k, d]."""
    by_weights = 2 * (residual(X, Y, v, B)[:, None, :] @ X)[:, 0]  # 2Xᵀr, [P, d]
    return (B @ by_weights[..., None])[..., 0], v[..., None] * by_weights[:, None, :]


def linear_probe(X: Array, Y: Array, B0: Array) -> Array:
    """Linear probing: the head of least ‖XB0ᵀv - Y‖², of those the shortest [P, k]."""
    features = X @ B0.swapaxes(-1, -2)  # [P, n, k]
    return (np.linalg.pinv(features) @ Y[..., None])[..., 0]


def linear_probe_flow(X: Array, Y: Array, v0: Array, B0: Array, times: Array) -> Iterator[State]:
    """Linear probing under gradient flow in closed form: v(t) = v∞ + exp(-2Ht)(v0 - v∞), H = B0XᵀXB0ᵀ."""
    features = X @ B0.swapaxes(-1, -2)
    eigenvalues, eigenvectors = np.linalg.eigh(features.swapaxes(-1, -2) @ features)  # of H: [P, k], [P, k, k]
    limit = linear_probe(X, Y, B0)
    start = ((v0 - limit)[:, None, :] @ eigenvectors)[:, 0]
    for time in times:
        v = limit + (eigenvectors @ (np.exp(-2 * eigenvalues * time) * start)[..., None])[..., 0]
        yield State(float(time), v, B0)


def gradient_flow(
    X: Array, Y: Array, v0: Array, B0: Array, until: float, *, train_head: bool = True
) -> Iterator[State]:
    """Gradient flow v' = -2BXᵀr, B' = -2v(Xᵀr)ᵀ at every step that the solver takes, the start included.

    Solver: Dormand and Prince's eighth-order rule as in SciPy's `solve_ivp(method="DOP853")`. Raises FloatingPointError
    where the solver cannot go on.
    """

    def unpack(flat: Array) -> tuple[Array, Array]:
        return flat[: v0.size].reshape(v0.shape), flat[v0.size :].reshape(B0.shape)

    def derivative(_: float, flat: Array) -> Array:
        dv, dB = gradient(X, Y, *unpack(flat))
        return -np.concatenate([dv.ravel() * train_head, dB.ravel()])

    yield State(0.0, v0, B0)
    solver = DOP853(derivative, 0.0, np.concatenate([v0.ravel(), B0.ravel()]), until, rtol=RTOL, atol=ATOL)
    while solver.status == "running":
        if problem := solver.step():
            raise FloatingPointError(problem)
        yield State(float(solver.t), *unpack(solver.y))


def gradient_descent(
    X: Array, Y: Array, v0: Array, B0: Array, rate: Array, steps: int, *, train_features: bool = True
) -> Iterator[State]:
    """Gradient descent on v and B at once with the learning rate `rate` [P]: the start, and the state after every step.

    The time is the mean over problems of rate times steps. Without `train_features` it is linear probing.
    """
    v, B = v0, B0
    rates, mean = rate[:, None], float(rate.mean())
    yield State(0.0, v, B)
    for step in range(1, steps + 1):
        dv, dB = gradient(X, Y, v, B)
        v = v - rates * dv
        if train_features:
            B = B - rates[..., None] * dB
        yield State(step * mean, v, B)


def stable_rate(X: Array, v0: Array, norm: float, fraction: float) -> Array:
    """A learning rate [P]: `fraction` of 2 over the curvature 2σ_max(X)²(1 + ‖v‖²), above which descent may diverge.

    ‖B‖₂ = 1 at the start, and the longest v in training is about the longer of v0 and the true weights (`norm`).
    """
    longest = np.maximum((v0**2).sum(axis=1), norm**2)
    curvature = 2 * np.linalg.norm(X, ord=2, axis=(-2, -1)) ** 2 * (1 + longest)
    return fraction * 2 / curvature
