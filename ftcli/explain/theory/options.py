"""The command that simulates: `theory`."""

from dataclasses import dataclass
from math import isfinite, isqrt, sqrt
from pathlib import Path
from typing import Annotated

from ftcli.config.declare import MEASURE, Words, figure, option, words
from ftcli.config.shared import ConfigFile, RunFolder
from ftcli.errors import RequestError
from ftcli.limits import MAX_SEED, MAX_THEORY_LENGTH, MAX_THEORY_NUMBERS

AXES = Words(("epsilon", "n", "k", "d", "angle"))
LEAST_NORM = 1e-100  # of which a float64 can hold the square, and a small share of that


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Theory(RunFolder):
    """Options of `ftcli theory`."""

    k: Annotated[int, option("Features of the network.", panel=MEASURE, min=1, metavar="FEATURES")] = 3
    n: Annotated[int, option("Training examples; more than k.", panel=MEASURE, min=2, metavar="EXAMPLES")] = 15
    d: Annotated[int, option("Inputs of the network; more than n.", panel=MEASURE, min=3, metavar="INPUTS")] = 40
    epsilon: Annotated[
        float,
        option(
            "Distance ε of the pretrained features from the true ones, at most √2.",
            panel=MEASURE,
            min=0.0,
            metavar="DISTANCE",
        ),
    ] = 0.01
    angle: Annotated[
        float | None,
        option(
            "Angle θ_k in degrees between the pretrained features and the directions that no example "
            "has; above 0, at most 90.",
            panel=MEASURE,
            default="as the random examples give it",
            metavar="DEGREES",
        ),
    ] = None
    norm: Annotated[
        float, option("Length of the true weights w*; above 0.", panel=MEASURE, max=MAX_THEORY_LENGTH, metavar="LENGTH")
    ] = 1.0
    head_std: Annotated[
        float,
        option(
            "Standard deviation of the random head that FT starts from.",
            panel=MEASURE,
            min=0.0,
            max=MAX_THEORY_LENGTH,
            metavar="DEVIATION",
        ),
    ] = 0.1
    worlds: Annotated[int, option("Random problems per point.", panel=MEASURE, min=1, metavar="WORLDS")] = 50
    sweep: Annotated[
        Words,
        option(
            "Parameters to vary, one at a time: epsilon, n, k, d, angle; or none.",
            panel=MEASURE,
            parser=words((*AXES, "none")),
            default=str(AXES),
            metavar="A,B,…",
        ),
    ] = AXES
    points: Annotated[int, option("Number of values in each sweep.", panel=MEASURE, min=2, metavar="VALUES")] = 7
    until: Annotated[float, option("Time t at which gradient flow stops.", panel=MEASURE, metavar="TIME")] = 300.0
    rate: Annotated[
        float,
        option(
            "Step size of gradient descent, relative to the largest stable one; above 0, below 1.",
            panel=MEASURE,
            metavar="SHARE",
        ),
    ] = 0.1
    seed: Annotated[int, option("Seed of the problems.", panel=MEASURE, min=0, max=MAX_SEED, metavar="SEED")] = 0
    config: ConfigFile = None
    plot: Annotated[Path | None, figure("Plot of the sweeps.")] = None

    def __post_init__(self) -> None:
        if self.n <= self.k:
            raise RequestError(
                f"--n {self.n} with --k {self.k}: a probe needs more examples than features.",
                f"--n {self.k + 1} or more",
            )
        if self.d <= self.n:
            raise RequestError(
                f"--d {self.d} with --n {self.n}: the theory is of fewer examples than inputs.",
                f"--d {self.n + 1} or more",
            )
        if self.worlds * self.d**2 > MAX_THEORY_NUMBERS:
            raise RequestError(
                f"--worlds {self.worlds} of --d {self.d}: their matrices have more than {MAX_THEORY_NUMBERS:,} "
                "numbers.",
                f"--d {isqrt(MAX_THEORY_NUMBERS // self.worlds)} or less with so many problems",
            )
        if not 0 <= self.epsilon <= sqrt(2):
            raise RequestError(f"--epsilon {self.epsilon:g}: no two subspaces lie that far apart.", "0 to 1.41421")
        if self.angle is not None:
            self._check_angle(self.angle)
        for name, value in (("norm", self.norm), ("until", self.until)):
            if not (isfinite(value) and value > 0):
                raise RequestError(f"--{name} {value:g} is not above 0.", f"--{name} {getattr(Theory, name):g}")
        if self.norm < LEAST_NORM:
            raise RequestError(
                f"--norm {self.norm:g} is too small: L_ood goes with its square, which would be rounding.",
                f"--norm {LEAST_NORM:g} or more",
            )
        if not isfinite(self.head_std):
            raise RequestError(f"--head-std {self.head_std:g} is no deviation.", "--head-std 0.1")
        if not 0 < self.rate < 1:
            raise RequestError(f"--rate {self.rate:g} is not above 0 and below 1.", "--rate 0.1")
        if "none" in self.sweep and len(self.sweep) > 1:
            raise RequestError(f"--sweep {self.sweep}: none stands by itself.", "leave out none, or the others")
        if self.plot and not self.axes:
            raise RequestError("--plot draws the sweeps, and --sweep none makes none.", "--sweep epsilon")
        if "angle" in self.sweep and self.d - self.n < self.k:
            self._refuse_angle("--sweep angle", "--sweep epsilon,n,k,d")

    @property
    def axes(self) -> tuple[str, ...]:
        """What is varied."""
        return tuple(axis for axis in self.sweep if axis != "none")

    def _check_angle(self, angle: float) -> None:
        if not 0 < angle <= 90:
            raise RequestError(f"--angle {angle:g} is not above 0 and at most 90 degrees.", "--angle 60")
        if self.d - self.n < self.k:
            self._refuse_angle(f"--angle {angle:g}")

    def _refuse_angle(self, option: str, instead: str = "leave out --angle") -> None:
        """Fewer unseen directions than features: one feature at least is seen whole, whatever is asked for."""
        raise RequestError(
            f"{option} with --d {self.d} --n {self.n} --k {self.k}: with d - n below k the angle is always 90 degrees.",
            f"{instead}, or --d {self.n + self.k} or more",
        )
