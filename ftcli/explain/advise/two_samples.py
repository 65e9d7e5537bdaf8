"""Can a linear classifier tell the source's features from the target's? A test of every block of a network.

At each block a logistic regression with an L2 penalty is fitted to standardised features, reduced by PCA; both are
fitted to four fifths of the examples, and the last fifth is scored (Lopez-Paz and Oquab 2017). The statistic is the
area under the ROC curve (AUC), the mean over five folds. Its null distribution comes from permutations of the
memberships that go through the whole of it, the fits included: permuting only held-out scores would be cheaper and
wrong, because the folds share their training examples, which doubles the variance of the mean. Of each permutation the
largest AUC over the blocks counts, so that the p values hold for all blocks together.

Strata: with a stratum for every example, both sides have equally many of each stratum, and memberships are permuted
within them. One classifier of all strata then compares p(x) as it were with equal shares of the strata; `within`, a
classifier for each stratum compares p(x | stratum) itself, and the statistic is the mean of their AUC.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

FOLDS = 5
FEWEST_PAIRS = 2 * FOLDS
DIMENSIONS = 64  # of PCA at most
EXAMPLES_PER_DIMENSION = 5  # for training, at least: with fewer, the classifier would fit noise
PENALTY = 1.0
STEPS = 25
PERMUTATIONS = 300
MOST = 500  # examples of each side; more make the test slower and find ever smaller shifts


@dataclass(frozen=True)
class TwoSampleTest:
    """auc, p: by block, p corrected for the number of blocks. n: examples of each side. kept: their share of the
    smaller side, below 1 where strata do not match.
    """

    auc: dict[str, float]
    p: dict[str, float]
    n: int
    kept: float


def compare_blocks(
    source: Mapping[str, np.ndarray], target: Mapping[str, np.ndarray],
    strata: tuple[np.ndarray, np.ndarray] | None = None, *, within: bool = False, permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> TwoSampleTest | None:  # fmt: skip
    """The test of every block's features: {block: [n, D]} of the source, {block: [m, D]} of the target.

    strata: one [n] and one [m], of integers; None compares p(x) itself. within: a classifier for each stratum of ten
    pairs or more, and one for all the others. None where fewer than ten pairs remain.
    """
    n, m = len(next(iter(source.values()))), len(next(iter(target.values())))
    rng = np.random.default_rng(seed)
    of_source, of_target = strata or (np.zeros(n, np.int64), np.zeros(m, np.int64))
    rows = matched_rows(of_source, of_target, rng)
    pairs = len(rows[0])
    if pairs < FEWEST_PAIRS:
        return None
    stratum = np.concatenate([of_source[rows[0]], of_target[rows[1]]])
    members = permuted_memberships(np.arange(2 * pairs) >= pairs, stratum, permutations, rng)  # [2 pairs, 1 + P]
    folds = rng.permutation(2 * pairs) % FOLDS
    groups = grouped(stratum) if within else np.zeros(2 * pairs, np.int64)
    curves = {
        block: mean_separation(np.concatenate([source[block][rows[0]], target[block][rows[1]]]), members, folds, groups)
        for block in source
    }
    largest = np.max([curve[1:] for curve in curves.values()], axis=0)  # [P]
    p = {
        block: float((1 + (largest >= curve[0] - 1e-12).sum()) / (1 + permutations)) for block, curve in curves.items()
    }
    kept = pairs / min(n, m, MOST)
    return TwoSampleTest({block: float(curve[0]) for block, curve in curves.items()}, p, pairs, kept)


def matched_rows(source: np.ndarray, target: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of either side, equally many of each stratum, drawn without replacement, `MOST` at most in all."""
    rows: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for stratum in np.intersect1d(source, target):
        of_stratum = [rng.permutation(np.flatnonzero(side == stratum)) for side in (source, target)]
        count = min(map(len, of_stratum))
        for side, drawn in zip(rows, of_stratum, strict=True):
            side.append(drawn[:count])
    if not rows[0]:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    first, second = (np.concatenate(side) for side in rows)
    chosen = rng.permutation(len(first))[:MOST]
    return first[chosen], second[chosen]


def permuted_memberships(
    members: np.ndarray, strata: np.ndarray, permutations: int, rng: np.random.Generator
) -> np.ndarray:
    """Which of N examples are of the target, bool [N, 1 + P]: as they are, and permuted P times within strata [N]."""
    permuted = np.repeat(members[:, None], 1 + permutations, axis=1)
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        permuted[rows, 1:] = rng.permuted(permuted[rows, 1:], axis=0)
    return permuted


def grouped(strata: np.ndarray) -> np.ndarray:
    """The group of every example [N], of strata that have both sides equally often: its stratum, or -1 where that has
    fewer than ten pairs.
    """
    values, index, counts = np.unique(strata, return_inverse=True, return_counts=True)
    return np.where(counts >= 2 * FEWEST_PAIRS, values, -1)[index]


def mean_separation(features: np.ndarray, members: np.ndarray, folds: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The AUC [P] of one classifier for each group, the mean weighted by their examples; groups [N]. Groups of fewer
    than ten pairs are left out.
    """
    total, weight = np.zeros(members.shape[1]), 0
    for group in np.unique(groups):
        rows = groups == group
        if (count := int(rows.sum())) >= 2 * FEWEST_PAIRS:
            total, weight = total + count * separation(features[rows], members[rows], folds[rows]), weight + count
    return total / weight if weight else np.full(members.shape[1], 0.5)


def separation(features: np.ndarray, members: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """The AUC [P] of features [N, D] for every column of members [N, P]; folds [N]: which fifth an example is in.

    The mean over the folds, weighted by their numbers of pairs.
    """
    total, pairs = np.zeros(members.shape[1]), np.zeros(members.shape[1])
    for fold in range(FOLDS):
        train, test = folds != fold, folds == fold
        X, Y = projected(np.asarray(features, np.float64), train)
        scores = Y @ logistic_weights(X, members[train])  # [n, P]
        of_fold, count = areas(scores, members[test])
        total, pairs = total + of_fold * count, pairs + count
    return total / np.maximum(pairs, 1)


def projected(features: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Training and test rows on the leading principal components of the training rows, each feature standardised by
    them: [n, d + 1] with a last column of ones. A feature that is constant in training is left out.
    """
    X, Y = features[train], features[~train]
    mean, deviation = X.mean(axis=0), X.std(axis=0)
    varies = deviation > 1e-7 * np.abs(mean) + 1e-12
    X, Y = ((side[:, varies] - mean[varies]) / deviation[varies] for side in (X, Y))
    d = max(1, min(DIMENSIONS, len(X) // EXAMPLES_PER_DIMENSION))
    if X.shape[1] > d:
        values, vectors = np.linalg.eigh(X.T @ X) if X.shape[1] <= len(X) else gram_directions(X)
        leading = vectors[:, np.argsort(values)[::-1][:d]]
        X, Y = X @ leading, Y @ leading
    return np.column_stack([X, np.ones(len(X))]), np.column_stack([Y, np.ones(len(Y))])


def gram_directions(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared singular values and right singular vectors [D, n] of X [n, D], where D is larger than n."""
    _, values, rows = np.linalg.svd(X, full_matrices=False)
    return np.square(values), rows.T


def logistic_weights(X: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The weights [d, P] of an L2-penalised logistic regression of X [n, d] for every column of members [n, P].

    Each step divides the gradient by an upper bound of the curvature, X'X/4 + λ, which does not depend on the
    memberships: it is factorised once for all permutations (Böhning and Lindsay 1988). The last column of X, of ones,
    is not penalised.
    """
    d = X.shape[1]
    penalty = np.full(d, PENALTY)
    penalty[-1] = 1e-8
    inverse = np.linalg.inv(X.T @ X / 4 + np.diag(penalty))
    y, W = members.astype(np.float64), np.zeros((d, members.shape[1]))
    for _ in range(STEPS):
        residual = y - 1 / (1 + np.exp(-np.clip(X @ W, -500, 500)))
        W += inverse @ (X.T @ residual - penalty[:, None] * W)
    return W


def areas(scores: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Area under the ROC curve of every column [P] of scores [n, P] for members [n, P], ties counted half; and the
    numbers of pairs of a member and another. Without a pair the area is ½.
    """
    positive = members.sum(axis=0).astype(np.float64)
    pairs = positive * (len(members) - positive)
    ranks = rankdata(scores, axis=0)
    wins = (ranks * members).sum(axis=0) - positive * (positive + 1) / 2
    return np.divide(wins, pairs, out=np.full(len(pairs), 0.5), where=pairs > 0), pairs
