"""Twelve corruptions as plain formulas in float64: what the package's are held against.

Definitions: Hendrycks and Dietterich 2019, with the constants that they published for 32 and for 224 pixels. Every
formula takes pixels in [0, 1], [H, W, 3], and gives pixels of the same shape that may lie outside.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

Pixels = np.ndarray
Formula = Callable[[Pixels, int, bool, np.random.Generator], Pixels]
FORMULAS: dict[str, Formula] = {}

# Five severities at 32 pixels, then five at 224.
NUMBERS: dict[str, tuple[list[float], list[float]]] = {
    "gaussian_noise": ([0.04, 0.06, 0.08, 0.09, 0.10], [0.08, 0.12, 0.18, 0.26, 0.38]),
    "shot_noise": ([500, 250, 100, 75, 50], [60, 25, 12, 5, 3]),
    "impulse_noise": ([0.01, 0.02, 0.03, 0.05, 0.07], [0.03, 0.06, 0.09, 0.17, 0.27]),
    "speckle_noise": ([0.06, 0.10, 0.12, 0.16, 0.20], [0.15, 0.20, 0.35, 0.45, 0.60]),
    "gaussian_blur": ([0.4, 0.6, 0.7, 0.8, 1.0], [1, 2, 3, 4, 6]),
    "contrast": ([0.75, 0.5, 0.4, 0.3, 0.15], [0.4, 0.3, 0.2, 0.1, 0.05]),
    "brightness": ([0.05, 0.1, 0.15, 0.2, 0.3], [0.1, 0.2, 0.3, 0.4, 0.5]),
    "jpeg_compression": ([80, 65, 58, 50, 40], [25, 18, 15, 10, 7]),
    "pixelate": ([0.95, 0.9, 0.85, 0.75, 0.65], [0.6, 0.5, 0.4, 0.3, 0.25]),
}
PAIRS: dict[str, tuple[list[tuple[float, float]], list[tuple[float, float]]]] = {
    "defocus_blur": (
        [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)],
        [(3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)],
    ),
    "zoom_blur": (  # one past the largest factor, and the step from 1 on
        [(1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)],
        [(1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)],
    ),
    "saturate": (
        [(0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)],
        [(0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)],
    ),
}


def formula(name: str) -> Callable[[Callable[..., Pixels]], Callable[..., Pixels]]:
    """Enter a function of (pixels, its constant or constants, generator) under the corruption's name."""

    def enter(function: Callable[..., Pixels]) -> Callable[..., Pixels]:
        def of_severity(x: Pixels, severity: int, large: bool, random: np.random.Generator) -> Pixels:
            if name in NUMBERS:
                return function(x, NUMBERS[name][large][severity - 1], random)
            return function(x, *PAIRS[name][large][severity - 1], random)

        FORMULAS[name] = of_severity
        return function

    return enter


def expected(picture: Image.Image, name: str, severity: int, random: np.random.Generator) -> np.ndarray:
    """The corrupted picture, uint8 [H, W, 3]; its shorter side is 224, or at most 64."""
    x = np.asarray(picture).astype(np.float64) / 255
    corrupted = FORMULAS[name](x, severity, min(picture.size) > 64, random)
    return np.rint(np.clip(corrupted, 0, 1) * 255).astype(np.uint8)


@formula("gaussian_noise")
def gaussian_noise(x: Pixels, sigma: float, random: np.random.Generator) -> Pixels:
    return x + sigma * random.standard_normal(x.shape)


@formula("shot_noise")
def shot_noise(x: Pixels, photons: float, random: np.random.Generator) -> Pixels:
    """`photons` arrive where the picture is white."""
    return random.poisson(photons * x) / photons


@formula("impulse_noise")
def impulse_noise(x: Pixels, share: float, random: np.random.Generator) -> Pixels:
    """That share of all values becomes salt or pepper."""
    hit, salt = random.random(x.shape) < share, random.random(x.shape) < 0.5
    return x * ~hit + (hit & salt)


@formula("speckle_noise")
def speckle_noise(x: Pixels, sigma: float, random: np.random.Generator) -> Pixels:
    return x * (1 + sigma * random.standard_normal(x.shape))


@formula("gaussian_blur")
def gaussian_blur(x: Pixels, sigma: float, random: np.random.Generator) -> Pixels:
    """One matrix per axis: weights exp(-d²/2σ²) out to 4σ, the edge's pixel repeated beyond it."""
    reach = int(4 * sigma + 0.5)

    def blur(n: int) -> np.ndarray:
        matrix = np.zeros((n, n))
        for row in range(n):
            for d in range(-reach, reach + 1):
                matrix[row, min(max(row + d, 0), n - 1)] += np.exp(-(d**2) / (2 * sigma**2))
        return matrix / matrix.sum(axis=1, keepdims=True)

    return along_both_axes(x, blur)


@formula("defocus_blur")
def defocus_blur(x: Pixels, radius: float, alias: float, random: np.random.Generator) -> Pixels:
    """The mean over a disk whose rim is softened by a Gaussian of 3 x 3 pixels, or of 5 x 5 where it is wide."""
    wide = radius > 8
    side = int(radius) if wide else 8
    i, j = np.mgrid[-side : side + 1, -side : side + 1]
    disk = (i**2 + j**2 <= radius**2).astype(np.float64)
    taps = np.arange(-2, 3) if wide else np.arange(-1, 2)
    soft = np.exp(-(taps**2) / (2 * alias**2))
    kernel = sum_of_shifts(disk / disk.sum(), np.outer(soft, soft) / soft.sum() ** 2)
    return sum_of_shifts(x, kernel)


def sum_of_shifts(x: Pixels, kernel: np.ndarray) -> Pixels:
    """Every tap of a symmetric odd kernel times the picture moved by it; beyond an edge the picture is mirrored."""
    reach = len(kernel) // 2
    around = [(reach, reach), (reach, reach), *[(0, 0)] * (x.ndim - 2)]
    padded, total = np.pad(x, around, mode="reflect"), np.zeros_like(x)
    for (row, column), tap in np.ndenumerate(kernel):
        if tap:
            total += tap * padded[row : row + x.shape[0], column : column + x.shape[1]]
    return total


@formula("zoom_blur")
def zoom_blur(x: Pixels, stop: float, step: float, random: np.random.Generator) -> Pixels:
    """The mean of the picture and of all its enlargements."""
    zoomed = [along_both_axes(x, lambda n, z=z: zoom_matrix(n, z)) for z in np.arange(1, stop, step)]
    return (x + sum(zoomed)) / (1 + len(zoomed))


def zoom_matrix(n: int, zoom: float) -> np.ndarray:
    """[n, n]: the middle of an axis, enlarged: linear between its pixels, corner on corner, and cut to n again."""
    crop = int(np.ceil(n / zoom))
    size, begin = round(crop * zoom), (n - crop) // 2
    places = begin + np.linspace(0, crop - 1, size)  # where each pixel comes from
    every = np.eye(n)
    rows = np.stack([np.interp(places, np.arange(n), every[:, column]) for column in range(n)], axis=1)  # [size, n]
    cut = (size - n) // 2
    return rows[cut : cut + n]


def along_both_axes(x: Pixels, matrix: Callable[[int], np.ndarray]) -> Pixels:
    return np.einsum("ij,jkc,lk->ilc", matrix(x.shape[0]), x, matrix(x.shape[1]), optimize=True)


@formula("contrast")
def contrast(x: Pixels, factor: float, random: np.random.Generator) -> Pixels:
    """Around the mean of each channel."""
    mean = x.reshape(-1, 3).mean(axis=0)
    return mean + factor * (x - mean)


@formula("brightness")
def brightness(x: Pixels, more: float, random: np.random.Generator) -> Pixels:
    """With hue and saturation as they are, all channels grow by the factor of the largest; black has none."""
    value = x.max(axis=2, keepdims=True)
    raised = np.minimum(value + more, 1)
    return np.where(value > 0, x * raised / np.where(value > 0, value, 1), raised)


@formula("saturate")
def saturate(x: Pixels, factor: float, more: float, random: np.random.Generator) -> Pixels:
    """With hue and value as they are, the distance from the largest channel grows as the saturation; grey turns red."""
    value = x.max(axis=2, keepdims=True)
    saturation = 1 - x.min(axis=2, keepdims=True) / np.where(value > 0, value, 1)
    saturation = np.where(value > 0, saturation, 0)
    raised = np.clip(saturation * factor + more, 0, 1)
    coloured = value - (value - x) * raised / np.where(saturation > 0, saturation, 1)
    red = value * np.concatenate([np.ones_like(raised), 1 - raised, 1 - raised], axis=2)
    return np.where(saturation > 0, coloured, red)


@formula("pixelate")
def pixelate(x: Pixels, share: float, random: np.random.Generator) -> Pixels:
    """Shrunk by means over boxes and blown up again, in whole steps of brightness; along rows first."""
    height, width = x.shape[:2]
    small = (max(int(height * share), 1), max(int(width * share), 1))
    for rows, columns in (small, (height, width)):
        x = np.floor(np.einsum("ij,kjc->kic", boxes(x.shape[1], columns), x, optimize=True) * 255 + 0.5) / 255
        x = np.floor(np.einsum("ij,jkc->ikc", boxes(x.shape[0], rows), x, optimize=True) * 255 + 0.5) / 255
    return x


def boxes(n: int, m: int) -> np.ndarray:
    """[m, n]: each of m pixels is the mean of those of the n whose centres lie in its box, or of the nearest one."""
    centres, width = (np.arange(m) + 0.5) * n / m, max(n / m, 1.0)
    away = (np.arange(n) + 0.5 - centres[:, None]) / width  # [m, n]
    inside = ((away > -0.5) & (away <= 0.5)).astype(np.float64)
    return inside / inside.sum(axis=1, keepdims=True)


@formula("jpeg_compression")
def jpeg_compression(x: Pixels, quality: float, random: np.random.Generator) -> Pixels:
    """By Pillow, the one reference for what a JPEG file of some quality is."""
    file = io.BytesIO()
    Image.fromarray(np.rint(x * 255).astype(np.uint8)).save(file, "JPEG", quality=int(quality))
    return np.asarray(Image.open(file)).astype(np.float64) / 255
