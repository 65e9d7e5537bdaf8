"""Noise: numbers drawn for every pixel and channel alone.

Everywhere here pixels are float64 [h, w, 3], white is 1, and a severity changes constants, not draws.
"""

import numpy as np


def gaussian_noise(pixels: np.ndarray, scale: float, random: np.random.Generator) -> np.ndarray:
    """Normal noise of standard deviation `scale`, as in too little light."""
    return pixels + scale * random.standard_normal(pixels.shape)


def shot_noise(pixels: np.ndarray, photons: float, random: np.random.Generator) -> np.ndarray:
    """Poisson noise of a sensor that counts `photons` where the image is white."""
    return random.poisson(pixels * photons) / photons


def impulse_noise(pixels: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """A `share` of all values becomes 0 or 1, each as often: salt and pepper in colours."""
    struck = random.random(pixels.shape) < share
    salt = random.random(pixels.shape) < 0.5
    return np.where(struck, salt, pixels)


def speckle_noise(pixels: np.ndarray, scale: float, random: np.random.Generator) -> np.ndarray:
    """Normal noise in proportion to the value."""
    return pixels + scale * pixels * random.standard_normal(pixels.shape)
