"""The whole regularisation path of a linear probe: multinomial logistic regression, solved to a proven accuracy.

For every C of an ascending list the problem is, with K full rows of W and an unpenalised bias,

    min over W, b of   C · Σ_i CE(W x_i + b, y_i) + ½ ‖W‖²_F .

Divided by C, with λ = 1/C, this is `F(W, b) = Σ_i CE(W x_i + b, y_i) + λ/2 ‖W‖²`, which is what the code minimises.

1. Path. The solution is a smooth function of log C: that of a quadratic loss has no singularity nearer than iπ. So only
   a few values of C, the nodes, have to be solved from afar, each from an extrapolation of those before it; the others
   start from polynomials through the solutions around (path_solver.py).
2. Pick. Only the value of C that is picked on ID-val has to be solved finely, with its neighbours. Of the others it is
   enough to know that they are not picked (pick_search.py).
3. Batch. Several values of C are evaluated in one pass over the features (logistic_loss.py), which makes the products
   with them wide; a file is read once for all. The members that have reached their goal leave the batch.
4. Search. L-BFGS, preconditioned by the features' scatter and the variance of each class's probability (lbfgs.py). No
   step of it grows with the square of the number of classes.
5. Stop. Every point has a duality gap: a proof of `F - F* ≤ gap`. A fine search ends, in fractions of F named as in
   `FINE`, at a gap of `gap`; or of `gap_if_near`, while the Newton decrement, the sharper estimate of the same
   distance, is at most `decrement`; or, where a weak penalty makes the proof much wider than the truth, of
   `gap_if_settled`, while F has settled besides.

The products run in float32, sums over the examples in float64. Where float32 does not reach the goal, the search is
continued from there with everything in float64; where that does not either, the best point is the solution, and its gap
says how far it is proven.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from ftcli.engine.features.feature_matrix import FeatureMatrix
from ftcli.engine.probe.logistic_loss import Problem
from ftcli.engine.probe.path_solver import PathSolver
from ftcli.engine.probe.pick_search import solve_pick
from ftcli.engine.probe.validation import Validation
from ftcli.errors import RequestError
from ftcli.log import Log

LOWEST, HIGHEST = -7, 2  # exponents of 10 of the values of C
ABSENT_BIAS = -1e4  # of a class without a training example: never predicted


def values_of_C(count: int) -> tuple[float, ...]:
    """logspace(-7, 2, count), the values of Kumar et al. (2022, appendix A) where there are 100."""
    return tuple(10.0 ** (LOWEST + (HIGHEST - LOWEST) * i / (count - 1)) for i in range(count))


DEFAULT_CS = values_of_C(100)


@dataclass(frozen=True)
class Path:
    """One solution per C, kept in the coordinates of the problem: `head` gives its weights and its bias.

    gaps [len(Cs)]: how far each is proven, as the fraction of its objective by which it exceeds the least at most; not
    above 1, as no objective is negative.
    """

    Cs: Sequence[float]
    gaps: list[float]
    fine: list[int]  # indices of the values of C that are solved finely: those among which one may be picked
    id_val: list[tuple[float, float]]  # accuracy and mean loss of each C on ID-val, in float32; empty if not judged
    num_classes: int
    present: Tensor  # classes with an example
    D: int
    problem: Problem | None = None  # none where one class has all examples
    x: Tensor | None = None  # [len(Cs), K present, R + 1]

    def head(self, index: int) -> tuple[Tensor, Tensor]:
        """Weights [K, D] and bias [K] of one C, float32, on the features' device."""
        weights = torch.zeros(self.num_classes, self.D, device=self.present.device)
        bias = torch.full_like(weights[:, 0], ABSENT_BIAS)
        bias[self.present] = 0.0
        if self.problem and self.x is not None:
            rows = self.problem.weights(self.x[[index]])[0]  # [K present, D], rounded to float32
            shift = self.x[index, :, -1] - rows @ self.problem.mean
            weights[self.present] = rows.float()
            bias[self.present] = (shift - shift.mean()).float()
        return weights, bias

    @cached_property
    def weights(self) -> Tensor:
        """Of all C: [len(Cs), K, D] float32."""
        return torch.stack([self.head(i)[0] for i in range(len(self.Cs))])

    @cached_property
    def bias(self) -> Tensor:
        """Of all C: [len(Cs), K] float32."""
        return torch.stack([self.head(i)[1] for i in range(len(self.Cs))])


def path(
    features: Tensor | FeatureMatrix, labels: Tensor, num_classes: int, Cs: Sequence[float] = DEFAULT_CS,
    id_val: tuple[Tensor, Tensor] | None = None, log: Log | None = None,
) -> Path:  # fmt: skip
    """Fit multinomial logistic regression for every C; the module's docstring has the objective and the method.

    features: [N, D] float32, already normalised. labels: [N] int64 in 0 … num_classes - 1. Cs: positive, ascending.
    id_val: features [M, D] and labels [M] of the set on which one C will be picked: the most correct examples, then the
    least loss. If given, this C and its neighbours are solved finely, the others as far as this choice needs, and the
    log shows the progress; else all are solved finely.
    With K = 2 the solution at C has the decision function of the usual one-row binary fit at 2C.
    A class without an example gets a zero row and the bias `ABSENT_BIAS`; the other biases have mean zero.
    A fine objective is proven to lie within the fraction `FINE.gap_if_settled` of its minimum, nearly always within
    `FINE.gap_if_near`; it is usually much nearer. The result does not depend on chance, nor on whether the features are
    in memory or in a file. Memory beside them: `ROTATED_BYTES` and the memory for a group at most, the result, and a
    few D².

    Raises RequestError for features that are not finite, labels out of range or a bad list of C.
    """
    matrix = features if isinstance(features, FeatureMatrix) else FeatureMatrix.of(features)
    _check(labels, num_classes, Cs)
    _check_finite(matrix, "examples")
    if id_val is not None:
        _check_finite(FeatureMatrix.of(id_val[0]), "examples of ID-val")
    labels = labels.to(matrix.device)
    present, compact = labels.unique(sorted=True, return_inverse=True)  # classes seen; labels among them
    fine, scores = list(range(len(Cs))), list[tuple[float, float]]()
    if len(present) == 1:
        return Path(Cs, [0.0] * len(Cs), fine, scores, num_classes, present, matrix.shape[1])
    solver = PathSolver(matrix, compact, len(present), Cs)
    if id_val is None:
        solver.solve()
    else:
        index = torch.full((num_classes,), -1, device=matrix.device)
        index[present] = torch.arange(len(present), device=matrix.device)
        validation = Validation(solver.problem, id_val[0], index[id_val[1].to(matrix.device)], ABSENT_BIAS)
        solved, seen = solve_pick(solver, validation, log or Log())
        fine, M = sorted(solved), len(id_val[1])
        scores = list(zip((seen.correct / M).tolist(), (seen.loss / M).tolist(), strict=True))
    gaps = solver.gaps.nan_to_num(1.0).clamp(0.0, 1.0).tolist()
    return Path(Cs, gaps, fine, scores, num_classes, present, matrix.shape[1], solver.problem, solver.x)


def _check_finite(features: FeatureMatrix, name: str) -> None:
    bad, first = 0, -1
    for span, X in features.blocks():
        rows = ~X.isfinite().all(dim=1)
        if bool(rows.any()):
            first = span.start + int(rows.nonzero()[0]) if not bad else first
            bad += int(rows.sum())
    if bad:
        problem = f"the features of {bad} of {features.shape[0]} {name} are not finite (the first: {first})"
        raise RequestError(problem, "check the checkpoint's weights and the images for NaN and infinity")


def _check(labels: Tensor, num_classes: int, Cs: Sequence[float]) -> None:
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        raise RequestError(f"labels must lie in 0 … {num_classes - 1}: they go from {low} to {high}")
    if not all(math.isfinite(C) and C > 0 for C in Cs) or any(a >= b for a, b in pairwise(Cs)):
        raise RequestError(f"the values of C must be positive and ascending: got {list(Cs)}")
