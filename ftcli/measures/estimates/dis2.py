"""The Dis² lower bound of accuracy (Rosenfeld & Garg 2023, arXiv 2306.00312): how far a linear critic that agrees with
the model on V can disagree with it on U.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

RESTARTS, BATCH = 30, 256
RATE, WEIGHT_DECAY = 3e-3, 5e-4
PATIENCE, MOST_STEPS = 20, 1000  # steps without a lower loss after which a critic is done; steps in any case
DELTA = 0.05  # probability with which the bound may be wrong


class Halves(NamedTuple):
    """The logits [N, K] of a set, dealt out at random: the critics train on one half and are measured on the other."""

    training: Tensor
    measuring: Tensor
    correct: Tensor  # boolean, of the measuring half; all False in a set without labels


def dis2_bound(
    labelled: np.ndarray, correct: np.ndarray, unlabelled: np.ndarray, seed: int, delta: float = DELTA
) -> float:
    """A lower bound of the accuracy on U that holds with probability 1 - delta wherever some linear critic of the
    logits disagrees with the model at least as much more on U as the model errs more there; never below 0.

    labelled [n, K] and unlabelled [m, K]: logits; correct: boolean [n]; n and m at least 2, K at least 2.
    """
    generator = torch.Generator().manual_seed(seed)
    v = _halves(labelled, correct, generator)
    u = _halves(unlabelled, np.zeros(len(unlabelled), dtype=bool), generator)
    weight, bias = _train_critics(v.training, u.training, generator)
    best = int(_gaps(weight, bias, v.training, u.training).argmax())
    gap = float(_gaps(weight[best : best + 1], bias[best : best + 1], v.measuring, u.measuring)[0])
    return bound(float(v.correct.double().mean()), gap, len(v.measuring), len(u.measuring), delta)


def bound(accuracy: float, gap: float, n_v: int, n_u: int, delta: float) -> float:
    """accuracy - gap - ε, ε = √((4 n_U + n_V) log(1/δ) / (2 n_V n_U)), at least 0. gap: the critic's agreement with the
    model on V minus that on U.
    """
    epsilon = np.sqrt((4 * n_u + n_v) * np.log(1 / delta) / (2 * n_v * n_u))
    return float(max(accuracy - gap - epsilon, 0.0))


def _halves(logits: np.ndarray, correct: np.ndarray, generator: torch.Generator) -> Halves:
    order = torch.randperm(len(logits), generator=generator)
    of_training, of_measuring = order[: len(order) // 2], order[len(order) // 2 :]
    values = torch.from_numpy(np.asarray(logits, dtype=np.float32))
    return Halves(values[of_training], values[of_measuring], torch.from_numpy(np.asarray(correct))[of_measuring])


def _train_critics(v: Tensor, u: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """RESTARTS critics at once, each from a start of its own: weights [R, K, K] and biases [R, 1, K]."""
    k = v.shape[1]
    scale = k**-0.5  # of torch's linear layers
    weight = nn.Parameter((torch.rand(RESTARTS, k, k, generator=generator) * 2 - 1) * scale)
    bias = nn.Parameter((torch.rand(RESTARTS, 1, k, generator=generator) * 2 - 1) * scale)
    optimizer = torch.optim.AdamW([weight, bias], lr=RATE, weight_decay=WEIGHT_DECAY)
    lowest, since = torch.full((RESTARTS,), torch.inf), torch.zeros(RESTARTS, dtype=torch.int64)
    kept = weight.detach().clone(), bias.detach().clone()
    for _ in range(MOST_STEPS):
        of_v = v[torch.randint(len(v), (min(BATCH, len(v)),), generator=generator)]
        of_u = u[torch.randint(len(u), (min(BATCH, len(u)),), generator=generator)]
        losses = _losses(weight, bias, of_v, of_u)  # [R]
        lower = losses.detach() < lowest
        lowest, since = torch.where(lower, losses.detach(), lowest), torch.where(lower, 0, since + 1)
        going = since < PATIENCE
        for values, parameter in zip(kept, (weight, bias), strict=True):
            values[going] = parameter.detach()[going]
        if not going.any():
            break
        optimizer.zero_grad()
        losses.sum().backward()
        optimizer.step()
    return kept


def _losses(weight: Tensor, bias: Tensor, v: Tensor, u: Tensor) -> Tensor:
    """Of each critic: cross-entropy to the predictions on V, and the logistic loss of disagreement on U: [R]."""
    on_v, on_u = v @ weight.transpose(1, 2) + bias, u @ weight.transpose(1, 2) + bias  # [R, B, K]
    agree = nn.functional.cross_entropy(
        on_v.transpose(1, 2), v.argmax(1).expand(len(weight), -1), reduction="none"
    ).mean(1)
    predicted = on_u.gather(2, u.argmax(1).expand(len(weight), -1)[..., None]).squeeze(2)  # [R, B]
    others = (on_u.sum(2) - predicted) / (u.shape[1] - 1)
    return agree + nn.functional.softplus(predicted - others).mean(1)


def _gaps(weight: Tensor, bias: Tensor, v: Tensor, u: Tensor) -> Tensor:
    """Agreement with the model on V minus that on U, of each critic: [R]."""
    agreement = [((x @ weight.transpose(1, 2) + bias).argmax(2) == x.argmax(1)).double().mean(1) for x in (v, u)]
    return agreement[0] - agreement[1]
