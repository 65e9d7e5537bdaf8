"""The lower bound on the OOD error of fine-tuning (Kumar et al. 2022, theorem 3.2)."""

import numpy as np

from ftcli.explain.theory.worlds import Array, Worlds, cos_theta, distance, unseen


def phi(v0: Array, vstar: Array) -> Array:
    """φ = √|(v0ᵀv*)² - (v*ᵀv*)²|, how far the head starts from the true one or its opposite: [W, k] each -> [W]."""
    start, true = (v0 * vstar).sum(axis=1), (vstar * vstar).sum(axis=1)
    return np.sqrt(np.abs(start**2 - true**2))


def lower_bound(worlds: Worlds, v0: Array) -> Array:
    """What √L_ood stays above at every time of a gradient flow from the head `v0` and the features B0: [W].

    cos θ_k/√k · min(φ, φ²/‖w*‖)/(1 + ‖w*‖)² - ε. Below 0 it says nothing. Raises ValueError where w* is 0.

    As printed it is too high for a single feature where cos θ_k is small: k = 1, B0 = B*, v0 = 0, ‖w*‖ = 1 leads to
    √L_ood = (1 - √p)·cos θ with p² + p·sin²θ = sin²θ, which is below cos θ/4 from θ = 58.3° on.
    """
    length = np.linalg.norm(worlds.wstar, axis=1)
    if not length.all():
        raise ValueError("the bound divides by the length of w*, which is 0")
    apart = phi(v0, worlds.vstar)
    head = np.minimum(apart, apart**2 / length) / (1 + length) ** 2
    cosine, k = cos_theta(worlds.B0, unseen(worlds.X)), v0.shape[1]
    return cosine / np.sqrt(k) * head - distance(worlds.B0, worlds.Bstar)
