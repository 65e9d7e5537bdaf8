"""A training recorded step by step: its losses, and how far the quantities that gradient flow conserves moved."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ftcli.explain.theory.problems import Array, end_to_end_weights
from ftcli.explain.theory.training import State, residual

CONVERGED = 1e-18  # of ‖Y‖²: a training loss below it is rounding


@dataclass(frozen=True)
class Trajectory:
    """A training of P problems at T times.

    `loss` and `ood` [T, P]: ‖XBᵀv - Y‖² and L_ood = ‖w* - Bᵀv‖². Over all times, each [P]: `outside`, the largest entry
    of (B - B0)F with F a basis of the directions that no input has, and `balance`, the largest entry of the change
    of vvᵀ - BBᵀ. `converged` [P]: whether the training loss fell to CONVERGED. `last`: the networks at the end.
    """

    times: Array
    loss: Array
    ood: Array
    outside: Array
    balance: Array
    converged: Array
    last: State


def record(states: Iterable[State], X: Array, Y: Array, wstar: Array, F: Array) -> Trajectory:
    """Follow a training until every problem has converged or `states` end. `F` [P, d, d - n]: a basis of S^⊥.

    Raises FloatingPointError where a loss is not finite.
    """
    times, losses, oods = [], [], []
    outside = balance = np.zeros(len(X))
    converged = np.zeros(len(X), dtype=bool)
    goal = CONVERGED * (Y**2).sum(axis=1)
    start: State | None = None
    for state in states:
        start = start or state
        times.append(state.time)
        losses.append((residual(X, Y, state.v, state.B) ** 2).sum(axis=1))
        if not np.isfinite(losses[-1]).all():
            raise FloatingPointError("a loss is not finite")
        oods.append(ood_loss(wstar, state))
        outside = np.maximum(outside, largest_entry((state.B - start.B) @ F))
        balance = np.maximum(balance, largest_entry(balance_matrix(state) - balance_matrix(start)))
        converged |= losses[-1] <= goal  # once is enough: near 0 a solver's error comes and goes
        if converged.all():
            break
    return Trajectory(np.array(times), np.stack(losses), np.stack(oods), outside, balance, converged, state)


def ood_loss(wstar: Array, state: State) -> Array:
    """L_ood = ‖B*ᵀv* - Bᵀv‖² [P], the mean squared error on inputs of unit covariance."""
    return ((wstar - end_to_end_weights(state.B, state.v)) ** 2).sum(axis=1)


def balance_matrix(state: State) -> Array:
    """vvᵀ - BBᵀ [P, k, k], which gradient flow conserves."""
    return state.v[:, :, None] * state.v[:, None, :] - state.B @ state.B.swapaxes(-1, -2)


def largest_entry(matrices: Array) -> Array:
    """The largest absolute entry of each matrix: [P]."""
    return np.abs(matrices).max(axis=(-2, -1), initial=0.0)
