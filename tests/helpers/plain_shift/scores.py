"""Scores of a checkpoint before it is tuned, as plain float64 formulas.

F [N, D]: its features of the training set; y [N]: labels; c: a class that occurs, with n_c examples.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.helpers.plain_shift.estimates import Array, plain


def logme_evidence(
    targets: Any, sigma: Any, dimensions: int, alpha: float, beta: float, m_square: float, e_square: float
) -> float:
    """(D/2) log α + (N/2) log β − ½[Σ_{i ≤ k} log(α + βσ_i) + (D − k) log α] − βe²/2 − αm²/2 − (N/2) log 2π.

    targets [N]; sigma [k]: squared singular values of F, k = min(N, D) (those of 0 give log α, as the others of D do).
    """
    n, k = len(targets), len(sigma)
    determinant = math.fsum(math.log(alpha + beta * one) for one in sigma) + (dimensions - k) * math.log(alpha)
    fit = beta * e_square / 2 + alpha * m_square / 2
    return (dimensions * math.log(alpha) + n * math.log(beta) - determinant - n * math.log(2 * math.pi)) / 2 - fit


def logme_of_targets(features: Any, targets: Any, rounds: int = 11) -> float:
    """The evidence / N of F [N, D] for targets t [N], the last of at most `rounds` rounds from α = β = 1:

    s = α/β, γ = Σσ/(σ + s), m² = Σσx²/(σ + s)², e² = Σx²/(1 + σ/s)² + r, α = γ/(m² + 1e-5), β = (N − γ)/(e² + 1e-5),
    with F = UΣVᵀ, σ = Σ², x = Uᵀt, r = ‖t‖² − ‖x‖² (at least 0). It ends when |α/β − s| / s ≤ 1e-3. m² and e² are
    those of the last round, found with the s before it.
    """
    F, t = plain(features), plain(targets)
    u, singular, _ = np.linalg.svd(F, full_matrices=False)
    sigma, x = singular**2, u.T @ t
    r = max(float(t @ t - x @ x), 0.0)
    alpha = beta = 1.0
    for _ in range(rounds):
        s = alpha / beta
        gamma = math.fsum(one / (one + s) for one in sigma)
        m_square = math.fsum(one * a**2 / (one + s) ** 2 for one, a in zip(sigma, x, strict=True))
        e_square = math.fsum(a**2 / (1 + one / s) ** 2 for one, a in zip(sigma, x, strict=True)) + r
        alpha, beta = gamma / (m_square + 1e-5), (len(t) - gamma) / (e_square + 1e-5)
        if abs(alpha / beta - s) / s <= 1e-3:
            break
    return logme_evidence(t, sigma, F.shape[1], alpha, beta, m_square, e_square) / len(t)


def logme(features: Any, labels: Sequence[int], rounds: int = 11) -> float:
    """The mean over the classes of `logme_of_targets` of t_i = 1 where y_i = c, else 0."""
    each = [logme_of_targets(features, [float(y == c) for y in labels], rounds) for c in sorted(set(labels))]
    return math.fsum(each) / len(each)


def leep(p: Any, labels: Sequence[int]) -> float:
    """mean_i log Σ_z P(y_i|z) · p(z|x_i), P(y, z) = Σ_{y_i = y} p(z|x_i) / N, P(y|z) = P(y, z) / Σ_y P(y, z).

    p [N, Z]: probabilities of the checkpoint's own classes (LEEP) or a mixture's posteriors (NLEEP). A z whose p is 0
    for every example counts nothing.
    """
    p, n = plain(p), len(labels)
    joint = {y: [math.fsum(p[i, z] for i in range(n) if labels[i] == y) / n for z in range(p.shape[1])] for y in labels}
    whole = [math.fsum(row[z] for row in joint.values()) for z in range(p.shape[1])]
    logs = []
    for i, y in enumerate(labels):
        logs.append(math.log(math.fsum(joint[y][z] / whole[z] * p[i, z] for z in range(p.shape[1]) if whole[z] > 0)))
    return math.fsum(logs) / n


def nce(source: Sequence[int], labels: Sequence[int]) -> float:
    """−H(Y|Z) = mean_i log(#{y_i, z_i} / #{z_i}); source [N]: the class z that the checkpoint's own head predicts."""
    pairs, source = list(zip(source, labels, strict=True)), list(source)
    return math.fsum(math.log(pairs.count(pair) / source.count(pair[0])) for pair in pairs) / len(pairs)


def ledoit_wolf(features: Any) -> float:
    """α = min(b², d²) / d², 0 where d² = 0, of F [N, D] centred here: S = FᵀF/N, μ = tr(S)/D,

    d² = ‖S − μI‖² / D and b² = Σ_i ‖f_i f_iᵀ − S‖² / (N² · D), in Frobenius norms. Source: Ledoit and Wolf 2004.
    """
    F = plain(features) - plain(features).mean(axis=0)
    n, d = F.shape
    S = F.T @ F / n
    distance = float(((S - np.trace(S) / d * np.eye(d)) ** 2).sum()) / d
    spread = math.fsum(float(((np.outer(f, f) - S) ** 2).sum()) for f in F) / (n**2 * d)
    return min(spread, distance) / distance if distance > 0 else 0.0


def class_means(features: Any, labels: Sequence[int]) -> Array:
    """G [N, D]: every row of F [N, D] replaced by the mean of its class."""
    F = plain(features)
    return plain([F[[i for i in range(len(F)) if labels[i] == y]].mean(axis=0) for y in labels])


def h_score(features: Any, labels: Sequence[int], shrinkage: float | None = None, ddof: int = 0) -> float:
    """tr(pinv(Σ_α) · (1 − α) · cov(G)), Σ_α = (1 − α)S + αμI, S = FᵀF/N of centred F, μ = tr(S)/D.

    shrinkage: α, by default `ledoit_wolf`. cov(G) is divided by N − ddof, S always by N.
    """
    F = plain(features) - plain(features).mean(axis=0)
    n, d = F.shape
    alpha = ledoit_wolf(F) if shrinkage is None else shrinkage
    S, G = F.T @ F / n, class_means(F, labels)
    shrunk = (1 - alpha) * S + alpha * np.trace(S) / d * np.eye(d)
    return float(np.trace(np.linalg.pinv(shrunk) @ ((1 - alpha) * (G.T @ G / (n - ddof)))))


def gbc(features: Any, labels: Sequence[int]) -> float:
    """−Σ_{c ≠ c'} exp(−B(c, c')) over ordered pairs (every two classes count twice), with v̄ = (v_c + v_c')/2 and

    B = ‖μ_c − μ_c'‖² / (8v̄) + (D/2) log v̄ − (D/4)(log v_c + log v_c'), v_c = mean_d max(var_d, 1e-4), var_d divided by
    n_c. One class: 0.
    """
    F, total = plain(features), 0.0
    d, means, variances = F.shape[1], {}, {}
    for c in set(labels):
        rows = F[[i for i in range(len(F)) if labels[i] == c]]
        means[c] = rows.mean(axis=0)
        variances[c] = math.fsum(max(float(one), 1e-4) for one in ((rows - means[c]) ** 2).mean(axis=0)) / d
    for c in means:
        for other in means:
            if c != other:
                v, w = variances[c], variances[other]
                mean = (v + w) / 2
                distance = float(((means[c] - means[other]) ** 2).sum()) / (8 * mean)
                total += math.exp(-distance - d / 2 * math.log(mean) + d / 4 * (math.log(v) + math.log(w)))
    return -total


def coding_rate(rows: Any, epsilon_square: float) -> float:
    """½ log det(I + ZᵀZ / (N · ε²)) of Z [N, D]."""
    Z = plain(rows)
    eigenvalues = np.linalg.eigvalsh(np.eye(Z.shape[1]) + Z.T @ Z / (len(Z) * epsilon_square))
    return math.fsum(math.log(one) for one in eigenvalues) / 2


def transrate(features: Any, labels: Sequence[int], epsilon_square: float = 1e-4) -> float:
    """R(Z) − Σ_c (n_c/N) · R(Z_c), R: `coding_rate`; Z: F less its mean (classes are not centred by themselves).

    F must have been standardised by one scalar before.
    """
    Z = plain(features) - plain(features).mean(axis=0)
    rate = coding_rate(Z, epsilon_square)
    for c in set(labels):
        rows = Z[[i for i in range(len(Z)) if labels[i] == c]]
        rate -= len(rows) / len(Z) * coding_rate(rows, epsilon_square)
    return rate


def nearest_neighbour_accuracy(
    features: Any, labels: Sequence[int], k: int = 20, folds: Sequence[int] | None = None
) -> float:
    """The share of N examples whose class is the commonest among their k most similar others, by the cosine.

    Others: all but the example itself (leave-one-out), or those of other folds where folds [N] are given; all of them
    if they are fewer than k. Of equal cosines the earlier example is the nearer; of equally common classes the smallest
    is taken. The cosine with a zero vector is 0.
    """
    F, right = plain(features), 0
    norms = [math.sqrt(float(f @ f)) for f in F]
    units = [f / norm if norm > 0 else f for f, norm in zip(F, norms, strict=True)]
    own = list(range(len(F))) if folds is None else list(folds)
    for i in range(len(F)):
        others = [j for j in range(len(F)) if own[j] != own[i]]
        nearest = sorted(others, key=lambda j: (-float(units[j] @ units[i]), j))[:k]
        votes = [labels[j] for j in nearest]
        right += min(set(votes), key=lambda c: (-votes.count(c), c)) == labels[i]
    return right / len(F)


def weighted_tau(x: Sequence[float], y: Sequence[float]) -> float:
    """The mean of two weighted Kendall τ [−1, 1] of x, y [N], of which one ranks by (x, y), the other by (y, x).

    τ = ⟨x, y⟩ / √(⟨x, x⟩ · ⟨y, y⟩), ⟨a, b⟩ = Σ_{i < j} sgn(a_i − a_j) · sgn(b_i − b_j) · (1/(ρ_i + 1) + 1/(ρ_j + 1)),
    ρ: the rank from 0, largest first. NaN where all x or all y are equal. Source: Vigna 2015.
    """
    x, y = plain(x).tolist(), plain(y).tolist()
    pairs = [(i, j) for i in range(len(x)) for j in range(i)]

    def inner(a: Sequence[float], b: Sequence[float], rank: dict[int, int]) -> float:
        total = 0.0
        for i, j in pairs:
            signs = ((a[i] > a[j]) - (a[i] < a[j])) * ((b[i] > b[j]) - (b[i] < b[j]))
            total += signs * (1 / (rank[i] + 1) + 1 / (rank[j] + 1))
        return total

    values = []
    for first, second in ((x, y), (y, x)):
        order = sorted(range(len(x)), key=lambda i: (first[i], second[i]), reverse=True)
        rank = {i: place for place, i in enumerate(order)}
        norms = inner(x, x, rank) * inner(y, y, rank)
        values.append(inner(x, y, rank) / math.sqrt(norms) if norms > 0 else math.nan)
    return (values[0] + values[1]) / 2


def of_the_pick(scores: Sequence[float], accuracies: Sequence[float]) -> tuple[float, float]:
    """rel@1 = accuracy of the (first) highest score / the best, and the regret in points: 100 · (best − it)."""
    pick = accuracies[max(range(len(scores)), key=lambda i: scores[i])]
    return pick / max(accuracies), 100 * (max(accuracies) - pick)
