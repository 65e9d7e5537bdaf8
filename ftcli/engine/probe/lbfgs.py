"""Preconditioned L-BFGS for a batch of problems at once: the members step independently, their work is shared."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ftcli.engine.probe.logistic_loss import Points, Problem

MEMORY = 12  # curvature pairs kept
MAX_STEPS = 3000  # evaluations for one penalty
STALLED = 200  # evaluations without a smaller duality gap, after which the search is given up
WINDOW = 20  # evaluations over which the objective must have settled
STALE = 1.5  # change of a class's Σ p (1 - p) that makes a new preconditioner
ROUNDING = 1e-12  # fraction of the objective below which a decrement is taken for rounding
SLOPE_LEFT = 0.9  # of the first slope, in size: the most that may be left at the end of a step


@dataclass(frozen=True)
class Goal:
    """When a search ends; every number but one is a fraction of the objective.

    At a duality gap of `certain`; at one of `proven` where the Newton decrement is at most `estimated`; at one of
    `bounded` where also the last `WINDOW` evaluations lowered the objective by at most `settled`. In each case the
    decrement along the weights must be at most the fraction `formed` of the penalty too: under a strong one the
    objective hardly depends on the weights, which would otherwise be left as they started.
    """

    certain: float
    proven: float
    estimated: float
    bounded: float
    settled: float
    formed: float


class Curvature:
    """The last steps s and gradient changes y of G problems with n unknowns: a picture of their inverse Hessians.

    It is the compact form of the L-BFGS matrix (Byrd, Nocedal and Schnabel 1994, theorem 2.2), a few products for all
    members together. A slot without a pair is zero, with 1 on the diagonal of R, and changes nothing.
    """

    def __init__(self, like: Tensor) -> None:
        G, n = like.shape
        self.S, self.Y = like.new_empty(2, G, MEMORY, n)
        self.SY = torch.zeros(G, MEMORY, MEMORY, dtype=torch.float64, device=like.device)  # sᵢ · yⱼ
        self.added = 0

    def add(self, s: Tensor, y: Tensor, valid: Tensor) -> None:
        """Take in s and y [G, n] of the members for which `valid` [G] is true."""
        slot = self.added % MEMORY
        self.added += 1
        used = min(self.added, MEMORY)
        self.S[:, slot], self.Y[:, slot] = torch.where(valid[:, None], s, 0.0), torch.where(valid[:, None], y, 0.0)
        self.SY[:, :used, slot] = (self.S[:, :used] @ self.Y[:, slot, :, None])[..., 0]
        self.SY[:, slot, slot] += (~valid).double()

    def direction(self, gradient: Tensor, precondition: Callable[[Tensor], Tensor]) -> Tensor:
        """Minus the inverse Hessian times the gradient, [G, n], over a first guess scaled to the last pair."""
        used = min(self.added, MEMORY)
        if not used:
            return -precondition(gradient)
        S, Y, SY = self.S[:, :used], self.Y[:, :used], self.SY[:, :used, :used]
        last = (self.added - 1) % MEMORY
        y = Y[:, last]
        length = (y * precondition(y)).sum(dim=1, dtype=torch.float64)
        scale = torch.where(length > 0, SY[:, last, last] / length, 1.0).to(y.dtype)[:, None]
        age = torch.arange(used, device=S.device).sub(self.added).remainder(MEMORY)  # the oldest has the least
        R = torch.where(age[:, None] <= age, SY, 0.0)
        a = torch.linalg.solve_ex(R, (S @ gradient[..., None]).double()).result  # [G, m, 1]
        r = scale * precondition(gradient - (a.mT.to(y.dtype) @ Y)[:, 0])
        b = SY.diagonal(dim1=1, dim2=2)[..., None] * a - (Y @ r[..., None]).double()
        b = torch.linalg.solve_ex(R.mT, b).result
        return -(r + (b.mT.to(y.dtype) @ S)[:, 0])

    def __getitem__(self, members: Tensor) -> "Curvature":
        used = min(self.added, MEMORY)
        subset = Curvature(self.S[members, 0])
        subset.S[:, :used], subset.Y[:, :used] = self.S[members, :used], self.Y[members, :used]
        subset.SY, subset.added = self.SY[members], self.added
        return subset


@dataclass(frozen=True)
class Preconditioner:
    """The inverse of M ⊗ diag(w) + λ, with M = Q diag(m) Qᵀ the mean of diag p_i - p_i p_iᵀ; of M N for the bias."""

    spread: Tensor  # [G, K, K], N M
    Q: Tensor  # [G, K, K]
    inverse: Tensor  # [G, K, R + 1], classes in the basis Q

    @classmethod
    def at(cls, problem: Problem, spread: Tensor, penalties: Tensor) -> "Preconditioner":
        m, Q = torch.linalg.eigh(spread)
        m = m.clamp_min(1e-12 * problem.N) / problem.N  # [G, K]
        weights = 1 / (m[:, :, None] * problem.w.double() + penalties[:, None, None])
        bias = 1 / (m * problem.N)
        bias[:, 0] = 0.0  # the same change of every bias changes nothing
        return cls(spread, Q.to(problem.dtype), torch.cat([weights, bias[:, :, None]], dim=2).to(problem.dtype))

    def __call__(self, gradient: Tensor) -> Tensor:
        """Gradient [G, n] to step [G, n], n = K (R + 1)."""
        turned = self.inverse * (self.Q.mT @ gradient.view_as(self.inverse))
        return (self.Q @ turned).flatten(1)

    def stale(self, spread: Tensor) -> Tensor:
        """Whether a member has moved so far that the preconditioners must be computed anew: a bool tensor []."""
        change = spread.diagonal(dim1=1, dim2=2) / self.spread.diagonal(dim1=1, dim2=2)
        return (torch.maximum(change, 1 / change) > STALE).any()

    def __getitem__(self, members: Tensor) -> "Preconditioner":
        return Preconditioner(self.spread[members], self.Q[members], self.inverse[members])


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
    precondition: Preconditioner
    pairs: Curvature

    @classmethod
    def begin(cls, problem: Problem, x: Tensor, penalty: Tensor) -> "_Search":
        point, ones = problem.at(x, penalty), torch.ones_like(penalty)
        return cls(
            torch.arange(len(x), device=x.device), penalty, point, torch.zeros_like(x), 0 * ones, ones, ones > 0,
            math.inf * ones, 0 * ones, point.objective.new_full((len(x), WINDOW), math.inf),
            Preconditioner.at(problem, point.spread, penalty), Curvature(x.flatten(1)),
        )  # fmt: skip

    def __getitem__(self, members: Tensor) -> "_Search":
        return _Search(*(getattr(self, field.name)[members] for field in fields(self)))


def minimise(problem: Problem, x: Tensor, penalties: Tensor, goal: Goal) -> tuple[Tensor, Tensor]:
    """Search from x [G, K, R + 1] with the penalties [G] float64 until the goal is reached.

    Returns the points found and, of the members that did not reach the goal, the relative duality gap, else 0: [G].
    """
    solution, shortfall = x.clone(), torch.zeros_like(penalties)
    search = _Search.begin(problem, x, penalties)
    for count in range(MAX_STEPS + 1):
        gap, done = _aim(problem, search, goal)
        search.since = torch.where(gap < 0.9 * search.best, 0, search.since + 1)
        search.best = torch.minimum(gap, search.best)
        stuck = (search.since > STALLED) | (search.step < 1e-8) | ~(search.slope < 0) | (count == MAX_STEPS)
        leave = done | stuck
        over, stale = torch.stack([leave.any(), search.precondition.stale(search.point.spread)]).tolist()
        if over:
            failed = stuck & ~done
            solution[search.member[leave]] = search.point.x[leave]
            shortfall[search.member[failed]] = (gap / search.point.objective)[failed].nan_to_num(math.inf)
            stay = (~leave).nonzero()[:, 0]
            if not len(stay):
                break
            search = search[stay]
        if stale:
            search.precondition = Preconditioner.at(problem, search.point.spread, search.penalty)
        _advance(problem, search)
    return solution, shortfall


def _aim(problem: Problem, search: _Search, goal: Goal) -> tuple[Tensor, Tensor]:
    """A new direction for the members that moved. Returns the duality gaps [G] and who has reached the goal [G]."""
    point, level = search.point, search.point.objective
    gap, without_bias = problem.gaps(point, search.penalty)
    direction = search.pairs.direction(point.gradient.flatten(1), search.precondition).view_as(point.x)
    decrement = -_dot(point.gradient, direction) / 2
    near = decrement <= goal.estimated * level
    of_weights = -_dot(point.gradient[:, :, :-1], direction[:, :, :-1]) / 2
    penalty = search.penalty / 2 * point.x[:, :, :-1].square().sum(dim=(1, 2), dtype=torch.float64)
    formed = of_weights <= goal.formed * penalty + ROUNDING * level
    settled = near & (search.objectives[:, 0] - level <= goal.settled * level)
    done = formed & (
        (gap <= goal.certain * level)
        | (near & (gap <= goal.proven * level))
        | (settled & (gap <= goal.bounded * level))
    )
    # Where only the bias keeps the gap open, it alone steps.
    alone = near & formed & ~done & (without_bias <= goal.proven * level)
    direction[:, :, :-1] *= ~alone[:, None, None]
    direction[:, :, -1] = torch.where(alone[:, None], _bias_step(point).to(direction.dtype), direction[:, :, -1])
    search.direction = torch.where(search.moved[:, None, None], direction, search.direction)
    search.slope = _dot(point.gradient, search.direction)
    return gap, done


def _bias_step(point: Points) -> Tensor:
    """Newton's step of the bias [G, K] at given weights."""
    spread, K = point.spread, point.spread.shape[1]
    along_ones = spread.diagonal(dim1=1, dim2=2).mean(dim=1) / K  # there the Hessian is singular, and the gradient zero
    return torch.linalg.solve_ex(spread + along_ones[:, None, None], -point.gradient[:, :, -1].double()).result


def _advance(problem: Problem, search: _Search) -> None:
    """Evaluate every member's step. One that does not lower the objective enough is tried again, shorter.

    Where the difference of the objectives drowns in rounding, the slope at the end of the step decides.
    """
    point, slope = search.point, search.slope
    move = search.step[:, None, None].to(point.x.dtype) * search.direction
    new = problem.at(point.x + move, search.penalty)
    left = _dot(new.gradient, search.direction)
    rise = new.objective - point.objective
    flat = (left <= SLOPE_LEFT * slope.abs()) & (rise <= 1e-6 * point.objective)
    search.moved = (rise <= 1e-4 * search.step * slope) | flat
    change = new.gradient - point.gradient
    search.pairs.add(move.flatten(1), change.flatten(1), search.moved & (_dot(move, change) > 0))
    search.step = torch.where(search.moved, 1.0, search.step * (slope / (slope - left)).clamp(0.1, 0.7))
    search.point = new.where(search.moved, point)
    search.objectives = torch.cat([search.objectives[:, 1:], search.point.objective[:, None]], dim=1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Products of the members' points: [G] float64."""
    return (a * b).sum(dim=(1, 2), dtype=torch.float64)
