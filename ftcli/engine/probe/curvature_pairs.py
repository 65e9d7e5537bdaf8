"""The L-BFGS matrix of a batch of problems: their inverse Hessians as far as their last steps show them."""

import torch
from torch import Tensor

from ftcli.engine.probe.logistic_loss import BATCHED, products

MEMORY = 8  # curvature pairs kept


class CurvaturePairs:
    """The last steps s and gradient changes y of G problems with n unknowns.

    It is the compact form of the L-BFGS matrix (Byrd, Nocedal and Schnabel 1994, theorem 2.2). A slot without a pair is
    zero, with 1 on the diagonal of R, and changes nothing. Long vectors are multiplied member by member: a batched
    product of matrices and vectors is several times slower on a CPU.
    """

    def __init__(self, like: Tensor) -> None:
        G, n = like.shape
        self.S, self.Y = like.new_empty(2, G, MEMORY, n)
        self.SY = torch.zeros(G, MEMORY, MEMORY, dtype=torch.float64, device=like.device)  # sᵢ · yⱼ
        self.added = 0

    def add(self, s: Tensor, y: Tensor, valid: Tensor) -> None:
        """Take in s and y [G, n] of the members for which `valid` [G] is true."""
        slot = self.added % MEMORY
        self.added += 1
        used = min(self.added, MEMORY)
        self.S[:, slot], self.Y[:, slot] = s, y
        if not bool(valid.all()):
            self.S[~valid, slot], self.Y[~valid, slot] = 0.0, 0.0
        self.SY[:, :used, slot] = _rows(self.S[:, :used], self.Y[:, slot])
        self.SY[:, slot, slot] += (~valid).double()

    def direction(self, gradient: Tensor, inverse: Tensor) -> Tensor:
        """Minus the inverse Hessian times the gradient, [G, n].

        inverse [G, n]: the diagonal of a first guess, which is scaled to the last pair.
        """
        used = min(self.added, MEMORY)
        if not used:
            return (inverse * gradient).neg_()
        S, Y, SY = self.S[:, :used], self.Y[:, :used], self.SY[:, :used, :used]
        oldest_first = torch.arange(self.added - used, self.added, device=S.device) % MEMORY
        slots = oldest_first.argsort()  # from that order to the slots'
        R = SY[:, oldest_first][:, :, oldest_first].triu()
        a = torch.linalg.solve_triangular(R, _rows(S, gradient)[:, oldest_first, None], upper=True)
        last = (self.added - 1) % MEMORY
        y = Y[:, last]
        length = products(y[:, None], (inverse * y)[:, None])
        scale = torch.where(length > 0, SY[:, last, last] / length, 1.0).to(y.dtype)[:, None]
        r = _add_rows(gradient, Y, -a[:, slots, 0]).mul_(inverse).mul_(scale)
        b = R.diagonal(dim1=1, dim2=2)[..., None] * a - _rows(Y, r)[:, oldest_first, None]
        b = torch.linalg.solve_triangular(R.mT, b, upper=False)[:, slots, 0]
        return _add_rows(r, S, b).neg_()

    def __getitem__(self, members: Tensor) -> "CurvaturePairs":
        used = min(self.added, MEMORY)
        subset = CurvaturePairs(self.S[members, 0])
        subset.S[:, :used], subset.Y[:, :used] = self.S[members, :used], self.Y[members, :used]
        subset.SY, subset.added = self.SY[members], self.added
        return subset


def _rows(A: Tensor, v: Tensor) -> Tensor:
    """Products of the rows of A [G, m, n] with v [G, n]: [G, m] float64."""
    if v.shape[1] < BATCHED:
        return (A @ v[..., None])[..., 0].double()
    return torch.stack([torch.mv(rows, vector) for rows, vector in zip(A, v, strict=True)]).double()


def _add_rows(v: Tensor, A: Tensor, factors: Tensor) -> Tensor:
    """v [G, n] plus the rows of A [G, m, n] times the factors [G, m]."""
    factors = factors.to(v.dtype)
    if v.shape[1] < BATCHED:
        return v + (factors[:, None] @ A)[:, 0]
    total = torch.empty_like(v)
    for i, factor in enumerate(factors):
        torch.addmv(v[i], A[i].T, factor, out=total[i])
    return total
