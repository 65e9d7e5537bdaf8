"""What is seen of a training: the losses at every time, and how far what must stay has moved."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ftcli.explain.theory.linear import State, residual
from ftcli.explain.theory.worlds import Array, through

SETTLED = 1e-18  # of ‖Y‖²: a training loss below it is rounding


@dataclass(frozen=True)
class Watched:
    """A training of W worlds seen at T times.

    `loss` and `ood` [T, W]: ‖XBᵀv - Y‖² and L_ood = ‖w* - Bᵀv‖². Over all times, each [W]: `outside`, the largest entry
    of (B - B0)F with F a basis of the directions that no input has, and `balance`, the largest entry of the change
    of vvᵀ - BBᵀ. `settled` [W]: whether the training loss came to SETTLED. `last`: where it ended.
    """

    times: Array
    loss: Array
    ood: Array
    outside: Array
    balance: Array
    settled: Array
    last: State


def watch(states: Iterable[State], X: Array, Y: Array, wstar: Array, F: Array) -> Watched:
    """Follow a training until every world has settled or `states` end. `F` [W, d, d - n]: a basis of S^⊥.

    Raises FloatingPointError where a loss is not finite.
    """
    times, losses, oods = [], [], []
    outside = balance = np.zeros(len(X))
    settled = np.zeros(len(X), dtype=bool)
    goal = SETTLED * (Y**2).sum(axis=1)
    start: State | None = None
    for state in states:
        start = start or state
        times.append(state.time)
        losses.append((residual(X, Y, state.v, state.B) ** 2).sum(axis=1))
        if not np.isfinite(losses[-1]).all():
            raise FloatingPointError("a loss is not finite")
        oods.append(ood_loss(wstar, state))
        outside = np.maximum(outside, largest((state.B - start.B) @ F))
        balance = np.maximum(balance, largest(gap(state) - gap(start)))
        settled |= losses[-1] <= goal  # once is enough: near 0 a solver's error comes and goes
        if settled.all():
            break
    return Watched(np.array(times), np.stack(losses), np.stack(oods), outside, balance, settled, state)


def ood_loss(wstar: Array, state: State) -> Array:
    """L_ood = ‖B*ᵀv* - Bᵀv‖² [W], the mean squared error on inputs of unit covariance."""
    return ((wstar - through(state.B, state.v)) ** 2).sum(axis=1)


def gap(state: State) -> Array:
    """vvᵀ - BBᵀ [W, k, k], which gradient flow keeps."""
    return state.v[:, :, None] * state.v[:, None, :] - state.B @ state.B.swapaxes(-1, -2)


def largest(matrices: Array) -> Array:
    """The largest entry of each matrix, its sign left out: [W]."""
    return np.abs(matrices).max(axis=(-2, -1), initial=0.0)
