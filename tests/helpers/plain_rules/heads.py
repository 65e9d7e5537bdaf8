"""Distances of features, heads and the choice of a strength as plain float64 formulas."""

import inspect
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from tests.helpers.plain_rules.weights import Array, plain


def ldifs(now: Sequence[Any], start: Sequence[Any], alpha: float) -> float:
    """α · the mean over blocks of every block's mean squared difference of normalised features.

    `now`, `start`: one [B, C, ...] per block, with channels in dimension 1 (move them there if tokens are). Features
    are divided by (their norm over the channels at the same position of the same example + 1e-10). A block's mean is
    over its B examples, C channels and positions; blocks weigh the same, whatever their size. Source: LDIFS, Mukhoti
    et al. 2023, but normalised over channels, as LPIPS is (Zhang et al. 2018).
    """
    means = []
    for one, other in zip(now, start, strict=True):
        f, f0 = (plain(x).reshape(len(x), len(x[0]), -1) for x in (one, other))
        total = 0.0
        for example, position in np.ndindex(f.shape[0], f.shape[2]):
            a, b = f[example, :, position], f0[example, :, position]
            total += float(((a / (math.sqrt(a @ a) + 1e-10) - b / (math.sqrt(b @ b) + 1e-10)) ** 2).sum())
        means.append(total / f.size)
    return alpha * sum(means) / len(means)


def l1_logistic(x: Array, y: Array, c: float) -> tuple[Array, float]:
    """Coefficients [D] and intercept of liblinear's ‖w‖₁ + |b| + C · Σ log-loss; x [N, D], y [N] true or false.

    liblinear penalises the intercept as a coefficient. It is solved closely, so that its random order does not matter.
    """
    old = inspect.signature(LogisticRegression).parameters["penalty"].default == "l2"  # scikit-learn before 1.8
    penalty: dict[str, Any] = {"penalty": "l1"} if old else {"l1_ratio": 1.0}
    solver = LogisticRegression(C=c, solver="liblinear", tol=1e-8, max_iter=100_000, random_state=0, **penalty)
    solver.fit(x, y)
    return solver.coef_[0], float(solver.intercept_[0])


def dfr(
    features: Any, labels: Any, groups: Any, c: float, draws: Sequence[Sequence[int]], scale_from: Any = None
) -> tuple[Array, Array]:
    """The head W [K, D], b [K] of deep feature reweighting; features [N, D], labels [N] in 0 … K − 1, groups [N].

    `draws`: indices into the N examples, one list per draw, each with every group as often as the smallest has examples
    (else ValueError). Features are standardised with mean and population deviation (1 where it is 0) of `scale_from`
    [M, D], by default all N. Coefficients and intercepts are averaged over the draws, then the scaling is folded in.
    K = 2: one problem, its (w, b) split as (−w/2, w/2), so that softmax gives the probability. K > 2: one-vs-rest, row
    k being the problem of class k. Source: Kirichenko et al. 2023.
    """
    x, y, group = plain(features), plain(labels).astype(int), plain(groups)
    reference = x if scale_from is None else plain(scale_from)
    mean, deviation = reference.mean(axis=0), reference.std(axis=0)
    z = (x - mean) / np.where(deviation == 0, 1.0, deviation)
    fits = []
    for draw in (np.asarray(draw, dtype=int) for draw in draws):
        check_draw(draw, group)
        classes = [1] if y.max() == 1 else range(y.max() + 1)
        fits.append([np.append(*l1_logistic(z[draw], y[draw] == k, c)) for k in classes])
    rows = np.mean(fits, axis=0)  # [1 or K, D + 1]
    rows = np.concatenate([-rows / 2, rows / 2]) if len(rows) == 1 else rows
    w = rows[:, :-1] / np.where(deviation == 0, 1.0, deviation)
    return w, rows[:, -1] - w @ mean


def check_draw(draw: Array, groups: Array) -> None:
    """ValueError unless a draw is without repeats and holds every group as often as the smallest has examples."""
    smallest = min(int((groups == group).sum()) for group in np.unique(groups))
    counts = [int((groups[draw] == group).sum()) for group in np.unique(groups)]
    if len(set(draw.tolist())) != len(draw) or set(counts) != {smallest}:
        raise ValueError(f"not balanced: {counts}")


def one_standard_error(results: Sequence[tuple[float, float]], n: int) -> float:
    """The largest strength whose accuracy, a fraction of n examples, is at least best − √(best · (1 − best) / n).

    `results`: (strength, accuracy), where larger is stronger; negate strengths that work the other way. Equality
    counts, up to 1e-12. Source: the one-standard-error rule, Breiman et al. 1984, with the binomial error.
    """
    best = max(accuracy for _, accuracy in results)
    error = math.sqrt(best * (1 - best) / n)
    return max(strength for strength, accuracy in results if accuracy >= best - error - 1e-12)
