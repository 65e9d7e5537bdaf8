"""Preconditioned L-BFGS for a batch of problems at once: the members step independently, their work is shared."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ftcli.engine.probe.curvature_pairs import CurvaturePairs
from ftcli.engine.probe.logistic_loss import Points, Problem, products

MAX_STEPS = 1000  # evaluations for one penalty
STALLED = 100  # evaluations without a smaller duality gap, after which the search is given up
WINDOW = 20  # evaluations over which the objective must have settled
ROUNDING = 1e-12  # fraction of the objective below which a decrement is taken for rounding
WATCHED = frozenset((1, 3, 6, *range(10, MAX_STEPS, 5)))  # evaluations after which `watch` is called
SLOPE_LEFT = 0.9  # of the first slope, in size: the most that may be left at the end of a step


Watch = Callable[[Tensor, Points, Tensor], Tensor]  # indices [G], points and directions of members: bool [G]


@dataclass(frozen=True)
class Goal:
    """When a search ends; every number but one is a fraction of the objective.

    At a duality gap of `gap`; at one of `gap_if_near` where the Newton decrement is at most `decrement`; at one of
    `gap_if_settled` where also the last `WINDOW` evaluations lowered the objective by at most `progress`. In each case
    the decrement along the weights must be at most that fraction of the penalty too: under a strong one the
    objective hardly depends on the weights, which would otherwise be left as they started.
    """

    gap: float
    gap_if_near: float
    decrement: float
    gap_if_settled: float
    progress: float
    weights_decrement: float


@dataclass
class _Search:
    """The search of G members of a batch; every field has one entry, [G, …], for each of them."""

    member: Tensor  # its index in the whole batch
    penalty: Tensor
    point: Points
    direction: Tensor  # [G, K, R + 1]
    slope: Tensor  # along the direction, at the point
    step: Tensor  # the next to try, in directions
    moved: Tensor  # whether the last one was accepted
    best: Tensor  # least duality gap so far
    since: Tensor  # evaluations since
    objectives: Tensor  # [G, WINDOW], of the last evaluations
    pairs: CurvaturePairs

    @classmethod
    def begin(cls, problem: Problem, x: Tensor, penalty: Tensor) -> "_Search":
        point, ones = problem.at_or_prior(x, penalty), torch.ones_like(penalty)
        return cls(
            torch.arange(len(x), device=x.device), penalty, point, torch.zeros_like(x), 0 * ones, ones, ones > 0,
            math.inf * ones, 0 * ones, point.objective.new_full((len(x), WINDOW), math.inf),
            CurvaturePairs(x.flatten(1)),
        )  # fmt: skip

    def __getitem__(self, members: Tensor) -> "_Search":
        return _Search(*(getattr(self, field.name)[members] for field in fields(self)))


@dataclass(frozen=True)
class Found:
    """Where the searches of G members have ended: points x [G, K, R + 1], and of each the proof that belongs to it.

    direction [G, K, R + 1]: the next step of the search, at full length. gap [G] float64: the relative duality gap,
    (F - F*) / F at most. reached [G]: whether it ended at the goal.
    """

    x: Tensor
    direction: Tensor
    gap: Tensor
    reached: Tensor


def minimise(problem: Problem, x: Tensor, penalties: Tensor, goal: Goal, watch: Watch | None = None) -> Found:
    """Search from x [G, K, R + 1] with the penalties [G] float64 until the goal is reached.

    watch: is called after the evaluations `WATCHED` with the members still searched for; it says which of them go on.
    """
    solution, directions = x.clone(), torch.zeros_like(x)
    gaps, reached = torch.zeros_like(penalties), penalties > math.inf
    search = _Search.begin(problem, x, penalties)
    for count in range(MAX_STEPS + 1):
        gap, done = _aim(problem, search, goal)
        search.since = torch.where(gap < 0.9 * search.best, 0, search.since + 1)
        search.best = torch.minimum(gap, search.best)
        stuck = (search.since > STALLED) | (search.step < 1e-8) | ~(search.slope < 0) | (count == MAX_STEPS)
        leave = done | stuck
        if watch and count in WATCHED:
            leave |= ~watch(search.member, search.point, search.direction)
        if bool(leave.any()):
            left = search.member[leave]
            solution[left], directions[left] = search.point.x[leave], search.direction[leave]
            gaps[left] = (gap / search.point.objective)[leave].nan_to_num(math.inf)
            reached[left] = done[leave]
            stay = (~leave).nonzero()[:, 0]
            if not len(stay):
                break
            search = search[stay]
        _advance(problem, search)
    return Found(solution, directions, gaps, reached)


def _aim(problem: Problem, search: _Search, goal: Goal) -> tuple[Tensor, Tensor]:
    """A new direction for the members that moved. Returns the duality gaps [G] and who has reached the goal [G]."""
    point, objective = search.point, search.point.objective
    gap, without_bias = problem.gaps(point, search.penalty)
    inverse = problem.inverse_curvature(point, search.penalty)
    direction = search.pairs.direction(point.gradient.flatten(1), inverse.flatten(1)).view_as(point.x)
    decrement = -products(point.gradient, direction) / 2
    near = decrement <= goal.decrement * objective
    of_weights = decrement + (point.gradient[:, :, -1] * direction[:, :, -1]).sum(dim=1) / 2
    penalty = search.penalty / 2 * point.norm
    weights_near = of_weights <= goal.weights_decrement * penalty + ROUNDING * objective
    settled = near & (search.objectives[:, 0] - objective <= goal.progress * objective)
    done = weights_near & (
        (gap <= goal.gap * objective)
        | (near & (gap <= goal.gap_if_near * objective))
        | (settled & (gap <= goal.gap_if_settled * objective))
    )
    # Where only the bias keeps the gap open, it alone steps.
    bias_only = near & weights_near & ~done & (without_bias <= goal.gap_if_near * objective)
    if bool(bias_only.any()):
        direction[bias_only, :, :-1] = 0.0
        direction[bias_only, :, -1] = -(inverse * point.gradient)[bias_only, :, -1]
    if not bool(search.moved.all()):
        direction = torch.where(search.moved[:, None, None], direction, search.direction)
    search.direction, search.slope = direction, products(point.gradient, direction)
    return gap, done


def _advance(problem: Problem, search: _Search) -> None:
    """Evaluate every member's step. One that does not lower the objective enough is tried again, shorter.

    Where the difference of the objectives drowns in rounding, the slope at the end of the step decides.
    """
    point, slope = search.point, search.slope
    move = search.step[:, None, None].to(point.x.dtype) * search.direction
    new = problem.at(point.x + move, search.penalty)
    left = products(new.gradient, search.direction)
    rise = new.objective - point.objective
    flat = (left <= SLOPE_LEFT * slope.abs()) & (rise <= 1e-6 * point.objective)
    search.moved = (rise <= 1e-4 * search.step * slope) | flat
    change = new.gradient - point.gradient
    search.pairs.add(move.flatten(1), change.flatten(1), search.moved & (products(move, change) > 0))
    search.step = torch.where(search.moved, 1.0, search.step * (slope / (slope - left)).clamp(0.1, 0.7))
    search.point = new.where(search.moved, point)
    search.objectives = torch.cat([search.objectives[:, 1:], search.point.objective[:, None]], dim=1)
