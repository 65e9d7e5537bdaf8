"""COT and COTT (Lu et al. 2023, arXiv 2305.15640): the error as the cost of bringing predictions to the labels' shares.

Probabilities float64 [N, K]; shares float64 [K], of the classes among the labels of V.
"""

import numpy as np

from ftcli.config.details.estimates import TRANSPORTED
from ftcli.measures.estimates.transport import transport

MOST_VARIABLES = 1_000_000  # of one transport, examples times classes; of a larger set a random part is transported
MOST_CHANCE = 0.15  # expected difference of two samples' class shares, above which the estimates are mostly that


def cot(probabilities: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> float:
    """1 - the least mean cost of a transport of U's predictions to labels of these shares, an example costing 1 - p of
    its label. Never above average confidence.
    """
    return float(1 - transport_costs(probabilities[part(probabilities.shape, rng)], shares).mean())


def cott(
    labelled: np.ndarray, correct: np.ndarray, unlabelled: np.ndarray, shares: np.ndarray, rng: np.random.Generator
) -> float:
    """The share of U whose cost of transport is at most the threshold that the correct share of V is at most.

    labelled [n, K] and unlabelled [m, K]: probabilities; correct: boolean [n].
    """
    of_v, of_u = part(labelled.shape, rng), part(unlabelled.shape, rng)
    right = int(correct[of_v].sum())
    if not right:
        return 0.0
    threshold = np.sort(transport_costs(labelled[of_v], shares))[right - 1]
    return float((transport_costs(unlabelled[of_u], shares) <= threshold).mean())


def transport_costs(probabilities: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """What each example pays in the cheapest transport: [N]."""
    costs = 1 - probabilities
    return len(costs) * (transport(costs, shares) * costs).sum(axis=1)


def part(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """The rows of a set [N, K] that are transported: all, or as many random ones as one transport can have."""
    n, k = shape
    return np.arange(n) if n * k <= MOST_VARIABLES else np.sort(rng.permutation(n)[: MOST_VARIABLES // k])


def chance_difference(shares: np.ndarray, n: int, m: int) -> float:
    """The expected total variation between the class shares of two samples of n and m examples from one distribution
    with these shares [K], by the normal approximation of each. Both estimates take such a difference for errors.
    """
    rows = min(m, MOST_VARIABLES // len(shares))
    deviations = np.sqrt(shares * (1 - shares) * (1 / n + 1 / rows))
    return float(np.sqrt(2 / np.pi) * deviations.sum() / 2)


def left_out_by_chance(shares: np.ndarray, n: int, m: int) -> tuple[str, ...]:
    """The names of the estimates that mean nothing for a set of m examples, where chance moves its class shares too
    far.
    """
    return TRANSPORTED if chance_difference(shares, n, m) > MOST_CHANCE else ()
