"""Weather: fog, frost, snow and spatter on the lens.

Everywhere here pixels are float64 [h, w, 3], white is 1.
"""

import numpy as np
from scipy import ndimage

from ftcli.data.shifts.corruptions.blur import enlarge, gaussian, smear
from ftcli.data.shifts.corruptions.edges import distance, edges
from ftcli.data.shifts.corruptions.frost import frost_texture

GREY = (0.299, 0.587, 0.114)  # of red, green and blue in brightness
WATER, MUD = (175 / 255, 238 / 255, 238 / 255), (63 / 255, 42 / 255, 20 / 255)
FARTHEST = 20  # pixels from the rim of a drop, beyond which its water is flat
RELIEF = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])  # light from the upper left
COVERED = 0.8  # of mud that hides the image


def fog(pixels: np.ndarray, cloud: tuple[float, float], random: np.random.Generator) -> np.ndarray:
    """A fractal cloud before the image, dimmed to its brightest value; cloud: thickness, and decay of its detail."""
    thickness, decay = cloud
    h, w, _ = pixels.shape
    height = plasma(1 << (min(h, w) - 1).bit_length(), decay, random)
    cover = height[np.arange(h)[:, None] % len(height), np.arange(w) % len(height)]  # goes on beyond its borders
    white = pixels.max()
    return (pixels + thickness * cover[..., None]) * white / (white + thickness)


def plasma(side: int, decay: float, random: np.random.Generator) -> np.ndarray:
    """A fractal height map by diamonds and squares on a torus: float64 [side, side] from 0 to 1, side a power of two.

    A new point is the mean of its four neighbours and uniform noise, whose size falls by decay^2 from step to step.
    """
    height = np.zeros((side, side))
    step, size = side, 1.0
    while step >= 2:
        half = step // 2
        corners = height[::step, ::step]
        pairs = corners + np.roll(corners, -1, 0)
        middle = (pairs + np.roll(pairs, -1, 1)) / 4 + size * random.uniform(-1, 1, corners.shape)
        height[half::step, half::step] = middle
        across = (corners + np.roll(corners, -1, 1) + middle + np.roll(middle, 1, 0)) / 4
        height[::step, half::step] = across + size * random.uniform(-1, 1, corners.shape)
        along = (corners + np.roll(corners, -1, 0) + middle + np.roll(middle, 1, 1)) / 4
        height[half::step, ::step] = along + size * random.uniform(-1, 1, corners.shape)
        step, size = half, size / decay**2
    height -= height.min()
    return height / max(height.max(), np.finfo(np.float64).tiny)


def frost(pixels: np.ndarray, ice: tuple[float, float, int], random: np.random.Generator) -> np.ndarray:
    """Ice before the image; ice: shares of image and ice in the sum, and of how many of its pixels one is taken.

    Nothing is averaged: the published code shrinks a photograph to a fifth by linear interpolation, which takes the
    middle one of five pixels as it is.
    """
    seen, frozen, step = ice
    h, w, _ = pixels.shape
    texture = frost_texture(h * step, w * step, random)
    return seen * pixels + frozen * texture[step // 2 :: step, step // 2 :: step]


def snow(
    pixels: np.ndarray, flakes: tuple[float, float, float, float, int, float, float], random: np.random.Generator
) -> np.ndarray:
    """Falling flakes before an image turned pale.

    flakes: mean and deviation of normal noise, how much it is enlarged, below what it is no flake; radius and sigma of
    the fall; share of the image that keeps its colours.
    """
    mean, scale, larger, least, radius, sigma, share = flakes
    layer = enlarge(mean + scale * random.standard_normal(pixels.shape[:2]), larger)
    layer = np.where(layer < least, 0, layer).clip(0, 1)
    layer = smear(layer, radius, sigma, random.uniform(-135, -45))
    pale = np.maximum(pixels, 1.5 * (pixels @ GREY)[..., None] + 0.5)
    return share * pixels + (1 - share) * pale + (layer + layer[::-1, ::-1])[..., None]


def spatter(
    pixels: np.ndarray, liquid: tuple[float, float, float, float, float, int], random: np.random.Generator
) -> np.ndarray:
    """Drops of water, or splashes of mud, on the lens.

    liquid: mean and deviation of normal noise, the sigma that smooths it, above what it is liquid; how strong water
    shows, or the sigma that smooths mud; 0 for water, 1 for mud.
    """
    mean, scale, smooth, least, strength, mud = liquid
    layer = gaussian(mean + scale * random.standard_normal(pixels.shape[:2]), smooth)
    wet = layer >= least
    if not mud:
        levels = np.where(wet, 255 * layer, 0).astype(np.uint8)
        drops = levels * _relief(edges(levels))
        return pixels + (strength / max(drops.max(), np.finfo(np.float64).tiny) * drops)[..., None] * WATER
    cover = gaussian(wet.astype(np.float64), strength)
    cover = np.where(cover < COVERED, 0, cover)[..., None]
    return pixels * (1 - cover) + cover * MUD


def _relief(rims: np.ndarray) -> np.ndarray:
    """Light on the surface of drops, float64 [h, w] from 0 to 255: their height grows with the distance to a rim."""
    height = np.minimum(distance(rims), FARTHEST)
    # Before fractions are cut off: a mean that should be whole may lie below by rounding.
    height = (ndimage.uniform_filter(height, 3, mode="mirror") + 1e-6).astype(np.uint8)
    _, ranks, counts = np.unique(height, return_inverse=True, return_counts=True)
    below = np.cumsum(counts) - counts[0]
    if below[-1]:  # every height as frequent as any other
        height = np.rint(255 * below / below[-1])[ranks].reshape(rims.shape)
    lit = ndimage.correlate(height.astype(np.float64), RELIEF, mode="mirror").clip(0, 255)
    return ndimage.uniform_filter(lit, 3, mode="mirror")
