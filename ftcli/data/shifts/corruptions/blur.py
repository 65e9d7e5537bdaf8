"""Blur: out of focus, through frosted glass, by a moving camera, by zooming, and Gaussian.

Everywhere here pixels are float64 [h, w, 3], white is 1.
"""

import math
from collections.abc import Iterator

import numpy as np
from scipy import ndimage, signal

LEAST_GRID = 8  # pixels from the centre of a lens's grid to its border, unless its radius is larger


def gaussian(pixels: np.ndarray, sigma: float) -> np.ndarray:
    """Smoothed along both sides of [h, w] or [h, w, 3]; beyond a border its nearest pixel goes on."""
    return ndimage.gaussian_filter(pixels, sigma, mode="nearest", axes=(0, 1))


def gaussian_blur(pixels: np.ndarray, sigma: float, random: np.random.Generator) -> np.ndarray:
    """Smoothed by a Gaussian of `sigma` pixels."""
    return gaussian(pixels, sigma)


def defocus_blur(pixels: np.ndarray, lens: tuple[float, float], random: np.random.Generator) -> np.ndarray:
    """Every point a disc; lens: its radius, and the sigma that softens its rim, in pixels."""
    kernel = disc(*lens)
    reach = len(kernel) // 2
    wide = np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    return signal.fftconvolve(wide, kernel[:, :, None], mode="valid", axes=(0, 1))


def disc(radius: float, sigma: float) -> np.ndarray:
    """The image of a point through a round lens: float64 [s, s], s odd, its sum 1."""
    small = radius <= LEAST_GRID
    side = np.arange(-LEAST_GRID, LEAST_GRID + 1) if small else np.arange(-radius, radius + 1)
    sharp = (side[:, None] ** 2 + side**2 <= radius**2).astype(np.float64)
    rim = np.arange(-1, 2) if small else np.arange(-2, 3)
    taps = np.exp(-(rim**2) / (2 * sigma**2))
    soft = sharp / sharp.sum()
    for axis in (0, 1):
        soft = ndimage.correlate1d(soft, taps / taps.sum(), axis, mode="mirror")
    return soft


def glass_blur(pixels: np.ndarray, glass: tuple[float, int, int], random: np.random.Generator) -> np.ndarray:
    """Smoothed, disturbed within a small distance, smoothed again; glass: sigma, distance in pixels, rounds.

    A pixel takes the colour of a neighbour and nothing goes the other way: so the published images were made,
    though an exchange of the two was meant.
    """
    sigma, reach, rounds = glass
    image = gaussian(pixels, sigma)
    h, w, _ = pixels.shape
    high, wide = max(h - 2 * reach, 0), max(w - 2 * reach, 0)  # of the area that is disturbed
    steps = random.integers(-reach, reach, size=(rounds, high, wide, 2))
    for step in steps:
        image = image.reshape(-1, 3)[_taken_from(h, w, reach, step)].reshape(h, w, 3)
    return gaussian(image, sigma)


def _taken_from(h: int, w: int, reach: int, step: np.ndarray) -> np.ndarray:
    """The pixel whose colour each one has after a round: int64 [h w].

    A round goes from the last pixel to the first, so a step forward ends where the colour has been replaced already,
    and a step back where it has not. step: int64 [high, wide, 2], down and right.
    """
    indices = np.arange(h * w).reshape(h, w)
    inner = indices[reach + 1 : h - reach + 1, reach + 1 : w - reach + 1]
    target = inner + step[..., 0] * w + step[..., 1]
    follow = np.concatenate([indices.ravel() + h * w, indices.ravel() + h * w])  # those after the round, those before
    follow[inner] = np.where(target > inner, target, target + h * w)
    while not np.array_equal(further := follow[follow], follow):
        follow = further
    return follow[: h * w] - h * w


def motion_blur(pixels: np.ndarray, motion: tuple[int, float], random: np.random.Generator) -> np.ndarray:
    """The camera moves along a line within 45 degrees of the horizontal; motion: radius and sigma of its trace."""
    return smear(pixels, *motion, random.uniform(-45, 45))


def smear(pixels: np.ndarray, radius: int, sigma: float, angle: float) -> np.ndarray:
    """A half-sided Gaussian trace of 2 `radius` + 1 pixels along `angle`, in degrees, as ImageMagick draws it.

    Of [h, w] or [h, w, 3]; beyond a border its nearest pixel goes on.
    """
    taps = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2))
    down, right = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    h, w = pixels.shape[:2]
    reach = 2 * radius + 1
    rest = [(0, 0)] * (pixels.ndim - 2)
    wide = np.pad(pixels, [(reach, reach), (reach, reach), *rest], mode="edge")
    total = np.zeros_like(pixels)
    for i, weight in enumerate(taps / taps.sum()):
        top, left = (reach + math.ceil(i * direction - 0.5) for direction in (down, right))
        total += weight * wide[top : top + h, left : left + w]
    return total


def zoom_blur(pixels: np.ndarray, zoom: tuple[float, float], random: np.random.Generator) -> np.ndarray:
    """The mean while a lens zooms in; zoom: numpy's end of the factors, which begin at 1, and the step between them."""
    zoomed = list(_zoomed(pixels, np.arange(1, *zoom)))
    return (pixels + sum(zoomed)) / (len(zoomed) + 1)


def _zoomed(pixels: np.ndarray, factors: np.ndarray) -> Iterator[np.ndarray]:
    for factor in factors:
        yield enlarge(pixels, float(factor))


def enlarge(pixels: np.ndarray, factor: float) -> np.ndarray:
    """The middle of [h, w] or [h, w, 3], enlarged by linear interpolation and cut to the same shape."""
    return _enlarge_rows(_enlarge_rows(pixels, factor).swapaxes(0, 1), factor).swapaxes(0, 1)


def _enlarge_rows(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Along the first axis: `seen` pixels of the middle become `long` ones, first on first and last on last."""
    n = len(pixels)
    seen = math.ceil(n / factor)
    long = round(seen * factor)
    middle = (long - n) // 2 + np.arange(n)
    position = (n - seen) // 2 + middle * ((seen - 1) / max(long - 1, 1))
    low = position.astype(np.int64)
    share = (position - low).reshape(-1, *[1] * (pixels.ndim - 1))
    return (1 - share) * pixels[low] + share * pixels[np.minimum(low + 1, n - 1)]
