"""Digital: brightness, contrast, colours, coarse pixels, JPEG, and an elastic sheet.

Everywhere here pixels are float64 [h, w, 3], white is 1.
"""

import io

import numpy as np
from PIL import Image
from scipy import ndimage


def brightness(pixels: np.ndarray, added: float, random: np.random.Generator) -> np.ndarray:
    """The value of HSV raised; hue and saturation stay."""
    value = pixels.max(axis=2, keepdims=True)
    raised = np.minimum(value + added, 1)
    return np.divide(pixels * raised, value, out=np.broadcast_to(raised, pixels.shape).copy(), where=value > 0)


def contrast(pixels: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """Every channel drawn towards its mean, to a `share` of its distance."""
    mean = pixels.mean(axis=(0, 1))
    return (pixels - mean) * share + mean


def saturate(pixels: np.ndarray, change: tuple[float, float], random: np.random.Generator) -> np.ndarray:
    """The saturation of HSV times a factor, plus a term; grey has the hue of red there."""
    factor, term = change
    value = pixels.max(axis=2, keepdims=True)
    span = value - pixels.min(axis=2, keepdims=True)
    saturation = np.divide(span, value, out=np.zeros_like(value), where=value > 0)
    red = np.broadcast_to(np.array([0.0, 1.0, 1.0]), pixels.shape).copy()
    lacking = np.divide(value - pixels, span, out=red, where=span > 0)  # [h, w, 3], 1 where a channel is lowest
    return value * (1 - np.clip(saturation * factor + term, 0, 1) * lacking)


def elastic_transform(pixels: np.ndarray, sheet: tuple[float, float, float], random: np.random.Generator) -> np.ndarray:
    """A rubber sheet: three corners pulled, then every point moved with its neighbours.

    sheet: the largest move of a point and the sigma that joins neighbours (0: nothing moves), and the largest pull of
    a corner, in pixels.
    """
    strength, sigma, pull = sheet
    size = np.array(pixels.shape[:2])
    centre, arm = size // 2, size.min() // 3
    corners = centre + arm * np.array([[1, 1], [1, -1], [-1, -1]])  # [3, 2], down and right
    pulled = corners + random.uniform(-pull, pull, (3, 2))
    moves = random.uniform(-1, 1, (2, *size))  # [2, h, w], right and down
    pixels = _affine(pixels, pulled, corners)
    if not strength:
        return pixels
    right, down = (strength * ndimage.gaussian_filter(move, sigma, mode="reflect", truncate=3) for move in moves)
    rows, columns = np.indices((len(pixels), pixels.shape[1]))
    return _sampled(pixels, np.stack([rows + down, columns + right]), "reflect")


def _affine(pixels: np.ndarray, here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The image whose points `here` [3, 2] show the points `there` of `pixels`, and all others in line with them."""
    try:
        matrix = np.linalg.solve(np.column_stack([here, np.ones(3)]), there)  # [3, 2]
    except np.linalg.LinAlgError:  # points on a line, as in an image of one or two pixels, which no pull moves
        return pixels
    rows, columns = np.indices((len(pixels), pixels.shape[1]))
    points = [matrix[0, axis] * rows + matrix[1, axis] * columns + matrix[2, axis] for axis in (0, 1)]
    return _sampled(pixels, np.stack(points), "mirror")


def _sampled(pixels: np.ndarray, points: np.ndarray, mode: str) -> np.ndarray:
    """The colours at `points` [2, h, w], linear between pixels; `mode`: what lies outside, as scipy calls it."""
    channels = np.moveaxis(pixels, 2, 0)
    return np.stack([ndimage.map_coordinates(channel, points, order=1, mode=mode) for channel in channels], axis=2)


def pixelate(pixels: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """Shrunk to a `share` of both sides and enlarged again, by box filters."""
    image = _image(pixels)
    small = image.resize([max(1, int(side * share)) for side in image.size], Image.Resampling.BOX)
    return np.asarray(small.resize(image.size, Image.Resampling.BOX)) / 255


def jpeg_compression(pixels: np.ndarray, quality: int, random: np.random.Generator) -> np.ndarray:
    """Written as JPEG of this quality and read again."""
    file = io.BytesIO()
    _image(pixels).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB")) / 255


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.rint(pixels * 255).astype(np.uint8))
