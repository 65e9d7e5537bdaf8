"""Averages and mixtures of weights as plain float64 formulas: what the package's are held against."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

from tests.helpers.plain_rules.weights import Array, Given, Weights, plain_weights


def running_mean(weights: Sequence[Given], first: int) -> list[Weights]:
    """The average after every step: mean ← (mean · c + w) / (1 + c), where c steps counted before this one.

    `first`: index in `weights`, from 0, of the first step that counts. Before it the average is the weights themselves,
    and they do not enter the mean later. Source: simple moving average, Arpit et al. 2022, used by Ramé et al. 2022.
    """
    means: list[Weights] = []
    for step, given in enumerate(weights):
        now, counted = plain_weights(given), max(step - first, 0)
        means.append({n: (means[-1][n] * counted + w) / (1 + counted) if counted else w for n, w in now.items()})
    return means


def wise(start: Given, end: Given, weight: float) -> Weights:
    """(1 − λ) · start + λ · end, for every tensor; λ is `weight`. Source: WiSE-FT, Wortsman et al. 2022."""
    first, last = plain_weights(start), plain_weights(end)
    return {name: (1 - weight) * first[name] + weight * last[name] for name in first}


def uniform(members: Sequence[Given]) -> Weights:
    """Mean of N members, each with the same weight. Source: model soups, Wortsman et al. 2022."""
    every = [plain_weights(member) for member in members]
    return {name: sum(one[name] for one in every) / len(every) for name in every[0]}


def greedy(members: Sequence[tuple[float, Given]], evaluate: Callable[[Weights], float]) -> tuple[Weights, list[int]]:
    """The greedy soup, and the indices of its members in the order in which they entered.

    `members`: (ID validation accuracy, weights). They are tried from the best to the worst, the earlier of equals
    first. The first always enters, at its own accuracy. Another enters if `evaluate` of the mean with it is at least
    the accuracy of the soup so far. Source: model soups, Wortsman et al. 2022.
    """
    order = sorted(range(len(members)), key=lambda index: -members[index][0])
    kept, best = order[:1], members[order[0]][0]
    for index in order[1:]:
        accuracy = evaluate(uniform([members[one][1] for one in [*kept, index]]))
        if accuracy >= best:
            kept, best = [*kept, index], accuracy
    return uniform([members[one][1] for one in kept]), kept


def stock_ratio(deltas: Sequence[Array]) -> float:
    """t of Model Stock for one tensor, from its N ≥ 2 differences from the start, of any shape.

    t = N · cos / (1 + (N − 1) · cos), with cos the mean cosine (not angle) over the pairs, clipped to [0, 1]. The mean
    cosine of N vectors is never below −1 / (N − 1), so that the denominator is never negative: cos ≤ 0 always gives 0.
    If any of the differences is zero, t = 1. Source: Jang et al. 2024.
    """
    if len(deltas) < 2:
        raise ValueError("Model Stock needs two members")
    norms = [math.sqrt(float((delta**2).sum())) for delta in deltas]
    if min(norms) == 0:
        return 1.0
    pairs = list(combinations(range(len(deltas)), 2))
    cos = sum(float((deltas[i] * deltas[j]).sum()) / (norms[i] * norms[j]) for i, j in pairs) / len(pairs)
    return 0.0 if cos <= 0 else min(1.0, len(deltas) * cos / (1 + (len(deltas) - 1) * cos))


def stock(members: Sequence[Given], start: Given) -> Weights:
    """t · mean of the members + (1 − t) · start, with t of every tensor its own. Source: Jang et al. 2024."""
    every, first, mean = [plain_weights(member) for member in members], plain_weights(start), uniform(members)
    ratios = {name: stock_ratio([one[name] - first[name] for one in every]) for name in first}
    return {name: ratios[name] * mean[name] + (1 - ratios[name]) * first[name] for name in first}


def lines(start: Given, end: Given, blocks: Mapping[str, int | None], count: int, alpha: float) -> Weights:
    """start + s · (end − start) with s = α + (1 − α) · b / (L − 1) in block b = 0 … L − 1; s = 1 where L = 1.

    `blocks`: block of every tensor, or None for the head, where s = 1. `count`: L. Source: LiNeS, Wang et al. 2024.
    """
    first, last, result = plain_weights(start), plain_weights(end), {}
    for name in first:
        block = blocks[name]
        scale = 1.0 if block is None or count == 1 else alpha + (1 - alpha) * block / (count - 1)
        result[name] = first[name] + scale * (last[name] - first[name])
    return result
