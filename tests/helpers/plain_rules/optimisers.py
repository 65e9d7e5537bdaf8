"""Projections during training as plain float64 loops: what the package's are held against."""

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from tests.helpers.plain_rules.weights import Array, Given, Weights, plain, plain_weights

Gradients = Given | Callable[[Weights], Given]  # of one step: given, or a function of the weights before that step


def optimiser_step(
    w: Array, g: Array, lr: float, state: dict[str, Any], optimiser: str, momentum: float = 0.0
) -> Array:
    """The weights after one step without weight decay; `state` begins empty and is changed.

    "sgd": torch's convention, buffer = momentum · buffer + g, which begins as g; no dampening, no Nesterov.
    "adam": β = (0.9, 0.999), ε = 1e-8 added to the root, bias-corrected (Kingma and Ba 2015, algorithm 1).
    """
    t = state["t"] = state.get("t", 0) + 1
    if optimiser == "sgd":
        state["m"] = g if t == 1 else momentum * state["m"] + g
        return w - lr * state["m"]
    if optimiser != "adam":
        raise ValueError(optimiser)
    state["m"] = 0.9 * state.get("m", 0.0) + (1 - 0.9) * g
    state["v"] = 0.999 * state.get("v", 0.0) + (1 - 0.999) * g**2
    return w - lr * (state["m"] / (1 - 0.9**t)) / (np.sqrt(state["v"] / (1 - 0.999**t)) + 1e-8)


def constrained_steps(
    start: Given,
    gradients: Sequence[Gradients],
    rates: Sequence[float],
    optimiser: str,
    momentum: float,
    free: Collection[str],
    constrain: Callable[[Array, Array, Array, Array, dict[str, Any]], Array],
) -> list[Weights]:
    """The weights after every step: each tensor takes the optimiser's step, then `constrain` corrects it.

    `constrain`: of (anchor, weights before, weights after the step, gradient, state of the tensor). Tensors named in
    `free` are not corrected. A tensor without a gradient keeps its weights and state in that step, as in torch.
    """
    anchor = plain_weights(start)
    weights, steps = dict(anchor), []
    states: dict[str, dict[str, Any]] = {name: {} for name in anchor}
    corrections: dict[str, dict[str, Any]] = {name: {} for name in anchor}
    for given, lr in zip(gradients, rates, strict=True):
        named = given(dict(weights)) if callable(given) else given
        for name, values in named.items():
            if values is None:
                continue
            old, g = weights[name], plain(values)
            new = optimiser_step(old, g, lr, states[name], optimiser, momentum)
            weights[name] = new if name in free else constrain(anchor[name], old, new, g, corrections[name])
        steps.append(dict(weights))
    return steps


def spd_correction(anchor: Array, old: Array, new: Array, g: Array, strength: float) -> Array:
    """SPD for one tensor of any shape: the corrected weights.

    Where ⟨g, old − anchor⟩ > 0: new − λρ · (new − anchor), ρ = (‖new − anchor‖ − ‖old − anchor‖) / ‖new − anchor‖
    clipped to [0, 1]; elsewhere `new`. g is the raw gradient. λ is `strength`; it is neither multiplied by the learning
    rate nor clipped, so that λρ > 1 crosses the anchor. ρ = 0 where `new` is the anchor. Source: Tian et al. 2024,
    "Rethinking weight decay for robust fine-tuning of foundation models".
    """
    before, after = math.sqrt(float(((old - anchor) ** 2).sum())), math.sqrt(float(((new - anchor) ** 2).sum()))
    if float((g * (old - anchor)).sum()) <= 0 or after == 0:
        return new
    rho = min(max((after - before) / after, 0.0), 1.0)
    return new - strength * rho * (new - anchor)


def spd_steps(
    start: Given,
    gradients: Sequence[Gradients],
    rates: Sequence[float],
    optimiser: str,
    strength: float,
    momentum: float = 0.0,
    free: Collection[str] = (),
) -> list[Weights]:
    """The weights after every step under SPD with anchor `start`; `rates` holds the learning rate of every step."""

    def constrain(anchor: Array, old: Array, new: Array, g: Array, state: dict[str, Any]) -> Array:
        return spd_correction(anchor, old, new, g, strength)

    return constrained_steps(start, gradients, rates, optimiser, momentum, free, constrain)


def row_sums(x: Array) -> Array:
    """[R, ...] → [R]: the sum of every row. A tensor of one dimension or none is one row: [R] → [1]."""
    return x.reshape(len(x), -1).sum(axis=1) if x.ndim > 1 else x.sum().reshape(1)


def ftp_radius(g: Array, norms: Array, state: dict[str, Any], k: float) -> float:
    """γ of one tensor in this step; g [R, ...] raw gradient, norms [R] of this step's displacement.

    1e-8 in the first step. Later h = Σ over rows of ⟨g, displacement⟩ / norm, with displacement and norm of the step
    before; h > 0 is multiplied by k; Adam on h with rate 1e-2, whose own count is 1 at the first h (the second step);
    γ is clipped to [1e-8, largest norm of this step], and the clipped γ is kept.
    """
    if "radius" not in state:
        return 1e-8
    h = float((row_sums(g * state["displacement"]) / state["norms"]).sum())
    moved = optimiser_step(np.array(state["radius"]), np.array(k * h if h > 0 else h), 1e-2, state["adam"], "adam")
    return min(max(float(moved), 1e-8), float(norms.max()))


def ftp_correction(anchor: Array, new: Array, g: Array, state: dict[str, Any], k: float) -> Array:
    """FTP for one tensor [R, ...]: anchor + min(1, γ / norm) · displacement, for every row.

    displacement = new − anchor, before any projection; norm = Σ|displacement| over the row + 1e-8 (the row sums of the
    MARS norm). Source: Tian et al. 2023, "Fast trainable projection for robust fine-tuning".
    """
    displacement = new - anchor
    norms = row_sums(np.abs(displacement)) + 1e-8
    state.setdefault("adam", {})
    radius = ftp_radius(g, norms, state, k)
    state.update(radius=radius, displacement=displacement, norms=norms)
    ratios = np.minimum(1.0, radius / norms)
    return anchor + ratios.reshape([-1] + [1] * (new.ndim - 1) if new.ndim else []) * displacement


def ftp_steps(
    start: Given,
    gradients: Sequence[Gradients],
    rates: Sequence[float],
    optimiser: str,
    k: float = 1.0,
    momentum: float = 0.0,
    free: Collection[str] = (),
) -> list[Weights]:
    """The weights after every step under FTP with anchor `start`; `rates` holds the learning rate of every step."""

    def constrain(anchor: Array, old: Array, new: Array, g: Array, state: dict[str, Any]) -> Array:
        return ftp_correction(anchor, new, g, state, k)

    return constrained_steps(start, gradients, rates, optimiser, momentum, free, constrain)
