"""LP, FT and LP-FT in many random problems of one family, and the figures that the report holds of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil
from typing import TypeVar

import numpy as np

from ftcli.explain.theory.bound import lower_bound
from ftcli.explain.theory.problems import (
    Array,
    ProblemFamily,
    Problems,
    cos_theta,
    orthogonal_complement,
    random_problems,
)
from ftcli.explain.theory.training import (
    State,
    gradient,
    gradient_descent,
    gradient_flow,
    linear_probe,
    linear_probe_flow,
    stable_rate,
)
from ftcli.explain.theory.trajectory import CONVERGED, Trajectory, ood_loss, record
from ftcli.explain.theory.types import Bound, Descent, Invariants, LossCurves, PerfectFeatures, Point, Quantiles

T = TypeVar("T")

METHODS = ("lp", "ft", "lpft")
CURVE_POINTS = 60  # of a trajectory in the report, at most


@dataclass(frozen=True)
class Simulation:
    """P problems of one family, and their training by gradient flow. LP is its limit in closed form: a head [P, k]."""

    family: ProblemFamily
    problems: Problems
    complement: Array  # F, a basis of S^⊥: [P, d, d - n]
    lp_head: Array
    ft: Trajectory
    lpft: Trajectory

    def ood(self) -> dict[str, Array]:
        """L_ood of each method where its training ended: [P] each."""
        lp = ood_loss(self.problems.wstar, State(0.0, self.lp_head, self.problems.B0))
        return {"lp": lp, "ft": self.ft.ood[-1], "lpft": self.lpft.ood[-1]}


def record_on(problems: Problems, complement: Array, states: Iterator[State]) -> Trajectory:
    return record(states, problems.X, problems.Y, problems.wstar, complement)


def simulate(family: ProblemFamily, count: int, until: float, rng: np.random.Generator) -> Simulation:
    """Draw the problems and train on them by gradient flow up to the time `until`."""
    problems = random_problems(count, family, rng)
    X, Y, B0 = problems.X, problems.Y, problems.B0
    complement, lp_head = orthogonal_complement(X), linear_probe(X, Y, B0)
    ft, lpft = (
        record_on(problems, complement, gradient_flow(X, Y, head, B0, until)) for head in (problems.v0, lp_head)
    )
    return Simulation(family, problems, complement, lp_head, ft, lpft)


def point_of(simulation: Simulation, value: float | None = None) -> Point:
    """The figures of a simulation; `value`: that of the axis of a sweep, where it belongs to one."""
    family, problems, ood = simulation.family, simulation.problems, simulation.ood()
    ft, lpft = simulation.ft, simulation.lpft
    point = Point(
        k=family.k, n=family.n, d=family.d, epsilon=family.epsilon, worlds=len(problems.X),
        angle=quantiles(np.degrees(np.arccos(cos_theta(problems.B0, simulation.complement)))),
        ood={method: quantiles(ood[method]) for method in METHODS},
        ratio={method: of_ratio(quantiles, problems, ood[method], ood["ft"]) for method in ("lp", "lpft")},
        bound=bound_of(simulation),
        invariants=Invariants(
            outside=float(max(ft.outside.max(), lpft.outside.max())),
            balance=float(max(ft.balance.max(), lpft.balance.max())),
        ),
        unsettled=int((~(ft.converged & lpft.converged)).sum()),
    )  # fmt: skip
    if value is not None:
        point.value = value
    return point


def bound_of(simulation: Simulation) -> Bound:
    """FT compared with its bound at every time. A bound that is below what a training can resolve counts as 0."""
    problems = simulation.problems
    bound = lower_bound(problems, problems.v0)
    least = np.sqrt(simulation.ft.ood.min(axis=0))  # √L_ood [P]
    positive = bound > np.sqrt(resolution(problems))
    return Bound(
        positive=int(positive.sum()),
        violated=int((positive & (least < bound)).sum()),
        slack=float((least - bound).min()),
        nearest=float((least[positive] / bound[positive]).min()) if positive.any() else None,
    )


def perfect_features_of(simulation: Simulation) -> PerfectFeatures:
    """The figures of problems with ε = 0."""
    problems = simulation.problems
    dv, dB = gradient(problems.X, problems.Y, simulation.lp_head, problems.B0)
    return PerfectFeatures(
        lpft_largest=float(simulation.lpft.ood.max()),
        ft_smallest=float(simulation.ft.ood.min()),
        gradient=float(max(np.abs(dv).max(), np.abs(dB).max())),
    )


def simulate_descent(simulation: Simulation, fraction: float, until: float) -> tuple[Descent, dict[str, LossCurves]]:
    """Train on the same problems by gradient descent with a `fraction` of the largest stable learning rate; and the
    training of the first problem, by method.
    """
    problems, flow_ood = simulation.problems, simulation.ood()
    X, Y, v0, B0 = problems.X, problems.Y, problems.v0, problems.B0
    rate = stable_rate(X, v0, simulation.family.norm, fraction)
    steps = ceil(until / float(rate.mean()))
    runs = {}
    for method, head in (("lp", v0), ("ft", v0), ("lpft", simulation.lp_head)):
        states = gradient_descent(X, Y, head, B0, rate, steps, train_features=method != "lp")
        runs[method] = record_on(problems, simulation.complement, states)
    descent = Descent(
        rate=quantiles(rate),
        ood={method: quantiles(run.ood[-1]) for method, run in runs.items()},
        from_flow={
            method: of_ratio(distance_from_1, problems, run.ood[-1], flow_ood[method]) for method, run in runs.items()
        },
        outside=float(max(run.outside.max() for run in runs.values())),
        balance=float(max(runs[method].balance.max() for method in ("ft", "lpft"))),
        unsettled=int((~(runs["ft"].converged & runs["lpft"].converged)).sum()),
    )
    return descent, {method: first_problem(run) for method, run in runs.items()}


def flow_curves(simulation: Simulation) -> dict[str, LossCurves]:
    """The first problem under gradient flow, by method; LP in closed form, at FT's times."""
    problems = simulation.problems
    states = linear_probe_flow(problems.X, problems.Y, problems.v0, problems.B0, simulation.ft.times)
    lp = record_on(problems, simulation.complement, states)
    return {"lp": first_problem(lp), "ft": first_problem(simulation.ft), "lpft": first_problem(simulation.lpft)}


def first_problem(run: Trajectory) -> LossCurves:
    """The first problem at CURVE_POINTS times at most, evenly spaced in the number of steps."""
    at = np.unique(np.linspace(0, len(run.times) - 1, CURVE_POINTS).round().astype(int))
    return LossCurves(run.times[at].tolist(), run.loss[at, 0].tolist(), run.ood[at, 0].tolist())


def of_ratio(figure: Callable[[Array], T], problems: Problems, above: Array, below: Array) -> T | None:
    """A figure of the ratio of two L_ood [P]; None where the L_ood below is 0 in a problem, exactly or as far as a
    training can resolve it.
    """
    return figure(above / below) if (below > resolution(problems)).all() else None


def resolution(problems: Problems) -> Array:
    """The L_ood [P] up to which no training tells it from 0: they end where their loss is such a share of ‖Y‖²."""
    return CONVERGED * (problems.wstar**2).sum(axis=1)


def distance_from_1(ratio: Array) -> float:
    """The largest distance of a ratio from 1."""
    return float(np.abs(ratio - 1).max())


def quantiles(values: Array) -> Quantiles:
    low, median, high = np.quantile(values, (0.1, 0.5, 0.9)).tolist()
    return Quantiles(median=median, q10=low, q90=high)
