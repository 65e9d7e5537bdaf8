"""How alike two sets of features are: linear CKA (Kornblith et al. 2019, arXiv 1905.00414), whole or by batches."""

import torch
from torch import Tensor

from ftcli.explain.distortion.moments import centred

HSIC_BATCH = 256  # examples of one batch of the unbiased estimator
HSIC_LEAST = 4  # fewer have no unbiased estimate


def linear_cka(cross: Tensor, own_x: Tensor, own_y: Tensor) -> float | None:
    """‖YcᵀXc‖²_F / (‖XcᵀXc‖_F · ‖YcᵀYc‖_F), in [0, 1] (eq. 5 there), from the products of centred columns.

    cross [C, C'] = XcᵀYc, own_x [C, C], own_y [C', C'], float64. None where one of the two does not vary: 0/0.
    """
    scale = own_x.norm() * own_y.norm()
    if not scale > 0:
        return None
    return min(1.0, (cross.square().sum() / scale).item())


def unbiased_hsic(K: Tensor, L: Tensor) -> Tensor:
    """HSIC₁ (Song et al. 2012, eq. 5; Nguyen et al. 2021, arXiv 2010.15327, eq. 3) of two Gram matrices [n, n], n >= 4.

    [tr K̃L̃ + ΣK̃ · ΣL̃ / ((n-1)(n-2)) - 2/(n-2) · 1ᵀK̃L̃1] / (n(n-3)), the diagonals of K̃ and L̃ being zero.
    """
    n = len(K)
    K, L = K.clone().fill_diagonal_(0), L.clone().fill_diagonal_(0)
    trace = (K * L).sum()  # both are symmetric
    return (trace + K.sum() * L.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (K.sum(0) @ L.sum(0))) / (n * (n - 3))


class UnbiasedCKA:
    """CKA as the ratio of batch means of HSIC₁: it does not depend on how large the batches are, where CKA does."""

    def __init__(self) -> None:
        self.sums = torch.zeros(3, dtype=torch.float64)  # of xy, xx and yy, over the batches

    def add(self, x: Tensor, y: Tensor) -> None:
        """One batch of both, float64 [n, C] and [n, C']; one of fewer than four examples is left out.

        A shift changes no HSIC, and centred features keep their digits.
        """
        if len(x) < HSIC_LEAST:
            return
        x, y = centred(x), centred(y)
        K, L = x @ x.T, y @ y.T  # [n, n]
        self.sums += torch.stack([unbiased_hsic(K, L), unbiased_hsic(K, K), unbiased_hsic(L, L)]).cpu()

    @property
    def value(self) -> float | None:
        """None where the estimate under the root is not positive, as of features that do not vary."""
        xy, xx, yy = self.sums.tolist()
        return xy / (xx * yy) ** 0.5 if xx > 0 and yy > 0 else None
