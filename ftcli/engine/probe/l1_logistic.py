"""Logistic regression with an L1 penalty, solved to a proven accuracy: one problem for each column of targets.

With y = ±1 and the intercept penalised as a weight, as liblinear does, the problem is

    min over w, b of   ‖w‖₁ + |b| + C · Σ_i log(1 + exp(-y_i (w·x_i + b))) .

1. Path. The values of C are solved from the smallest on, each from the solution before: the solutions are sparse, and
   grow with C.
2. Working set. Only weights that are not 0, and those on which the gradient pulls hardest, are searched; then the
   gradient of all, which one product gives for all problems together, shows whether others have to join.
3. Newton. In the working set the loss is replaced by its quadratic, whose minimum with the penalty is found
   (sparse_quadratic.py), and a line search on the true objective goes there.
4. Stop. A point has a duality gap, a proof of `F - F* ≤ gap`: for any a_i in [0, 1] with |C Σ a_i y_i x_i| ≤ 1 in every
   coordinate, F* ≥ C Σ H(a_i), H being the entropy of (a, 1 - a) in nats. a is the probability of the wrong class,
   scaled until it is allowed. A search ends where the gap is the fraction `GAP` of F.

Everything is in float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ftcli.engine.probe.sparse_quadratic import minimise_quadratic

GAP = 1e-6  # of the objective
ROUNDS = 200  # of working sets; the gap says where they did not suffice
NEWTON_STEPS = 5  # in one working set
FEWEST_NEW = 16  # weights that may join the working set at once; more where more are not 0
ENOUGH = 1e-2  # of the decrease that the quadratic promises, that a step must reach
HALVINGS = 30  # of a step
SETTLED = 1e-3  # of the gap allowed: a step that promises less is the last in a working set
ROUNDING = 1e-14  # of the objective
RIDGE = 1e-10  # of the mean curvature, added to it where rounding could make it negative


@dataclass(frozen=True)
class Sparse:
    """Solutions, float64. weights: [len(Cs), K, D]; bias: [len(Cs), K]; gaps: [len(Cs), K], fractions of the objective
    by which each exceeds the least at most.
    """

    weights: Tensor
    bias: Tensor
    gaps: Tensor


def l1_logistic(features: Tensor, targets: Tensor, Cs: Sequence[float], gap: float = GAP) -> Sparse:
    """Fit every column of `targets` at every C. features: [N, D]; targets: bool [N, K]; Cs: positive, ascending."""
    ones = features.new_ones(1, len(features), dtype=torch.float64)
    problems = _Problems(torch.cat([features.T.double(), ones]).contiguous(), targets.T.double() * 2 - 1)
    found, gaps = [], []
    for C in Cs:
        gaps.append(problems.solve(C, gap))
        found.append(problems.x.clone())
    x = torch.stack(found)
    return Sparse(x[..., :-1], x[..., -1], torch.stack(gaps))


class _Problems:
    """K problems over the same examples, at points x [K, P]; P = D + 1 weights, the intercept last.

    Z: [P, N], the features by rows and a row of ones. Y: [K, N], ±1. margins: [K, N], y_i (w·x_i + b).
    """

    def __init__(self, Z: Tensor, Y: Tensor) -> None:
        self.Z, self.Y = Z, Y
        self.x = Z.new_zeros(len(Y), len(Z))
        self.margins = torch.zeros_like(Y)

    def solve(self, C: float, gap: float) -> Tensor:
        """Search from the points of now; gives the gaps [K] as fractions of the objectives."""
        gaps = self.x.new_ones(len(self.Y))
        open_ = list(range(len(self.Y)))
        for _ in range(ROUNDS):
            gradient, objective, gaps[open_] = self._judge(open_, C)
            left = [i for i, k in enumerate(open_) if gaps[k] > gap]
            if not left:
                break
            for i in left:
                working = _working_set(self.x[open_[i]], gradient[i])
                self._improve(open_[i], working, C, SETTLED * gap * float(objective[i]))
            open_ = [open_[i] for i in left]
        return gaps

    def _judge(self, members: list[int], C: float) -> tuple[Tensor, Tensor, Tensor]:
        """Of some problems the gradient of the loss [k, P], the objective [k], and the relative gap [k]."""
        margins, Y = self.margins[members], self.Y[members]
        wrong = torch.sigmoid(-margins)  # [k, N]
        gradient = -C * (wrong * Y) @ self.Z.T
        objective = self.x[members].abs().sum(dim=1) + C * softplus(-margins).sum(dim=1)
        allowed = wrong / gradient.abs().amax(dim=1, keepdim=True).clamp_min(1.0)
        entropy = -torch.xlogy(allowed, allowed) - torch.xlogy(1 - allowed, 1 - allowed)
        return gradient, objective, (objective - C * entropy.sum(dim=1)).clamp_min(0.0) / objective

    def _improve(self, k: int, working: Tensor, C: float, least: float) -> None:
        """Newton steps of problem k in a working set, until one promises less than `least`."""
        Z, y = self.Z[working], self.Y[k]  # [a, N], [N]
        x, margins = self.x[k, working], self.margins[k]
        for _ in range(NEWTON_STEPS):
            wrong = torch.sigmoid(-margins)
            gradient = -C * Z @ (wrong * y)
            curvature = (Z * (C * wrong * (1 - wrong))) @ Z.T
            curvature.diagonal().add_(RIDGE * (curvature.diagonal().mean() + torch.finfo(x.dtype).tiny))
            target = minimise_quadratic(curvature, gradient - curvature @ x, x)
            step, shift = target - x, (target - x) @ Z * y
            promised = float(gradient @ step + target.abs().sum() - x.abs().sum())
            size = _step_size(x, step, margins, shift, C, promised)
            x = target if size == 1 else x + size * step
            margins = margins + size * shift
            if -promised <= least or not size:
                break
        self.x[k, working] = x
        self.margins[k] = margins


def _working_set(x: Tensor, gradient: Tensor) -> Tensor:
    """Indices of the weights that are not 0, and of as many others, on which the gradient pulls hardest."""
    moved = x != 0
    pull = torch.where(moved, 0.0, gradient.abs())
    new = pull.topk(min(max(FEWEST_NEW, int(moved.sum())), len(x))).indices
    moved[new[pull[new] > 1]] = True
    return moved.nonzero()[:, 0]


def _step_size(x: Tensor, step: Tensor, margins: Tensor, shift: Tensor, C: float, promised: float) -> float:
    """The largest of 1, ½, ¼, … at which the objective falls enough; 0 where none does."""
    before, size = float(x.abs().sum() + C * softplus(-margins).sum()), 1.0
    for _ in range(HALVINGS):
        after = float((x + size * step).abs().sum() + C * softplus(-margins - size * shift).sum())
        if after <= before + ENOUGH * size * promised + ROUNDING * before:
            return size
        size /= 2
    return 0.0
