"""The lower bound on the OOD error of fine-tuning (Kumar et al. 2022, theorem 3.2)."""

import numpy as np

from ftcli.explain.theory.problems import Array, Problems, cos_theta, orthogonal_complement, subspace_distance


def phi(v0: Array, vstar: Array) -> Array:
    """φ = √|(v0ᵀv*)² - (v*ᵀv*)²|, how far the head starts from the true one or its opposite: [P, k] each -> [P]."""
    start, true = (v0 * vstar).sum(axis=1), (vstar * vstar).sum(axis=1)
    return np.sqrt(np.abs(start**2 - true**2))


def lower_bound(problems: Problems, v0: Array) -> Array:
    """What √L_ood stays above at every time of a gradient flow from the head `v0` and the features B0: [P].

    cos θ_k/√k · min(φ, φ²/‖w*‖)/(1 + ‖w*‖)² - ε. Below 0 it says nothing. Raises ValueError where w* is 0.

    As printed it is too high for a single feature where cos θ_k is small: k = 1, B0 = B*, v0 = 0, ‖w*‖ = 1 leads to
    √L_ood = (1 - √p)·cos θ with p² + p·sin²θ = sin²θ, which is below cos θ/4 from θ = 58.3° on.
    """
    length = np.linalg.norm(problems.wstar, axis=1)
    if not length.all():
        raise ValueError("the bound divides by the length of w*, which is 0")
    head_distance = phi(v0, problems.vstar)
    head = np.minimum(head_distance, head_distance**2 / length) / (1 + length) ** 2
    cosine, k = cos_theta(problems.B0, orthogonal_complement(problems.X)), v0.shape[1]
    return cosine / np.sqrt(k) * head - subspace_distance(problems.B0, problems.Bstar)
