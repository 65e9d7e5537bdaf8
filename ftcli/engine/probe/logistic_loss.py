"""Multinomial logistic regression for many weights and penalties at once: one pass over the features for all."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ftcli.engine.features.feature_matrix import FeatureMatrix

ROTATED_BYTES = 1 << 30  # largest rotated copy of the features


@dataclass(frozen=True)
class Points:
    """G points x [G, K, R + 1] of as many problems, and what is known there.

    objective [G] float64: Σ_i CE + λ/2 ‖W‖². gradient [G, K, R + 1]: of the objective by x.
    spread [G, K, K] float64: Σ_i (diag p_i - p_i p_iᵀ).
    """

    x: Tensor
    objective: Tensor
    gradient: Tensor
    spread: Tensor

    def __getitem__(self, members: Tensor) -> "Points":
        return Points(self.x[members], self.objective[members], self.gradient[members], self.spread[members])

    def where(self, members: Tensor, other: "Points") -> "Points":
        """These points for which `members` [G] is true, the `other` ones elsewhere."""
        cube = members[:, None, None]
        return Points(
            torch.where(cube, self.x, other.x),
            torch.where(members, self.objective, other.objective),
            torch.where(cube, self.gradient, other.gradient),
            torch.where(cube, self.spread, other.spread),
        )


class Problem:
    """The objective, in the eigenbasis V [D, R] of the centred features' scatter matrix; R ≤ min(N, D).

    There the Hessian is nearly diagonal. Small features are rotated into it once; others stay as they are, and the
    weights are rotated at each evaluation instead, so that features in a file take no memory at all.

    A point x [K, R + 1] stands for the weights W = x[:, :R] Vᵀ and, in its last column, the bias c of the centred
    features: logits = W (x_i - mean) + c. Labels are 0 … K - 1, and every one of them has an example.
    """

    def __init__(self, features: FeatureMatrix, labels: Tensor, K: int, dtype: torch.dtype = torch.float32) -> None:
        self.labels, self.K, self.N, self.dtype = labels, K, len(labels), dtype
        self.counts = torch.bincount(labels, minlength=K).double()  # [K]
        sums = torch.zeros(K, features.shape[1], dtype=torch.float64, device=labels.device)
        for span, X in features.blocks():
            sums.index_add_(0, labels[span], X.double())
        self.mean = sums.sum(dim=0) / self.N  # [D]
        self.w, self.V = self._basis(features)
        own = sums - self.counts[:, None] * self.mean
        self.own = own.to(dtype) @ self.V  # [K, R]: Σ over the examples of a class of (x_i - mean) V
        self.features, self.rotated = features, False
        if dtype == torch.float32 and 4 * self.N * len(self.w) <= ROTATED_BYTES:
            mean = self.mean.float()
            self.features = FeatureMatrix.of(torch.cat([(X - mean) @ self.V for _, X in features.blocks()]))
            self.rotated = True

    def _basis(self, features: FeatureMatrix) -> tuple[Tensor, Tensor]:
        """Squared singular values w [R] of the centred features and their right singular vectors V [D, R]."""
        D = features.shape[1]
        mean = self.mean.to(self.dtype)
        if self.N < D:  # through the products of the examples: other directions have no part in the solution
            X = torch.cat([block.to(self.dtype) - mean for _, block in features.blocks()])
            span = torch.linalg.qr(X.T).Q  # [D, N]
            centred = X @ span
            w, V = torch.linalg.eigh(centred.T @ centred)
            return w.clamp_min(0), span @ V
        scatter = self.mean.new_zeros(D, D)
        for _, X in features.blocks():
            centred = X.to(self.dtype) - mean
            scatter += centred.T @ centred
        varying = scatter.diagonal() > 0  # a constant column is the bias's
        w, V = eigenvectors(scatter[varying][:, varying], self.dtype)
        padded = V.new_zeros(D, len(w))
        padded[varying] = V
        return w.clamp_min(0), padded

    def weights(self, x: Tensor) -> Tensor:
        """W [G, K, D] of x [G, K, R + 1], in float64 with the accuracy of float32.

        The mean over the classes is taken out: it changes no probability, and rounding has left some there.
        """
        W = x[:, :, :-1].double()
        W = (W - W.mean(dim=1, keepdim=True)).flatten(0, 1) @ self.V.double().T
        return W.float().double().unflatten(0, x.shape[:2])

    def at(self, x: Tensor, penalties: Tensor) -> Points:
        """Evaluate x [G, K, R + 1] with the penalties λ [G] float64, in one pass over the features."""
        G, K = x.shape[:2]
        W, c = x[:, :, :-1], x[:, :, -1].double()
        rows = W.flatten(0, 1)  # [G K, R]
        if not self.rotated:
            rows = rows @ self.V.T  # [G K, D]
            c = c - (rows.double() @ self.mean).view(G, K)
        loss, by_c, overlaps, by_rows = self._sums(rows, c)
        if not self.rotated:
            by_rows = (by_rows - by_c.view(-1, 1) * self.mean).to(x.dtype) @ self.V
        by_W = by_rows.view(G, K, -1) + penalties[:, None, None] * W
        overlaps.diagonal(dim1=1, dim2=2).zero_()
        spread = torch.diag_embed(overlaps.sum(dim=2)) - overlaps  # its rows have the sum zero
        objective = loss + penalties / 2 * W.square().sum(dim=(1, 2), dtype=torch.float64)
        return Points(x, objective, torch.cat([by_W, by_c[:, :, None]], dim=2).to(x.dtype), spread)

    def best_bias(self, x: Tensor) -> Tensor:
        """The biases [G, K] of points x [G, K, R + 1] after a step of Newton's, with probabilities in float64.

        Under the strongest penalties the logits are so short that float32 cannot tell probabilities apart.
        """
        G, K = x.shape[:2]
        c = x[:, :, -1].double()
        rows = x[:, :, :-1].flatten(0, 1)
        offset = torch.zeros_like(c)
        if not self.rotated:
            rows = rows @ self.V.T
            offset = (rows.double() @ self.mean).view(G, K)
        expected, overlaps = torch.zeros_like(c), c.new_zeros(G, K, K)
        for _, X in self.features.blocks():
            scores = (rows @ X.to(rows.dtype).T).view(G, K, -1).double() + (c - offset)[:, :, None]
            P = scores.softmax(dim=1)  # [G, K, n]
            expected += P.sum(dim=2)
            overlaps += P @ P.mT
        hessian = torch.diag_embed(expected) - overlaps
        along_ones = hessian.diagonal(dim1=1, dim2=2).mean(dim=1) / K  # singular there, and the gradient is zero
        return c + torch.linalg.solve_ex(hessian + along_ones[:, None, None], self.counts - expected).result

    def _sums(self, rows: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of rows [G K, …] and biases c [G, K]: Σ CE [G], Σ (P - Y) [G, K], Σ p pᵀ [G, K, K], Σ (P - Y) x [G K, …]."""
        G, K = c.shape
        bias = c.to(rows.dtype).view(-1, 1)
        loss, by_c, overlaps = c.new_zeros(G), torch.zeros_like(c), c.new_zeros(G, K, K)
        by_rows = torch.zeros_like(rows, dtype=torch.float64)
        for span, X in self.features.blocks():
            X = X.to(rows.dtype)
            scores = torch.addmm(bias, rows, X.T).view(G, K, -1)  # [G, K, n]
            losses, residuals, products = softmax_loss(scores, self.labels[span].expand(G, 1, -1))
            loss += losses
            by_c += residuals.sum(dim=2, dtype=torch.float64)
            overlaps += products
            by_rows += residuals.flatten(0, 1) @ X
        return loss, by_c, overlaps, by_rows

    def gaps(self, points: Points, penalties: Tensor) -> tuple[Tensor, Tensor]:
        """The duality gap [G] of each point, and what would be left of it at the best bias [G]; both float64.

        The dual of F maximises Σ_i H(p_i) - ‖(P - Y)ᵀ Z‖² / 2λ over distributions p_i with Σ_i p_i = Σ_i y_i, where Z
        are the centred features and H is the entropy. The softmax P of a point misses the sums by e = Σ_i (p_i - y_i),
        so the dual point is (1 - t) P + t 1 qᵀ, with the least t that has a distribution q to make up for e. H is
        concave and Z has the mean zero, hence, with G = (P - Y)ᵀ Z and A = (1 - t) G - t Yᵀ Z, the gap is at most
        `‖A + λ W‖² / 2λ + t (Σ CE + ⟨Yᵀ Z, W⟩) + (1 - t) ⟨c, e⟩`; at the best bias, ‖∂F/∂W‖² / 2λ.
        """
        W, c = points.x[:, :, :-1], points.x[:, :, -1].double()
        by_W, e = points.gradient[:, :, :-1], points.gradient[:, :, -1].double()
        t = (e / (e + self.counts)).amax(dim=1).clamp_min(0)  # [G]
        loss = points.objective - penalties / 2 * W.square().sum(dim=(1, 2), dtype=torch.float64)
        narrow_t, narrow = t[:, None, None].to(W.dtype), penalties[:, None, None].to(W.dtype)
        moved = by_W - narrow_t * (by_W - narrow * W + self.own)  # A + λ W, [G, K, R]
        linear = t * (loss + (self.own * W).sum(dim=(1, 2), dtype=torch.float64)) + (1 - t) * (c * e).sum(dim=1)
        gap = moved.square().sum(dim=(1, 2), dtype=torch.float64) / (2 * penalties) + linear
        return gap, by_W.square().sum(dim=(1, 2), dtype=torch.float64) / (2 * penalties)


def eigenvectors(matrix: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Eigenvalues, ascending, and eigenvectors of a symmetric matrix, in `dtype` or, where that fails, in float64."""
    try:
        w, V = torch.linalg.eigh(matrix.to(dtype))
    except torch.linalg.LinAlgError:
        return eigenvectors(matrix, torch.float64)
    if dtype != torch.float64 and not bool(V.isfinite().all()):
        w, V = torch.linalg.eigh(matrix.double())
    return w.to(dtype), V.to(dtype)


def softmax_loss(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """From scores [G, K, n] and labels [G, 1, n]: Σ CE [G] float64, P - Y [G, K, n] and P Pᵀ [G, K, K].

    Writes over the scores. What is near 1 is never subtracted from 1, so that losses and residuals near 0 keep their
    relative accuracy.
    """
    highest = scores.amax(dim=1, keepdim=True)
    behind = highest - scores.gather(1, labels)  # [G, 1, n]: 0 where the label has the highest score
    E = scores.sub_(highest).exp_()
    own = E.gather(1, labels)
    rest = E.scatter_(1, labels, 0.0).sum(dim=1, keepdim=True)
    loss = (behind + (rest + torch.expm1(-behind)).log1p()).sum(dim=(1, 2), dtype=torch.float64)
    total = rest + own
    P = E.scatter_(1, labels, own).div_(total)
    overlaps = P @ P.mT
    return loss, P.scatter_(1, labels, -rest / total), overlaps
