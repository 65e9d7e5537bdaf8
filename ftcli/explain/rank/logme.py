"""LogME (You et al. 2021): the evidence of a Bayesian linear regression on the features, class against the others."""

import numpy as np

from ftcli.explain.rank.undefined import UndefinedScore

ROUNDS = 11
SETTLED = 1e-3  # relative change of α/β
SMALL = 1e-5  # added to both denominators, as published


def logme(features: np.ndarray, labels: np.ndarray) -> float:
    """The log evidence of one example, mean over the classes. features: float64 [N, D]; labels: int64 [N].

    α is the precision of the weights, β that of the noise; both maximise the evidence. The log determinant of the
    posterior has D terms, also where the features have fewer than D directions: those that they lack count as log α.
    The published fixed-point code leaves these out, so that its wide models score higher for being wide.
    Raises UndefinedScore for one class, or where the evidence is not finite.
    """
    classes = np.unique(labels)
    if len(classes) < 2:
        raise UndefinedScore("there is one class only")
    U, singular, _ = np.linalg.svd(features, full_matrices=False)
    sizes = singular**2  # [k], k = min(N, D)
    targets = (labels[:, None] == classes).astype(np.float64)  # [N, K]
    inside = (U.T @ targets) ** 2  # [k, K]
    outside = np.maximum(0.0, targets.sum(axis=0) - inside.sum(axis=0))  # [K]; ‖t‖² is the number of ones
    shape = features.shape
    return float(np.mean([_evidence(sizes, x, rest, shape) for x, rest in zip(inside.T, outside, strict=True)]))


def _evidence(sizes: np.ndarray, x: np.ndarray, rest: float, shape: tuple[int, ...]) -> float:
    """Of one class. sizes [k]: squared singular values; x [k]: squared projections of the targets on their directions;
    rest: of the squared targets, what lies outside.
    """
    N, D = shape
    alpha = beta = np.float64(1.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for _ in range(ROUNDS):
            ratio = alpha / beta
            effective = (sizes / (sizes + ratio)).sum()
            weights = (sizes * x / (sizes + ratio) ** 2).sum()
            errors = (x / (1 + sizes / ratio) ** 2).sum() + rest
            alpha, beta = effective / (weights + SMALL), (N - effective) / (errors + SMALL)
            if not abs(alpha / beta - ratio) / ratio > SETTLED:
                break
        determinant = np.log(alpha + beta * sizes).sum() + (D - len(sizes)) * np.log(alpha)
        evidence = (D * np.log(alpha) + N * np.log(beta) - determinant - beta * errors - alpha * weights) / 2
    if not np.isfinite(evidence):
        raise UndefinedScore("its evidence is not finite: the features fit the labels without any error")
    return float(evidence) / N - float(np.log(2 * np.pi)) / 2
