"""The claims of the papers compared with the simulations: each with a figure, and whether it holds."""

from collections.abc import Iterator
from itertools import pairwise

from ftcli.explain.theory.types import Claim, Surgery, TheoryResults

EXACT = 1e-8  # what a conserved quantity may move: a thousand times the solver's tolerance
ROUNDING = 1e-12  # an error that is rounding, the flows being stopped where the training loss is


def check_claims(results: TheoryResults) -> list[Claim]:
    """Every claim about what was simulated; a claim whose simulation was left out is left out too."""
    return [*linear_claims(results), *surgical_claims(results.surgery)]


def linear_claims(results: TheoryResults) -> Iterator[Claim]:
    """The claims of Kumar et al. 2022."""
    points, perfect = list(results.points()), results.perfect
    outside = max(point.invariants.outside for point in points)
    yield at_most("flow: B(t)u = B0u, u ⟂ inputs", "largest change", outside, EXACT)
    balance = max(point.invariants.balance for point in points)
    yield at_most("flow: vvᵀ - BBᵀ is constant", "largest change", balance, EXACT)
    yield at_most("descent: B(t)u = B0u, u ⟂ inputs", "largest change", results.descent.outside, EXACT)
    problems, positive = sum(point.worlds for point in points), sum(point.bound.positive for point in points)
    seen = f"problems of {problems:,}; it is above 0 in {positive:,}"
    yield at_most("flow: FT never below its bound", seen, sum(point.bound.violated for point in points), 0)
    yield at_most("perfect features: gradient 0 after LP", "largest entry", perfect.gradient, EXACT)
    yield at_most("perfect features: LP-FT always at 0", "largest L_ood", perfect.lpft_largest, ROUNDING)
    yield above_0("perfect features: FT never at 0", "smallest L_ood", perfect.ft_smallest)
    sweep = results.sweeps.get("epsilon")
    if sweep and isinstance(sweep.slope, float):
        ratios = [ratio.median for point in sweep.points if (ratio := point.ratio["lp"])]
        falls = all(nearer < farther for nearer, farther in pairwise(ratios))
        yield Claim("LP/FT falls with ε", "exponent p of LP/FT ~ ε^p", sweep.slope, falls)


def surgical_claims(surgery: Surgery) -> Iterator[Claim]:
    """The claims of Lee et al. 2022. Errors are fractions of that of answering 0."""
    inputs, outputs, few = surgery.input_shift, surgery.output_shift, surgery.few_examples
    yield at_most("inputs Ax: a first layer is exact", "largest error", inputs["first_exact"].max, ROUNDING)
    yield above_0("inputs Ax: no last layer is", "smallest error of the best", inputs["last_best"].min)
    yield at_most("labels ty: a last layer is exact", "largest error", outputs["last_exact"].max, ROUNDING)
    flipped = outputs["first_flipped"].min
    yield Claim("labels -y, v ≥ 0: no first layer is", "smallest error found", flipped, flipped >= 1 - ROUNDING)
    yield at_most("few examples: first layer ends at 0", "largest target loss", few["first"].max, ROUNDING)
    yield above_0("few examples: full tuning does not", "smallest target loss", few["full"].min)


def at_most(claim: str, seen: str, value: float, limit: float) -> Claim:
    return Claim(claim, seen, value, value <= limit)


def above_0(claim: str, seen: str, value: float) -> Claim:
    return Claim(claim, seen, value, value > ROUNDING)
