"""One point of the study: LP, FT and LP-FT in many random worlds of one shape, in figures."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from ftcli.explain.theory.bound import lower_bound
from ftcli.explain.theory.linear import State, descend, flow, gradient, probe, probe_flow, steady_rate
from ftcli.explain.theory.observed import SETTLED, Watched, ood_loss, watch
from ftcli.explain.theory.worlds import Array, Shape, Worlds, cos_theta, random_worlds, unseen

METHODS = ("lp", "ft", "lpft")
SHOWN = 60  # times of a trajectory in the report, at most


@dataclass(frozen=True)
class Point:
    """W worlds of one shape and what gradient flow made of them. LP is its own limit: `probed` [W, k]."""

    shape: Shape
    worlds: Worlds
    unseen: Array  # F, a basis of S^⊥: [W, d, d - n]
    probed: Array
    ft: Watched
    lpft: Watched

    def ood(self) -> dict[str, Array]:
        """L_ood of each method where its training ended: [W] each."""
        lp = ood_loss(self.worlds.wstar, State(0.0, self.probed, self.worlds.B0))
        return {"lp": lp, "ft": self.ft.ood[-1], "lpft": self.lpft.ood[-1]}


def run_point(shape: Shape, count: int, until: float, rng: np.random.Generator) -> Point:
    """Draw the worlds and train in them by gradient flow."""
    worlds = random_worlds(count, shape, rng)
    F, probed = unseen(worlds.X), probe(worlds.X, worlds.Y, worlds.B0)
    ft, lpft = (followed(flow(worlds.X, worlds.Y, v, worlds.B0, until), worlds, F) for v in (worlds.v0, probed))
    return Point(shape, worlds, F, probed, ft, lpft)


def followed(states: Iterator[State], worlds: Worlds, F: Array) -> Watched:
    return watch(states, worlds.X, worlds.Y, worlds.wstar, F)


def describe(point: Point) -> dict[str, Any]:
    """The figures of a point: L_ood by method, its ratio to FT's, the bound, what flow must keep."""
    shape, worlds, ood = point.shape, point.worlds, point.ood()
    cosine = cos_theta(worlds.B0, point.unseen)
    return {
        "k": shape.k, "n": shape.n, "d": shape.d, "epsilon": shape.epsilon, "worlds": len(worlds.X),
        "angle": quantiles(np.degrees(np.arccos(cosine))),
        "ood": {method: quantiles(ood[method]) for method in METHODS},
        "ratio": {method: over_worlds(point, ood[method], ood["ft"], quantiles) for method in ("lp", "lpft")},
        "bound": describe_bound(point),
        "invariants": {
            "outside": float(max(point.ft.outside.max(), point.lpft.outside.max())),
            "balance": float(max(point.ft.balance.max(), point.lpft.balance.max())),
        },
        "unsettled": int((~(point.ft.settled & point.lpft.settled)).sum()),
    }  # fmt: skip


def describe_bound(point: Point) -> dict[str, Any]:
    """FT held against its bound at every time: in how many worlds the bound is above 0, in how many FT fell below it,
    the least √L_ood - bound, and, where the bound is above 0, the least √L_ood over it. A bound that no training
    resolves counts as 0.
    """
    bound = lower_bound(point.worlds, point.worlds.v0)
    reached = np.sqrt(point.ft.ood.min(axis=0))  # [W]
    says = bound > np.sqrt(unresolved(point.worlds))
    return {
        "positive": int(says.sum()),
        "violated": int((says & (reached < bound)).sum()),
        "slack": float((reached - bound).min()),
        "nearest": float((reached[says] / bound[says]).min()) if says.any() else None,
    }


def describe_perfect(point: Point) -> dict[str, float]:
    """Perfect features: LP-FT's L_ood at its largest, FT's at its smallest, over all worlds and times; and the largest
    entry of the gradient at B0 with the probed head.
    """
    worlds = point.worlds
    dv, dB = gradient(worlds.X, worlds.Y, point.probed, worlds.B0)
    return {
        "lpft_largest": float(point.lpft.ood.max()),
        "ft_smallest": float(point.ft.ood.min()),
        "gradient": float(max(np.abs(dv).max(), np.abs(dB).max())),
    }


def describe_descent(point: Point, share: float, until: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same worlds by gradient descent: its figures beside the flow's, and the trajectories of the first world."""
    worlds, ends = point.worlds, point.ood()
    rate = steady_rate(worlds.X, worlds.v0, point.shape.norm, share)
    steps = ceil(until / float(rate.mean()))
    runs = {
        method: followed(
            descend(worlds.X, worlds.Y, head, worlds.B0, rate, steps, body=method != "lp"), worlds, point.unseen
        )
        for method, head in (("lp", worlds.v0), ("ft", worlds.v0), ("lpft", point.probed))
    }
    figures = {
        "rate": quantiles(rate),
        "ood": {method: quantiles(run.ood[-1]) for method, run in runs.items()},
        "from_flow": {method: over_worlds(point, run.ood[-1], ends[method], departure) for method, run in runs.items()},
        "outside": float(max(run.outside.max() for run in runs.values())),
        "balance": float(max(runs[method].balance.max() for method in ("ft", "lpft"))),
        "unsettled": int((~(runs["ft"].settled & runs["lpft"].settled)).sum()),
    }
    return figures, {method: trajectory(run) for method, run in runs.items()}


def flow_trajectories(point: Point) -> dict[str, Any]:
    """The first world under gradient flow; LP in closed form, at FT's times."""
    worlds = point.worlds
    lp = followed(probe_flow(worlds.X, worlds.Y, worlds.v0, worlds.B0, point.ft.times), worlds, point.unseen)
    return {"lp": trajectory(lp), "ft": trajectory(point.ft), "lpft": trajectory(point.lpft)}


def trajectory(run: Watched) -> dict[str, list[float]]:
    """Times, training loss and L_ood of the first world, at most SHOWN of them, even in the number of steps."""
    at = np.unique(np.linspace(0, len(run.times) - 1, SHOWN).round().astype(int))
    return {"time": run.times[at].tolist(), "loss": run.loss[at, 0].tolist(), "ood": run.ood[at, 0].tolist()}


def over_worlds(point: Point, above: Array, below: Array, describe: Callable[[Array], Any]) -> Any:
    """What `describe` says of the ratio of two L_ood [W]; None where a world has none, the L_ood below being 0 there:
    exactly, or as far as a training resolves it.
    """
    return describe(above / below) if (below > unresolved(point.worlds)).all() else None


def unresolved(worlds: Worlds) -> Array:
    """The L_ood [W] up to which no training tells it from 0: they end where their loss is such a share of ‖Y‖²."""
    return SETTLED * (worlds.wstar**2).sum(axis=1)


def departure(ratio: Array) -> float:
    """The largest distance from 1."""
    return float(np.abs(ratio - 1).max())


def quantiles(values: Array) -> dict[str, float]:
    """The median over worlds, and what a tenth of them lies below and above."""
    low, median, high = np.quantile(values, (0.1, 0.5, 0.9)).tolist()
    return {"median": median, "q10": low, "q90": high}
