"""Sweeps: one quantity of a family of problems is varied, the others stay."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ftcli.explain.theory.problems import ProblemFamily
from ftcli.explain.theory.types import Point

EPSILONS = (1e-3, 1.0)  # the ends of the sweep of ε
LARGEST_D = 4  # the largest d of its sweep over the requested one


def axis_values(axis: str, family: ProblemFamily, points: int) -> list[float]:
    """The values that an axis takes; integers without repeats for k, n and d.

    ε is equal in ratio between EPSILONS, and so is d from its least to LARGEST_D times the requested one; k, n and the
    angle are equal in steps. Where the family has an angle, d - n ≥ k, without which there is none.
    """
    k, n, d = family.k, family.n, family.d
    unseen = k if family.angle is not None else 1  # directions that no input has, at least
    if axis == "epsilon":
        return np.geomspace(*EPSILONS, points).tolist()
    if axis == "angle":
        return np.linspace(90 / points, 90, points).tolist()
    if axis == "d":
        return integers(np.geomspace(n + unseen, LARGEST_D * d, points))
    if axis == "n":
        return integers(np.linspace(k + 1, d - unseen, points))
    return integers(np.linspace(1, min(n - 1, d - n) if family.angle is not None else n - 1, points))


def integers(values: Iterable[float]) -> list[float]:
    return sorted({round(value) for value in values})


def with_value(family: ProblemFamily, axis: str, value: float) -> ProblemFamily:
    """The family with one quantity changed."""
    changed: Any = {axis: value}
    return replace(family, **changed)


def ratio_slope(points: Sequence[Point]) -> float | None:
    """The power of ε that LP/FT goes with: the slope of log median ratio against log ε, by least squares; None where a
    point has no ratio, or one of 0.
    """
    ratios = [ratio.median for point in points if (ratio := point.ratio["lp"]) and ratio.median]
    if len(ratios) < len(points):
        return None
    return float(np.polyfit(np.log([point.epsilon for point in points]), np.log(ratios), 1)[0])
