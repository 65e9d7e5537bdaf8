"""What the papers claim, held against what the simulations gave: each claim with its figure, and whether it holds."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

EXACT = 1e-8  # what a conserved quantity may move: a thousand times the solver's tolerance
NOTHING = 1e-12  # an error that is rounding, the flows being stopped where the training loss is


def checked(theory: dict[str, Any]) -> list[dict[str, Any]]:
    """Every claim about what was simulated: `claim`, `figure` (in words what was seen), `value`, `holds`."""
    rows = [*linear_claims(theory), *surgical_claims(theory["surgery"])]
    return [dict(zip(("claim", "seen", "value", "holds"), row, strict=True)) for row in rows]


def linear_claims(theory: dict[str, Any]) -> Iterator[tuple[str, str, float, bool]]:
    """Of Kumar et al. 2022."""
    points = every_point(theory)
    for name, claim in (
        ("outside", "flow: B(t)u = B0u, u ⟂ inputs"),
        ("balance", "flow: vvᵀ - BBᵀ is constant"),
    ):
        value = max(point["invariants"][name] for point in points)
        yield claim, "largest change", value, value <= EXACT
    value = theory["descent"]["outside"]
    yield "descent: B(t)u = B0u, u ⟂ inputs", "largest change", value, value <= EXACT
    bounds, worlds = [point["bound"] for point in points], sum(point["worlds"] for point in points)
    violated, positive = sum(one["violated"] for one in bounds), sum(one["positive"] for one in bounds)
    seen = f"worlds of {worlds:,}; it is above 0 in {positive:,}"
    yield "flow: FT never below its bound", seen, violated, violated == 0
    perfect = theory["perfect"]
    value = perfect["gradient"]
    yield "perfect features: gradient 0 after LP", "largest entry", value, value <= EXACT
    value = perfect["lpft_largest"]
    yield "perfect features: LP-FT always at 0", "largest L_ood", value, value <= NOTHING
    value = perfect["ft_smallest"]
    yield "perfect features: FT never at 0", "smallest L_ood", value, value > NOTHING
    sweep = theory["sweeps"].get("epsilon")
    if sweep and sweep["slope"] is not None:
        falls = rises([point["ratio"]["lp"]["median"] for point in sweep["points"]])
        yield "LP/FT falls with ε", "power of ε that it goes with", sweep["slope"], falls


def surgical_claims(surgery: dict[str, Any]) -> Iterator[tuple[str, str, float, bool]]:
    """Of Lee et al. 2022. Errors are fractions of that of answering 0."""
    inputs, outputs, few = surgery["input_shift"], surgery["output_shift"], surgery["few_examples"]
    value = inputs["first_exact"]["max"]
    yield "inputs Ax: a first layer is exact", "largest error", value, value <= NOTHING
    value = inputs["last_best"]["min"]
    yield "inputs Ax: no last layer is", "smallest error of the best", value, value > NOTHING
    value = outputs["last_exact"]["max"]
    yield "labels ty: a last layer is exact", "largest error", value, value <= NOTHING
    value = outputs["first_flipped"]["min"]
    yield "labels -y, v ≥ 0: no first layer is", "smallest error found", value, value >= 1 - NOTHING
    value = few["first"]["max"]
    yield "few examples: first layer ends at 0", "largest target loss", value, value <= NOTHING
    value = few["full"]["min"]
    yield "few examples: full tuning does not", "smallest target loss", value, value > NOTHING


def every_point(theory: dict[str, Any]) -> list[dict[str, Any]]:
    """Every point that was simulated: the one asked for, and those of the sweeps."""
    return [theory["point"], *(point for sweep in theory["sweeps"].values() for point in sweep["points"])]


def rises(values: Sequence[float]) -> bool:
    return all(before < after for before, after in pairwise(values))
