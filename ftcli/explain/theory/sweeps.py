"""Sweeps: one quantity of the worlds is varied, the others stay."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ftcli.explain.theory.worlds import Shape

NEAR, FAR = 1e-3, 1.0  # ε of its sweep
WIDEST = 4  # the largest d of its sweep over the one asked for


def grid(axis: str, shape: Shape, points: int) -> list[float]:
    """The values that an axis takes; whole numbers without repeats for k, n and d.

    ε is equal in ratio from NEAR to FAR, and so is d from its least to WIDEST times the one asked for; k, n and the
    angle are equal in steps. Where an angle is asked for, only shapes that have one are met: d - n ≥ k.
    """
    k, n, d = shape.k, shape.n, shape.d
    room = k if shape.angle is not None else 1
    if axis == "epsilon":
        return np.geomspace(NEAR, FAR, points).tolist()
    if axis == "angle":
        return np.linspace(90 / points, 90, points).tolist()
    if axis == "d":
        return whole(np.geomspace(n + room, WIDEST * d, points))
    if axis == "n":
        return whole(np.linspace(k + 1, d - room, points))
    return whole(np.linspace(1, min(n - 1, d - n) if shape.angle is not None else n - 1, points))


def whole(values: Iterable[float]) -> list[float]:
    return sorted({round(value) for value in values})


def varied(shape: Shape, axis: str, value: float) -> Shape:
    """The shape with one quantity changed."""
    changed: dict[str, Any] = {axis: value}
    return replace(shape, **changed)


def slope(points: Sequence[dict[str, Any]]) -> float | None:
    """The power of ε that LP/FT goes with: the slope of log median ratio against log ε, by least squares; None where a
    point has no ratio, or one of 0.
    """
    epsilon = [point["epsilon"] for point in points]
    ratio = [point["ratio"]["lp"] and point["ratio"]["lp"]["median"] for point in points]
    if not all(ratio):
        return None
    return float(np.polyfit(np.log(epsilon), np.log(ratio), 1)[0])
