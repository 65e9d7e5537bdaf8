"""Estimates from how sure a model is: average confidence, difference of confidences, average thresholded confidence.

Every function takes logits that a temperature has divided already, float64 [n, K] of the labelled set V and [m, K] of
the set without labels U, among the same classes.
"""

import numpy as np
from scipy.special import logsumexp

from ftcli.measures.calibration import softmax


def sureness(logits: np.ndarray) -> np.ndarray:
    """-log Σ exp(z_j - z_ŷ) over the classes j that are not the predicted one: in the order of the highest probability,
    and different where that rounds to 1. Logits [N, K] -> [N]; infinite where there is one class only.
    """
    if logits.shape[1] == 1:
        return np.full(len(logits), np.inf)
    best = logits.argmax(axis=1)[:, None]
    others = logits - np.take_along_axis(logits, best, axis=1)
    np.put_along_axis(others, best, -np.inf, axis=1)
    return -logsumexp(others, axis=1)


def negative_entropy(logits: np.ndarray) -> np.ndarray:
    """Σ p log p of the softmax probabilities: [N, K] -> [N]."""
    log_p = logits - logsumexp(logits, axis=1, keepdims=True)
    return (np.exp(log_p) * log_p).sum(axis=1)


def average_confidence(logits: np.ndarray) -> float:
    """The mean of the highest softmax probability."""
    return float(softmax(logits).max(axis=1).mean())


def difference_of_confidences(labelled: np.ndarray, correct: np.ndarray, unlabelled: np.ndarray) -> float:
    """The accuracy on V plus the change of average confidence from V to U (Guillory et al. 2021, arXiv 2107.03315), as
    the authors of ATC compute it. correct: boolean [n]. Kept within 0 and 1.
    """
    change = average_confidence(unlabelled) - average_confidence(labelled)
    return float(np.clip(correct.mean() + change, 0, 1))


def thresholded_confidence(labelled: np.ndarray, correct: np.ndarray, unlabelled: np.ndarray) -> float:
    """The share of U above the threshold that as large a share of V is above as is correct there: ATC of Garg et al.
    2022 (arXiv 2201.04234, section 4).

    labelled [n] and unlabelled [m]: a score of each example, higher where the model is surer. correct: boolean [n]. Of
    the examples on the threshold itself as large a share counts as makes the share of V exactly its accuracy.
    """
    n, errors = len(labelled), int((~correct).sum())
    if errors == n:
        return 0.0
    threshold = np.sort(labelled)[errors]
    above, tied = (labelled > threshold).sum(), (labelled == threshold).sum()
    share = (n - errors - above) / tied  # of those on the threshold, in (0, 1]
    return float(((unlabelled > threshold).sum() + share * (unlabelled == threshold).sum()) / len(unlabelled))
