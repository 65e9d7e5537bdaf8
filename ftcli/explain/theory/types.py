"""The part `theory` of a report. Methods are named lp, ft and lpft, the axes of sweeps epsilon, n, k, d and angle."""

from collections.abc import Iterator

from msgspec import UNSET, UnsetType

from ftcli.records import Count, Record


class Quantiles(Record):
    """The median over problems, and the values below which 10 % and 90 % of them lie."""

    median: float
    q10: float
    q90: float


class Extremes(Record):
    """The smallest, the median and the largest value over problems."""

    min: float
    median: float
    max: float


class Bound(Record):
    """FT's L_ood compared with its lower bound: in how many problems the bound is above 0 and in how many FT fell below
    it; `slack`: the least √L_ood - bound; `nearest`: the least √L_ood over a bound that is above 0.
    """

    positive: Count
    violated: Count
    slack: float
    nearest: float | None


class Invariants(Record):
    """Largest change under gradient flow of what it conserves: B on directions that no input has, and vvᵀ - BBᵀ."""

    outside: float
    balance: float


class Point(Record, kw_only=True):
    """What gradient flow gave in the `worlds` random problems of one family. `value`: that of the axis of a sweep."""

    value: int | float | UnsetType = UNSET
    k: Count
    n: Count
    d: Count
    epsilon: float
    worlds: Count
    angle: Quantiles  # degrees
    ood: dict[str, Quantiles]  # L_ood of lp, ft and lpft
    ratio: dict[str, Quantiles | None]  # L_ood of lp and lpft over that of ft; None where it has no value
    bound: Bound
    invariants: Invariants
    unsettled: Count  # problems whose training had not ended in time


class LossCurves(Record):
    """The training of the first problem: times, training losses and L_ood of equal length."""

    time: list[float]
    loss: list[float]
    ood: list[float]


class Trajectories(Record):
    """The training of the first problem by method, under gradient flow and under gradient descent."""

    flow: dict[str, LossCurves]
    descent: dict[str, LossCurves]


class Descent(Record):
    """Gradient descent on the problems of `point`. `from_flow`: the largest relative difference of L_ood from that of
    gradient flow, None where it has no value; `outside`, `balance`: as in `Invariants`.
    """

    rate: Quantiles
    ood: dict[str, Quantiles]
    from_flow: dict[str, float | None]
    outside: float
    balance: float
    unsettled: Count


class PerfectFeatures(Record):
    """Problems with ε = 0: the largest L_ood of LP-FT and the smallest of FT over all times, and the largest entry of
    the gradient after linear probing.
    """

    lpft_largest: float
    ft_smallest: float
    gradient: float


class Sweep(Record):
    """Points that differ in one quantity. `slope`, of the sweep of ε: that of log LP/FT against log ε, or None."""

    points: list[Point]
    slope: float | UnsetType | None = UNSET


class Surgery(Record):
    """Which layer corrects which shift: for each shift, the errors by how the network was tuned or set."""

    input_shift: dict[str, Extremes]
    output_shift: dict[str, Extremes]
    few_examples: dict[str, Extremes]


class Claim(Record):
    """A claim of a paper: its words, what `value` is, the value, and whether the claim holds."""

    claim: str
    seen: str
    value: int | float
    holds: bool


class TheoryResults(Record):
    """Everything that `ftcli theory` simulated, and the claims compared with it."""

    point: Point
    trajectories: Trajectories
    descent: Descent
    perfect: PerfectFeatures
    sweeps: dict[str, Sweep]
    surgery: Surgery
    claims: list[Claim]

    def points(self) -> Iterator[Point]:
        """Every simulated point: the requested one, and those of the sweeps."""
        yield self.point
        for sweep in self.sweeps.values():
            yield from sweep.points


PARTS = {"theory": TheoryResults}
