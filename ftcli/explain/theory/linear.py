"""Training two-layer linear networks f(x) = vᵀBx on ‖XBᵀv - Y‖²: linear probing, gradient flow, gradient descent."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.integrate import DOP853

from ftcli.explain.theory.worlds import Array, through

RTOL, ATOL = 1e-11, 1e-13  # vvᵀ - BBᵀ is only as constant as the solver is exact


class State(NamedTuple):
    """Networks at one time of their training: the head `v` [W, k] and the features `B` [W, k, d]."""

    time: float  # of the flow; of descent the sum of its steps
    v: Array
    B: Array


def residual(X: Array, Y: Array, v: Array, B: Array) -> Array:
    """r = XBᵀv - Y: [W, n]."""
    return (X @ through(B, v)[..., None])[..., 0] - Y


def gradient(X: Array, Y: Array, v: Array, B: Array) -> tuple[Array, Array]:
    """The gradient of ‖r‖² by v, 2BXᵀr [W, k], and by B, 2v(Xᵀr)ᵀ [W, k, d]."""
    pull = 2 * (residual(X, Y, v, B)[:, None, :] @ X)[:, 0]  # 2Xᵀr, [W, d]
    return (B @ pull[..., None])[..., 0], v[..., None] * pull[:, None, :]


def probe(X: Array, Y: Array, B0: Array) -> Array:
    """Linear probing: the head of least ‖XB0ᵀv - Y‖², of those the shortest [W, k]."""
    features = X @ B0.swapaxes(-1, -2)  # [W, n, k]
    return (np.linalg.pinv(features) @ Y[..., None])[..., 0]


def probe_flow(X: Array, Y: Array, v0: Array, B0: Array, times: Array) -> Iterator[State]:
    """Linear probing under gradient flow in closed form: v(t) = v∞ + exp(-2Ht)(v0 - v∞), H = B0XᵀXB0ᵀ."""
    features = X @ B0.swapaxes(-1, -2)
    rates, turn = np.linalg.eigh(features.swapaxes(-1, -2) @ features)  # [W, k], [W, k, k]
    last = probe(X, Y, B0)
    start = ((v0 - last)[:, None, :] @ turn)[:, 0]  # in H's own directions
    for time in times:
        v = last + (turn @ (np.exp(-2 * rates * time) * start)[..., None])[..., 0]
        yield State(float(time), v, B0)


def flow(X: Array, Y: Array, v0: Array, B0: Array, until: float, *, head: bool = True) -> Iterator[State]:
    """Gradient flow v' = -2BXᵀr, B' = -2v(Xᵀr)ᵀ at every step that the solver takes, the start included.

    Solver: Dormand and Prince's eighth-order rule as in SciPy's `solve_ivp(method="DOP853")`. Without `head`, v stays.
    Raises FloatingPointError where the solver cannot go on.
    """
    count, k = v0.shape
    cut = v0.size

    def unpack(flat: Array) -> tuple[Array, Array]:
        return flat[:cut].reshape(count, k), flat[cut:].reshape(B0.shape)

    def slope(_: float, flat: Array) -> Array:
        dv, dB = gradient(X, Y, *unpack(flat))
        return -np.concatenate([dv.ravel() * head, dB.ravel()])

    yield State(0.0, v0, B0)
    solver = DOP853(slope, 0.0, np.concatenate([v0.ravel(), B0.ravel()]), until, rtol=RTOL, atol=ATOL)
    while solver.status == "running":
        if problem := solver.step():
            raise FloatingPointError(problem)
        yield State(float(solver.t), *unpack(solver.y))


def descend(X: Array, Y: Array, v0: Array, B0: Array, rate: Array, steps: int, *, body: bool = True) -> Iterator[State]:
    """Gradient descent, v and B at once, `rate` [W] of each world its own; after every step, the start included.

    Without `body`, B stays: linear probing. The time is the mean over worlds of rate times steps.
    """
    v, B = v0, B0
    rates, mean = rate[:, None], float(rate.mean())
    yield State(0.0, v, B)
    for step in range(1, steps + 1):
        dv, dB = gradient(X, Y, v, B)
        v = v - rates * dv
        if body:
            B = B - rates[..., None] * dB
        yield State(step * mean, v, B)


def steady_rate(X: Array, v0: Array, norm: float, share: float) -> Array:
    """A rate [W]: `share` of 2 over the curvature 2σ_max(X)²(1 + ‖v‖²), above which descent may grow.

    ‖B‖₂ = 1 at the start, and the longest v that is met is about the longer of v0 and the true weights.
    """
    longest = np.maximum((v0**2).sum(axis=1), norm**2)
    curvature = 2 * np.linalg.norm(X, ord=2, axis=(-2, -1)) ** 2 * (1 + longest)
    return share * 2 / curvature
