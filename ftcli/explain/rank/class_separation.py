"""Scores of how far the classes lie apart: H-score, Bhattacharyya coefficient (GBC) and coding rate (TransRate)."""

import numpy as np

from ftcli.explain.rank.components import Components
from ftcli.explain.rank.undefined import UndefinedScore

LEAST_VARIANCE = 1e-4  # of one feature within a class, in GBC
DISTORTION = 1e-4  # ε² of TransRate, for features of deviation 1
ROUNDING = 1e-15  # of the largest eigenvalue; what lies below counts as 0 in a pseudo-inverse


def h_score(components: Components, labels: np.ndarray) -> float:
    """The regularised H-score (Ibrahim et al. 2022): tr(Σ_α⁺ · (1 - α) cov(G)), G being each example's class mean.

    Σ_α is the Ledoit-Wolf estimate of the covariance with its shrinkage α; cov(G) has the denominator N - 1.
    labels: int64 [N]. Raises UndefinedScore for one class.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    _check_classes(labels)
    N, D = components.centred.shape
    shrinkage = float(ledoit_wolf_shrinkage(components.centred, assume_centered=True))
    sizes = (1 - shrinkage) * components.variances + shrinkage * components.variances.sum() / D
    inverse = np.divide(1.0, sizes, out=np.zeros(D), where=sizes > ROUNDING * sizes[0])  # [D]
    means, counts = _class_means(components.centred, labels)
    between = counts @ (means @ components.directions) ** 2 / (N - 1)  # [D], diagonal of cov(G) in these coordinates
    return float((1 - shrinkage) * (inverse @ between))


def gbc(features: np.ndarray, labels: np.ndarray) -> float:
    """Minus the sum of the Bhattacharyya coefficients of all ordered pairs of classes (Pándy et al. 2022); at most 0.

    Each class is a Gaussian with one variance for all directions, the mean of those of its features. The log term has
    its factor D, which the published code leaves out for such classes. features: float64 [N, D]; labels: int64 [N].
    Raises UndefinedScore for one class, or a class with one example, whose variance is unknown.
    """
    _check_classes(labels)
    means, counts = _class_means(features, labels)
    if (counts < 2).any():
        raise UndefinedScore("a class has one example, of which no variance can be told")
    D, classes = features.shape[1], np.unique(labels)
    within = [np.maximum(features[labels == label].var(axis=0), LEAST_VARIANCE).mean() for label in classes]
    variance = np.array(within)  # [K]
    pooled = (variance[:, None] + variance) / 2  # [K, K]
    squares = (means**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares - 2 * means @ means.T, 0.0)
    logs = np.log(variance)
    apart = distances / (8 * pooled) + D / 2 * np.log(pooled) - D / 4 * (logs[:, None] + logs)
    return -float(np.exp(-apart)[~np.eye(len(classes), dtype=bool)].sum())


def transrate(components: Components, labels: np.ndarray) -> float:
    """R(Z) - Σ_c n_c/N · R(Z_c) (Huang et al. 2022), R being the coding rate ½ log det(I + ZᵀZ / (n ε²)).

    Z are the centred features, ε² = 1e-4: the features have deviation 1. labels: int64 [N].
    Raises UndefinedScore for one class.
    """
    classes, counts = _check_classes(labels)
    shares = counts / len(labels)
    rates = [_coding_rate(components.centred[labels == label]) for label in classes]
    return float(np.log1p(components.variances / DISTORTION).sum() / 2 - shares @ rates)


def _coding_rate(Z: np.ndarray) -> float:
    """½ log det(I + ZᵀZ / (n ε²)), Z: [n, D]. The smaller of ZᵀZ and ZZᵀ has the same determinant."""
    n, D = Z.shape
    product = Z @ Z.T if n < D else Z.T @ Z
    return float(np.linalg.slogdet(np.eye(len(product)) + product / (n * DISTORTION))[1]) / 2


def _check_classes(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The classes and the number of examples of each."""
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise UndefinedScore("there is one class only")
    return classes, counts


def _class_means(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [K, D] and number [K] of the examples of each class."""
    classes, counts = np.unique(labels, return_counts=True)
    return np.stack([features[labels == label].mean(axis=0) for label in classes]), counts
