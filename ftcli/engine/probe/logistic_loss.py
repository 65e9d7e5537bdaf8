"""The objective of a linear probe at many points at once: value, gradient, curvature and duality gap in one pass."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ftcli.engine.features.feature_matrix import FeatureMatrix

ROTATED_BYTES = 1 << 30  # largest rotated copy of the features
LONGEST_STEP = 0.1  # change of a bias
BATCHED = 1 << 15  # numbers of a member below which one call for all members is faster than one for each


@dataclass(frozen=True)
class Points:
    """G points x [G, K, R + 1] of as many problems, and what is known there.

    objective [G] float64: Σ_i CE + λ/2 ‖W‖². gradient [G, K, R + 1]: of the objective by x.
    variance [G, K] float64: Σ_i p_i (1 - p_i). norm [G] float64: ‖W‖².
    """

    x: Tensor
    objective: Tensor
    gradient: Tensor
    variance: Tensor
    norm: Tensor

    def __getitem__(self, members: Tensor) -> "Points":
        return Points(*(getattr(self, field.name)[members] for field in fields(self)))

    def where(self, members: Tensor, other: "Points") -> "Points":
        """These points for which `members` [G] is true, the `other` ones elsewhere."""
        if bool(members.all()):
            return self
        cube = members[:, None, None]
        return Points(
            torch.where(cube, self.x, other.x),
            torch.where(members, self.objective, other.objective),
            torch.where(cube, self.gradient, other.gradient),
            torch.where(members[:, None], self.variance, other.variance),
            torch.where(members, self.norm, other.norm),
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
        centred_sums = sums - self.counts[:, None] * self.mean  # [K, D]
        # [K, R + 1]: Σ over the examples of a class of (x_i - mean) V; 0 in the column of the bias
        self.class_sums = torch.zeros(K, len(self.w) + 1, dtype=dtype, device=labels.device)
        self.class_sums[:, :-1] = centred_sums.to(dtype) @ self.V
        self.prior = torch.zeros_like(self.class_sums)  # [K, R + 1]: the best point without weights
        self.prior[:, -1] = (self.counts / self.N).log()
        self.prior[:, -1] -= self.prior[:, -1].mean()
        self.prior_objective = -float((self.counts * (self.counts / self.N).log()).sum())
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
            w, V = eigenvectors(centred.T @ centred, self.dtype)
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

    def at_or_prior(self, x: Tensor, penalties: Tensor) -> Points:
        """Evaluate points that were extrapolated; those that are worse than no weights at all are replaced by that."""
        points = self.at(x, penalties)
        worse = ~(points.objective <= self.prior_objective * (1 + 1e-6))
        return self.at(torch.where(worse[:, None, None], self.prior, x), penalties) if bool(worse.any()) else points

    def at(self, x: Tensor, penalties: Tensor) -> Points:
        """Evaluate x [G, K, R + 1] with the penalties λ [G] float64, in one pass over the features."""
        G, K = x.shape[:2]
        W, c = x[:, :, :-1], x[:, :, -1].double()
        rows = x.flatten(0, 1)[:, :-1]  # [G K, R], not copied
        if not self.rotated:
            rows = rows @ self.V.T  # [G K, D]
            c = c - (rows.double() @ self.mean).view(G, K)
        loss, by_c, variance, by_rows = self._sums(rows, c)
        if not self.rotated:
            by_rows = (by_rows - by_c.view(-1, 1) * self.mean).to(x.dtype) @ self.V
        gradient = torch.empty_like(x)
        torch.addcmul(by_rows.view(G, K, -1), penalties.to(by_rows.dtype)[:, None, None], W, out=gradient[:, :, :-1])
        gradient[:, :, -1] = by_c
        norm = squares(W)
        return Points(x, loss + penalties / 2 * norm, gradient, variance, norm)

    def _sums(self, rows: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of rows [G K, …] and biases c [G, K]: Σ CE [G], Σ (P - Y) [G, K], Σ p (1 - p) [G, K], Σ (P - Y) x [G K, …].

        Sums are in float64, but for the last one where a single block holds all examples.
        """
        G, K = c.shape
        bias = c.to(rows.dtype).view(-1, 1)
        loss, by_c, variance = c.new_zeros(G), torch.zeros_like(c), torch.zeros_like(c)
        by_rows: Tensor | None = None
        for span, X in self.features.blocks():
            X = X.to(rows.dtype)
            scores = torch.addmm(bias, rows, X.T).view(G, K, -1)  # [G, K, n]
            losses, residuals, variances = softmax_loss(scores, self.labels[span].expand(G, 1, -1))
            loss += losses
            by_c += residuals.sum(dim=2, dtype=torch.float64)
            variance += variances
            part = residuals.flatten(0, 1) @ X
            by_rows = part if by_rows is None else by_rows.double().add_(part)
        assert by_rows is not None
        return loss, by_c, variance, by_rows

    def inverse_curvature(self, points: Points, penalties: Tensor) -> Tensor:
        """The inverse diagonals of the Hessians at G points, without the correlation of p and z: [G, K, R + 1].

        The Hessian by the weights of a class is Σ p (1 - p) z zᵀ + λ, with the centred features z in their eigenbasis.
        """
        v = points.variance.clamp_min(1e-12 * self.N).to(points.x.dtype)[:, :, None]  # [G, K, 1]
        inverse = torch.empty_like(points.x)
        torch.add(v / self.N * self.w, penalties.to(v.dtype)[:, None, None], out=inverse[:, :, :-1])
        inverse[:, :, -1:] = v
        return inverse.reciprocal_()

    def best_bias(self, x: Tensor) -> Tensor:
        """The bias [K] of a point x [K, R + 1] after a step of Newton's, with probabilities in float64.

        Under the strongest penalties the logits are so short that float32 cannot tell probabilities apart. A step of
        more than `LONGEST_STEP` is no correction but would leave the range in which Newton's method can be trusted.
        """
        K = len(x)
        c, rows = x[:, -1].double(), x[:, :-1]
        offset = torch.zeros_like(c)
        if not self.rotated:
            rows = rows @ self.V.T
            offset = rows.double() @ self.mean
        expected, overlaps = torch.zeros_like(c), c.new_zeros(K, K)
        for _, X in self.features.blocks():
            P = ((rows @ X.to(rows.dtype).T).double() + (c - offset)[:, None]).softmax(dim=0)  # [K, n]
            expected += P.sum(dim=1)
            narrow = P.to(rows.dtype)
            overlaps += narrow @ narrow.T
        overlaps.diagonal().zero_()
        hessian = torch.diag(overlaps.sum(dim=1)) - overlaps
        along_ones = hessian.diagonal().mean() / K  # singular there, and the gradient is zero
        factor, failed = torch.linalg.cholesky_ex(hessian + along_ones)
        if bool(failed):  # every example is certain of its class: nothing is left to improve
            return c
        step = torch.cholesky_solve((self.counts - expected)[:, None], factor)[:, 0]
        return c + step if bool(step.abs().max() <= LONGEST_STEP) else c

    def gaps(self, points: Points, penalties: Tensor) -> tuple[Tensor, Tensor]:
        """The duality gap [G] of each point, and what would be left of it at the best bias [G]; both float64.

        The dual of F maximises Σ_i H(p_i) - ‖(P - Y)ᵀ Z‖² / 2λ over distributions p_i with Σ_i p_i = Σ_i y_i, where Z
        are the centred features and H is the entropy. The softmax P of a point misses the sums by e = Σ_i (p_i - y_i),
        so the dual point is (1 - t) P + t 1 qᵀ, with the least t that has a distribution q to make up for e. H is
        concave and Z has the mean zero, hence, with G = (P - Y)ᵀ Z and A = (1 - t) G - t Yᵀ Z, the gap is at most
        `‖A + λ W‖² / 2λ + t (Σ CE + ⟨Yᵀ Z, W⟩) + (1 - t) ⟨c, e⟩`; at the best bias, ‖∂F/∂W‖² / 2λ.
        """
        x, gradient, class_sums = points.x, points.gradient, self.class_sums.expand_as(points.x)
        c, e = x[:, :, -1].double(), gradient[:, :, -1].double()
        t = (e / (e + self.counts)).amax(dim=1).clamp_min(0)  # [G]
        by_W = squares(gradient[:, :, :-1])
        ce, x_sums = (c * e).sum(dim=1), products(x, class_sums)
        # ‖(1 - t) ∂F/∂W + t (λ W - Yᵀ Z)‖², multiplied out
        squared_sums = self.class_sums.square().sum(dtype=torch.float64)
        other = penalties.square() * points.norm - 2 * penalties * x_sums + squared_sums
        mixed = penalties * (products(gradient, x) - ce) - products(gradient, class_sums)
        square = ((1 - t).square() * by_W + 2 * t * (1 - t) * mixed + t.square() * other).clamp_min(0)
        loss = points.objective - penalties / 2 * points.norm
        return square / (2 * penalties) + t * (loss + x_sums) + (1 - t) * ce, by_W / (2 * penalties)


def squares(a: Tensor) -> Tensor:
    """Squared Frobenius norms [G] of matrices a [G, K, n], summed in float64."""
    return a.square().sum(dim=(1, 2), dtype=torch.float64)


def products(a: Tensor, b: Tensor) -> Tensor:
    """Inner products [G] of matrices a and b [G, K, n], converted to float64."""
    if a[0].numel() < BATCHED:
        return (a * b).sum(dim=(1, 2), dtype=torch.float64)
    return torch.stack([torch.dot(x.flatten(), y.flatten()) for x, y in zip(a, b, strict=True)]).double()


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
    """From scores [G, K, n] and labels [G, 1, n]: Σ CE [G] float64, P - Y [G, K, n] and Σ p (1 - p) [G, K] float64.

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
    variance = P.sum(dim=2).double() - torch.linalg.vector_norm(P, dim=2).double().square()
    return loss, P.scatter_(1, labels, -rest / total), variance
