"""COT and COTT (Lu et al. 2023, arXiv 2305.15640): the error as the cost of bringing predictions to the labels' shares.

Probabilities float64 [N, K]; shares float64 [K], of the classes among the labels of V.
"""

from collections.abc import Iterator

import numpy as np

from ftcli.measures.estimates.transport import transport

MOST_VARIABLES = 200_000  # of one transport, examples times classes; a larger set is transported in random batches


def cot(probabilities: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> float:
    """1 - the least mean cost of a transport of U's predictions to labels of these shares, an example costing 1 - p of
    its label. Never above average confidence.
    """
    return float(1 - transport_costs(probabilities, shares, rng).mean())


def cott(
    labelled: np.ndarray, correct: np.ndarray, unlabelled: np.ndarray, shares: np.ndarray, rng: np.random.Generator
) -> float:
    """The share of U whose cost of transport is at most the threshold that the correct share of V is at most.

    labelled [n, K] and unlabelled [m, K]: probabilities; correct: boolean [n].
    """
    right = int(correct.sum())
    if not right:
        return 0.0
    threshold = np.sort(transport_costs(labelled, shares, rng))[right - 1]
    return float((transport_costs(unlabelled, shares, rng) <= threshold).mean())


def transport_costs(probabilities: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What each example pays in the cheapest transport: [N]."""
    costs = 1 - probabilities
    paid = np.empty(len(costs))
    for rows in batches(len(costs), costs.shape[1], rng):
        plan = transport(costs[rows], shares)
        paid[rows] = len(rows) * (plan * costs[rows]).sum(axis=1)
    return paid


def batches(n: int, k: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """All examples at once, or in random batches of nearly equal size where they are too many for one transport."""
    if n * k <= MOST_VARIABLES:
        yield np.arange(n)
        return
    yield from np.array_split(rng.permutation(n), -(-n * k // MOST_VARIABLES) if k < MOST_VARIABLES else n)
