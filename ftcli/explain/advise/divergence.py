"""How far the channels of a block have moved: the divergence of two normal distributions, less what chance makes."""

import numpy as np

SMALLEST_VARIANCE = 1e-12  # relative to the largest of a block


def channel_moments(pooled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance [C] of every channel over images and positions. pooled [n, 2C]: of every image the channels'
    means and then their standard deviations.
    """
    means, deviations = np.split(np.asarray(pooled, np.float64), 2, axis=1)
    return means.mean(axis=0), np.square(deviations).mean(axis=0) + means.var(axis=0)


def divergence(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> float:
    """½[KL(N₂‖N₁) + KL(N₁‖N₂)], the mean over channels. first, second: means [C] and variances [C].

    Channels that are constant on both sides are left out.
    """
    (mean, variance), (other_mean, other) = first, second
    least = SMALLEST_VARIANCE * max(variance.max(), other.max())
    used = (variance > least) | (other > least)
    if not used.any():
        return 0.0
    a, b = np.maximum(variance[used], least), np.maximum(other[used], least)
    squared = np.square(mean[used] - other_mean[used])
    # The logarithms of the two directions cancel.
    return float(np.mean(0.25 * ((b + squared) / a + (a + squared) / b) - 0.5))


def excess_divergence(source: np.ndarray, target: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The divergence between source [n, 2C] and target [m, 2C], less that of two random halves of the source; and the
    latter.
    """
    order = np.random.default_rng(seed).permutation(len(source))
    halves = [channel_moments(source[order[i::2]]) for i in (0, 1)]
    noise = divergence(*halves)
    return divergence(channel_moments(source), channel_moments(target)) - noise, noise
