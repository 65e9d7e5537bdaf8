"""LEEP and NLEEP: how well the labels follow from the checkpoint's own classes, or from clusters of the features."""

import warnings

import numpy as np

from ftcli.explain.rank.components import Components
from ftcli.explain.rank.undefined import UndefinedScore
from ftcli.safe_text import reason

VARIANCE = 0.8  # share that the principal components of NLEEP keep
PER_CLASS = 5  # clusters
FEWEST = 5  # examples of a cluster, on average
MOST = 200  # clusters: the time of a fit grows with their number


def leep(posterior: np.ndarray, labels: np.ndarray) -> float:
    """The mean log of Σ_z P(y|z) p(z|x) (Nguyen et al. 2020), P(y|z) being the share of y among the examples of z.

    posterior: float64 [N, Z], p(z|x) of every example, rows that sum to 1. labels: int64 [N]. At most 0.
    Raises UndefinedScore for one class.
    """
    classes = np.unique(labels)
    if len(classes) < 2:
        raise UndefinedScore("there is one class only")
    targets = labels[:, None] == classes  # [N, K]
    joint = targets.T.astype(np.float64) @ posterior / len(labels)  # [K, Z]
    mass = joint.sum(axis=0)
    given = np.divide(joint, mass, out=np.zeros_like(joint), where=mass > 0)  # a z that never occurs counts for nothing
    return float(np.log((posterior @ given.T)[targets]).mean())


def cluster_posterior(components: Components, num_classes: int, seed: int) -> np.ndarray:
    """p(z|x) of the Gaussian mixture of NLEEP (Li et al. 2021), float64 [N, Z]; NLEEP is the LEEP of it.

    The mixture lies on the principal components that keep 80 % of the variance. It has 5 clusters per class, but not
    more than N / 5 and not more than 200, with diagonal covariances: full ones would have more parameters than most
    training sets have numbers. seed: of its start. Raises UndefinedScore where the mixture cannot be fitted.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    kept = components.projected(components.explaining(VARIANCE))
    count = max(1, min(PER_CLASS * num_classes, len(kept) // FEWEST, MOST))
    mixture = GaussianMixture(count, covariance_type="diag", init_params="k-means++", random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the score is that of where its 100 rounds end
        try:
            return np.asarray(mixture.fit(kept).predict_proba(kept), dtype=np.float64)
        except ValueError as error:
            raise UndefinedScore(f"its mixture cannot be fitted: {reason(error)}") from error
