"""The whole regularisation path of a linear probe: multinomial logistic regression, solved to a proven accuracy.

For every C of an ascending list the problem is, with K full rows of W and an unpenalised bias,

    min over W, b of   C · Σ_i CE(W x_i + b, y_i) + ½ ‖W‖²_F .

Divided by C, with λ = 1/C, this is `F(W, b) = Σ_i CE(W x_i + b, y_i) + λ/2 ‖W‖²`, which is what the code minimises.

1. Path. The solution is a smooth function of log C: that of a quadratic loss has no singularity nearer than iπ. So only
   a few values of C have to be solved from afar. First every `STRIDE`th in turn and roughly, each from an extrapolation
   of those before it; then these together and finely; then the middles between them, the middles between those, and so
   on, each level together from polynomials through the solutions around. Most of the last start where they end.
2. Batch. All values of C of a level are evaluated in one pass over the features (logistic_loss.py), which makes the
   products with them wide, and a file is read once for all. The members that have reached their goal leave the batch.
3. Search. L-BFGS with a preconditioner that knows the features' scatter and the classes' (lbfgs.py).
4. Stop. Every point has a duality gap: a proof of `F - F* ≤ gap`. The search ends, in fractions of F named as in
   `FINE`, at a gap of `certain`; or of `proven`, while the Newton decrement, the sharper estimate of the same distance,
   is at most `estimated`; or, where a weak penalty makes the proof much wider than the truth, of `bounded`, while F has
   settled besides.

The products run in float32, sums over the examples in float64. Where float32 does not reach the goal, the search is
repeated from there with everything in float64.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ftcli.engine.features.feature_matrix import FeatureMatrix
from ftcli.engine.probe.lbfgs import MEMORY, Goal, minimise
from ftcli.engine.probe.logistic_loss import Problem
from ftcli.errors import RequestError, RunError

DEFAULT_CS: tuple[float, ...] = tuple(10.0 ** (-7 + 9 * i / 99) for i in range(100))  # logspace(-7, 2, 100)
ABSENT_BIAS = -1e4  # of a class without a training example: never predicted

# fractions of F: see Goal
ROUGH = Goal(certain=1e-3, proven=1.0, estimated=1e-5, bounded=1.0, settled=0.0, formed=1e-1)
FINE = Goal(certain=3e-7, proven=1e-5, estimated=1.5e-7, bounded=1e-3, settled=2e-8, formed=1e-6)
STRIDE = 8  # every how many values of C the first are solved
CHAIN = 2  # solutions from which the next of the first is extrapolated
NODES = 8  # solutions between which the others are interpolated
GROUP_BYTES = 1 << 30  # memory for the values of C that are solved together


@dataclass(frozen=True)
class Path:
    """One solution per C: `weights` [len(Cs), K, D] and `bias` [len(Cs), K], float32, on the features' device."""

    weights: Tensor
    bias: Tensor


def path(features: Tensor | FeatureMatrix, labels: Tensor, num_classes: int, Cs: Sequence[float] = DEFAULT_CS) -> Path:
    """Fit multinomial logistic regression for every C; the module's docstring has the objective and the method.

    features: [N, D] float32, already normalised. labels: [N] int64 in 0 … num_classes - 1. Cs: positive, ascending.
    With K = 2 the solution at C has the decision function of the usual one-row binary fit at 2C.
    A class without an example gets a zero row and the bias `ABSENT_BIAS`; the other biases have mean zero.
    Each objective is proven to lie within the fraction `FINE.bounded` of its minimum, nearly always within
    `FINE.proven`; it is usually much nearer. The result does not depend on chance, nor on whether the features are in
    memory or in a file. Memory beside them: about `GROUP_BYTES` and `ROTATED_BYTES` at most, the result, and a few D².

    Raises RequestError for features that are not finite, labels out of range or a bad list of C, and RunError, naming
    the C, where no solution of that accuracy was reached.
    """
    matrix = features if isinstance(features, FeatureMatrix) else FeatureMatrix.of(features)
    _check(matrix, labels, num_classes, Cs)
    labels = labels.to(matrix.device)
    present, compact = labels.unique(sorted=True, return_inverse=True)  # classes seen; labels among them
    weights = torch.zeros(len(Cs), num_classes, matrix.shape[1], device=matrix.device)
    bias = torch.full_like(weights[:, :, 0], ABSENT_BIAS)
    bias[:, present] = 0.0
    if len(present) == 1:
        return Path(weights, bias)
    solver = _Solver(matrix, compact, len(present), Cs)
    solver.solve()
    for span in torch.arange(len(Cs), device=matrix.device).split(32):
        rows = solver.problem.weights(solver.x[span])  # [32, K present, D], rounded to float32
        shift = solver.x[span, :, -1] - rows @ solver.problem.mean
        weights[span[:, None], present] = rows.float()
        bias[span[:, None], present] = (shift - shift.mean(dim=1, keepdim=True)).float()
    return Path(weights, bias)


def _check(features: FeatureMatrix, labels: Tensor, num_classes: int, Cs: Sequence[float]) -> None:
    bad, first = 0, -1
    for span, X in features.blocks():
        rows = ~X.isfinite().all(dim=1)
        if bool(rows.any()):
            first = span.start + int(rows.nonzero()[0]) if not bad else first
            bad += int(rows.sum())
    if bad:
        problem = f"the features of {bad} of {features.shape[0]} examples are not finite (the first: {first})"
        raise RequestError(problem, "check the checkpoint's weights and the images for NaN and infinity")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        raise RequestError(f"labels must lie in 0 … {num_classes - 1}: they go from {low} to {high}")
    if not all(math.isfinite(C) and C > 0 for C in Cs) or any(a >= b for a, b in pairwise(Cs)):
        raise RequestError(f"the values of C must be positive and ascending: got {list(Cs)}")


def levels(count: int) -> list[list[int]]:
    """Indices 0 … count - 1, every one once: each `STRIDE`th and the last, then the middles between them, and so on."""
    steps = [STRIDE >> i for i in range(STRIDE.bit_length())]
    first = sorted({*range(0, count, STRIDE), count - 1})
    return [first, *(level for step in steps[1:] if (level := list(range(step, count - 1, 2 * step))))]


class _Solver:
    """The solutions x [len(Cs), K, R + 1] as they become known, in the coordinates of `problem`."""

    def __init__(self, features: FeatureMatrix, labels: Tensor, K: int, Cs: Sequence[float]) -> None:
        self.inputs = (features, labels, K)
        self.problem = Problem(*self.inputs)
        self.exact: Problem | None = None  # in float64, once it is needed
        self.Cs, self.logs = Cs, [math.log(C) for C in Cs]
        self.penalties = torch.tensor([1 / C for C in Cs], dtype=torch.float64, device=features.device)
        self.x = torch.zeros(len(Cs), K, len(self.problem.w) + 1, device=features.device)

    def solve(self) -> None:
        """Fill `x`: the first level from C to C and then together, the others between what is known."""
        first, *rest = levels(len(self.Cs))
        counts = self.problem.counts
        self.x[0, :, -1] = (counts / counts.sum()).log()
        for position, i in enumerate(first):
            self._start(i, first[max(0, position - CHAIN) : position])
            self.x[i] = minimise(self.problem, self.x[[i]], self.penalties[[i]], ROUGH)[0][0]
        self._improve(first)
        known = first
        for level in rest:
            for i in level:
                self._start(i, sorted(known, key=lambda j: abs(self.logs[j] - self.logs[i]))[:NODES])
            self._improve(level)
            known = known + level

    def _start(self, i: int, nodes: Sequence[int]) -> None:
        """Set x[i] to the polynomial in log C through the solutions `nodes`."""
        if nodes:
            factors = _lagrange([self.logs[j] for j in nodes], self.logs[i])
            self.x[i] = torch.stack([factor * self.x[j] for factor, j in zip(factors, nodes, strict=True)]).sum(dim=0)

    def _improve(self, level: Sequence[int]) -> None:
        """Solve the given C finely, as many together as `GROUP_BYTES` allows."""
        member = self.x[0].numel() * self.x.element_size() * (2 * MEMORY + 20)  # the pairs, and vectors on the way
        size = max(1, GROUP_BYTES // member)
        for group in (level[begin : begin + size] for begin in range(0, len(level), size)):
            x, shortfall = minimise(self.problem, self.x[group], self.penalties[group], FINE)
            x[:, :, -1] = self.problem.best_bias(x).to(x.dtype)
            self.x[group] = x
            for i, gap in zip(group, shortfall.tolist(), strict=True):
                if gap:
                    self._improve_exactly(i)

    def _improve_exactly(self, i: int) -> None:
        """Solve one C in float64, from where float32 has come."""
        if self.exact is None:
            self.exact = Problem(*self.inputs, dtype=torch.float64)
        W = self.problem.weights(self.x[[i]])  # [1, K, D]
        x = torch.cat([W @ self.exact.V, self.x[[i], :, -1:].double()], dim=2)
        x, shortfall = minimise(self.exact, x, self.penalties[[i]], FINE)
        if gap := float(shortfall):
            raise RunError(
                f"the linear probe did not reach its optimum at C = {self.Cs[i]:g}: its objective is proven to lie"
                f" within {gap:.1e} of the least, {FINE.bounded:.0e} is asked for (relative)",
                "leave out the values of C from there on",
            )
        W = self.exact.weights(x)  # [1, K, D]
        self.x[i] = torch.cat([W @ self.problem.V.double(), x[:, :, -1:]], dim=2)[0].float()


def _lagrange(nodes: Sequence[float], at: float) -> list[float]:
    """Factors of the polynomial through values at `nodes`, evaluated at `at`."""
    return [math.prod((at - other) / (node - other) for other in nodes if other != node) for node in nodes]
