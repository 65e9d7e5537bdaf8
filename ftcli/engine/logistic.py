"""The whole regularisation path of a linear probe: multinomial logistic regression, solved to a proven accuracy.

For every C of an ascending list the problem is, with K full rows of W and an unpenalised bias,

    min over W, b of   C · Σ_i CE(W x_i + b, y_i) + ½ ‖W‖²_F .

Divided by C, with λ = 1/C, this is `F(W, b) = Σ_i CE(W x_i + b, y_i) + λ/2 ‖W‖²`, which is what the code minimises.

1. Basis. The features are centred (the bias absorbs the mean) and rotated into the eigenbasis V of their scatter
   matrix, Z = (X - mean) V. A rotation leaves ‖W‖ alone, and there the Hessian is nearly diagonal.
2. Bias. At given W the best bias solves a convex problem in K unknowns that needs no product with Z. It is solved at
   every point, so that `f(W) = min over b of F(W, b)` remains: λ-strongly convex, with gradient `(P - Y) Z + λ W`.
3. Curvature. The Hessian Σ_i (diag p_i - p_i p_iᵀ) ⊗ z_i z_iᵀ + λ is near M ⊗ diag(w) + λ, with M the mean of
   diag p_i - p_i p_iᵀ and w the squared singular values. The inverse of that is exact and preconditions L-BFGS.
4. Path. Each C starts from an extrapolation of the solutions before it along log C. The curvature pairs of L-BFGS are
   kept from one C to the next: the loss part of y does not depend on λ, and the penalty's part of it is λ s.
5. Stop. The best bias makes the residuals Y - P feasible for the dual problem, whose gap is then ‖∇f‖² / (2λ): a proof
   of `f - f* ≤ gap`. The search ends when the gap is within `CERTAIN · f`, or within `PROVEN · f` while the Newton
   decrement, the sharper estimate of the same distance, is within `ESTIMATED · f`.

The products with Z take nearly all the time and run in float32, everything else in float64. Should float32 not be
enough to end the search, the products too run in float64 from that C on.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ftcli.errors import RequestError, RunError

DEFAULT_CS: tuple[float, ...] = tuple(10.0 ** (-7 + 9 * i / 99) for i in range(100))  # logspace(-7, 2, 100)
ABSENT_BIAS = -1e4  # of a class without a training example: never predicted

CERTAIN = 1e-7  # relative duality gap that ends the search at once
PROVEN = 1e-5  # relative duality gap that every returned solution has at most
ESTIMATED = 5e-8  # relative Newton decrement that must be reached when only PROVEN is
MAX_STEPS = 1000  # L-BFGS steps for one C
MEMORY = 20  # curvature pairs kept
Preconditioner = Callable[[Tensor], Tensor]  # gradient [K, R] to step [K, R]


@dataclass(frozen=True)
class Path:
    """One solution per C: `weights` [len(Cs), K, D] and `bias` [len(Cs), K], float32, on the features' device."""

    weights: Tensor
    bias: Tensor


def path(features: Tensor, labels: Tensor, num_classes: int, Cs: Sequence[float] = DEFAULT_CS) -> Path:
    """Fit multinomial logistic regression for every C; the module's docstring has the objective and the method.

    features: [N, D] float32, already normalised. labels: [N] int64 in 0 … num_classes - 1. Cs: positive, ascending.
    With K = 2 the solution at C has the decision function of the usual one-row binary fit at 2C.
    A class without an example gets a zero row and the bias `ABSENT_BIAS`; the other biases have mean zero.
    Each objective is proven to lie within the fraction `PROVEN` of its minimum; it is usually much nearer.
    The result does not depend on chance. Memory: about three copies of the features and two more in float64 at first.

    Raises RequestError for features that are not finite, labels out of range or a bad list of C, and RunError, naming
    the C, where no solution of that accuracy was reached.
    """
    _check(features, labels, num_classes, Cs)
    present, compact = labels.unique(sorted=True, return_inverse=True)  # classes seen; labels among them
    weights = features.new_zeros(len(Cs), num_classes, features.shape[1], dtype=torch.float32)
    bias = torch.full_like(weights[:, :, 0], ABSENT_BIAS)
    bias[:, present] = 0.0
    if len(present) == 1:
        return Path(weights, bias)
    basis = _Basis(features)
    for i, point in enumerate(_walk(features, compact, len(present), basis, Cs)):
        rows = (point.x @ basis.VT).float()  # [K present, D]
        shift = point.bias - rows.double() @ basis.mean  # from the rounded rows, so that their rounding cancels
        weights[i, present] = rows
        bias[i, present] = (shift - shift.mean()).float()
    return Path(weights, bias)


def _check(features: Tensor, labels: Tensor, num_classes: int, Cs: Sequence[float]) -> None:
    bad = (~features.isfinite().all(dim=1)).nonzero().flatten()
    if len(bad):
        problem = f"the features of {len(bad)} of {len(features)} examples are not finite (the first: {int(bad[0])})"
        raise RequestError(problem, "check the checkpoint's weights and the images for NaN and infinity")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        raise RequestError(f"labels must lie in 0 … {num_classes - 1}: they go from {low} to {high}")
    if not all(math.isfinite(C) and C > 0 for C in Cs) or any(a >= b for a, b in pairwise(Cs)):
        raise RequestError(f"the values of C must be positive and ascending: got {list(Cs)}")


class _Basis:
    """Mean [D] and eigenbasis Vᵀ [R, D] of the features: orthonormal rows, R = min(N, D), float64."""

    def __init__(self, features: Tensor) -> None:
        self.mean = features.double().mean(dim=0)
        centred = features.double() - self.mean
        N, D = centred.shape
        if N < D:  # the eigenvectors outside the span of the examples are of no use, and many
            span = torch.linalg.qr(centred.T).Q  # [D, N]
            centred = centred @ span
        V = torch.linalg.eigh(centred.T @ centred).eigenvectors
        self.VT = (span @ V if N < D else V).T.contiguous()  # in the order that `x @ VT`, once per C, reads it

    def rotate(self, features: Tensor) -> Tensor:
        """(features - mean) V: [N, R] float64."""
        return (features.double() - self.mean) @ self.VT.T


@dataclass
class _Point:
    """A place on the way: x [K, R], its scores [K, N], the best bias [K], and loss, probabilities and loss gradient."""

    x: Tensor
    scores: Tensor
    bias: Tensor
    loss: float
    P: Tensor
    gradient: Tensor


class _Problem:
    """The loss Σ_i CE over rotated features, without the penalty. Scores and probabilities are [K, N], class first:
    the products with Z are several times faster that way."""

    def __init__(self, Z: Tensor, labels: Tensor, K: int, dtype: torch.dtype) -> None:
        self.w = Z.square().sum(dim=0)  # [R], squared singular values
        self.Z = Z.to(dtype)  # [N, R]
        self.ZT = self.Z.T.contiguous()  # [R, N]; both, so that each product reads memory in order
        self.labels = labels[None]  # [1, N]
        self.counts = torch.bincount(labels, minlength=K).double()  # [K]

    def scores(self, x: Tensor) -> Tensor:
        """x [K, R] to x Zᵀ [K, N], without the bias."""
        return (x.to(self.ZT.dtype) @ self.ZT).double()

    def gradient(self, probabilities: Tensor) -> Tensor:
        """(P - Y) Z: [K, R], the gradient of the loss by x."""
        residuals = probabilities.scatter_add(0, self.labels, torch.full_like(probabilities[:1], -1.0))
        return (residuals.to(self.Z.dtype) @ self.Z).double()

    def loss(self, logits: Tensor) -> tuple[float, Tensor]:
        """Σ_i CE and the probabilities [K, N]."""
        shifted = logits - logits.amax(dim=0)
        own = shifted.gather(0, self.labels).sum()
        exponentials = shifted.exp_()
        totals = exponentials.sum(dim=0)
        return float(totals.log().sum() - own), exponentials.div_(totals)

    def best_bias(self, scores: Tensor, bias: Tensor) -> tuple[float, Tensor, Tensor]:
        """Minimise the loss over the bias alone, from `bias`: returns loss, probabilities [K, N], bias [K].

        Newton's method. Where a step does not lower the loss, b_k += log(n_k / Σ_i p_ik) takes its place: by
        log u ≤ u - 1 it lowers the loss by at least the Kullback-Leibler divergence of the two sets of counts.
        """
        loss, P = self.loss(scores + bias[:, None])
        for _ in range(200):
            expected = P.sum(dim=1)
            error = self.counts - expected
            if float(error.abs().max()) <= 1e-9 * P.shape[1]:
                break
            hessian = expected.diag() - P @ P.T  # singular along (1, …, 1), where the step shall be zero
            trial = bias + torch.linalg.solve_ex(hessian + expected.mean() / len(bias), error).result
            new_loss, new_P = self.loss(scores + trial[:, None])
            if not new_loss <= loss * (1 + 1e-14):
                trial = bias + (self.counts / expected.clamp_min(1e-300)).log()
                new_loss, new_P = self.loss(scores + trial[:, None])
            loss, P, bias = new_loss, new_P, trial
        return loss, P, bias

    def point(self, x: Tensor, bias: Tensor) -> _Point:
        """All that is known at x, from a first guess of the bias."""
        scores = self.scores(x)
        loss, P, bias = self.best_bias(scores, bias)
        return _Point(x, scores, bias, loss, P, self.gradient(P))


def _walk(features: Tensor, labels: Tensor, K: int, basis: _Basis, Cs: Sequence[float]) -> Iterator[_Point]:
    """The solution for each C in turn, in the rotated basis."""
    problem = _Problem(basis.rotate(features), labels, K, torch.float32)
    known: deque[tuple[float, _Point]] = deque(maxlen=3)  # (log C, solution)
    pairs = _Pairs()
    for C in Cs:
        try:
            point = _minimise(problem, _start(problem, known, C), 1 / C, pairs)
        except RunError:
            problem, pairs = _Problem(basis.rotate(features), labels, K, torch.float64), _Pairs()
            point = _minimise(problem, _start(problem, known, C), 1 / C, pairs)
        known.append((math.log(C), point))
        yield point


def _start(problem: _Problem, known: Sequence[tuple[float, _Point]], C: float) -> _Point:
    """The best extrapolation of the last solutions to log C: linear or quadratic (which also carries more noise)."""
    if not known:
        x = problem.w.new_zeros(len(problem.counts), len(problem.w))
        return problem.point(x, (problem.counts / problem.counts.sum()).log())
    guesses = []
    for order in range(min(2, len(known)), len(known) + 1):
        nodes, points = zip(*list(known)[-order:], strict=True)
        factors = _lagrange(nodes, math.log(C))
        x = _combine(factors, [p.x for p in points])
        scores = _combine(factors, [p.scores for p in points])  # linear in x: no product with Z to compare guesses
        loss, _, bias = problem.best_bias(scores, points[-1].bias)
        guesses.append((loss + float(x.square().sum()) / (2 * C), x, bias))
    _, x, bias = min(guesses, key=lambda guess: guess[0])
    return problem.point(x, bias)  # scores anew: rounding errors would grow from C to C


def _lagrange(nodes: Sequence[float], at: float) -> list[float]:
    """Factors of the polynomial through values at `nodes`, evaluated at `at`."""
    return [math.prod((at - other) / (node - other) for other in nodes if other != node) for node in nodes]


def _combine(factors: Sequence[float], tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([factor * tensor for factor, tensor in zip(factors, tensors, strict=True)]).sum(dim=0)


def _minimise(problem: _Problem, point: _Point, penalty: float, pairs: "_Pairs") -> _Point:
    """Preconditioned L-BFGS on `loss + penalty/2 ‖x‖²` from `point` until the goal is reached."""
    precondition = _preconditioner(problem, point.P, penalty)
    pairs.set_penalty(penalty)
    gap = math.inf
    for _ in range(MAX_STEPS):
        gradient = point.gradient + penalty * point.x
        objective = point.loss + penalty / 2 * float(point.x.square().sum())
        gap = float(gradient.square().sum()) / (2 * penalty) / objective
        if gap <= CERTAIN:
            return point
        direction = -pairs.inverse_hessian(gradient, precondition)
        slope = float((gradient * direction).sum())
        if gap <= PROVEN and -slope / 2 <= ESTIMATED * objective:
            return point
        moved = _line_search(problem, point, direction, slope, penalty) if slope < 0 else None
        if moved is None:
            break
        pairs.add(moved.x - point.x, moved.gradient - point.gradient)
        point = moved
    shortfall = f"its objective is proven to lie within {gap:.1e} of the least, {PROVEN:.0e} is asked for (relative)"
    message = f"the linear probe did not reach its optimum at C = {1 / penalty:g}: {shortfall}"
    raise RunError(message, "leave out the values of C from there on")


def _line_search(problem: _Problem, point: _Point, direction: Tensor, slope: float, penalty: float) -> _Point | None:
    """Halve the step until the objective falls (Armijo's rule). One product for all trials, one for the gradient."""
    change = problem.scores(direction)
    along, length2 = float((point.x * direction).sum()), float(direction.square().sum())
    step = 1.0
    while step > 1e-6:
        scores = point.scores + step * change
        loss, P, bias = problem.best_bias(scores, point.bias)
        rise = loss - point.loss + penalty * (step * along + step**2 / 2 * length2)
        if rise <= 1e-4 * step * slope + 1e-13 * point.loss:
            return _Point(point.x + step * direction, scores, bias, loss, P, problem.gradient(P))
        step /= 2
    return None


def _preconditioner(problem: _Problem, P: Tensor, penalty: float) -> Preconditioner:
    """The inverse of M ⊗ diag(w) + λ, through the eigenvectors Q [K, K] of M."""
    m, Q = torch.linalg.eigh((P.sum(dim=1).diag() - P @ P.T) / P.shape[1])
    curvature = m.clamp_min(0)[:, None] * problem.w + penalty  # [K, R], classes in the basis Q
    return lambda gradient: Q @ ((Q.T @ gradient) / curvature)


class _Pairs:
    """The last steps s and changes y of the loss gradient: L-BFGS's picture of the loss's Hessian, whatever λ is."""

    def __init__(self) -> None:
        self.of_loss: deque[tuple[Tensor, Tensor]] = deque(maxlen=MEMORY)  # (s, y)
        self.penalty = 0.0
        self.pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=MEMORY)  # (s, y + λ s, their product)

    def set_penalty(self, penalty: float) -> None:
        self.penalty = penalty
        self.pairs = deque((self._penalised(s, y) for s, y in self.of_loss), maxlen=MEMORY)

    def add(self, s: Tensor, y: Tensor) -> None:
        if float((s * y).sum()) > 0:  # always, up to rounding: the loss is convex
            self.of_loss.append((s, y))
            self.pairs.append(self._penalised(s, y))

    def _penalised(self, s: Tensor, y: Tensor) -> tuple[Tensor, Tensor, float]:
        y = y + self.penalty * s
        return s, y, float((s * y).sum())

    def inverse_hessian(self, gradient: Tensor, precondition: Preconditioner) -> Tensor:
        """The two-loop recursion (Nocedal and Wright, Numerical Optimization, algorithm 7.4)."""
        q, alphas = gradient.clone(), []
        for s, y, curvature in reversed(self.pairs):
            alphas.append(float((s * q).sum()) / curvature)
            q.sub_(y, alpha=alphas[-1])
        r = precondition(q)
        for (s, y, curvature), alpha in zip(self.pairs, reversed(alphas), strict=True):
            r.add_(s, alpha=alpha - float((y * r).sum()) / curvature)
        return r
