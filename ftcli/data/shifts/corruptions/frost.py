"""Ice on a window, drawn: feathers, a stem with barbs on both sides, that grew over each other on a misty pane.

The published code lays one of five photographs before the image, which cannot come along: here the brightness of what
is drawn gets the mean colour and the deviation of one of theirs.
"""

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

# Mean of red, green and blue, and deviation of their mean, of 255, in the five photographs (two have the same figures).
PHOTOGRAPHS = (
    ((78, 149, 166), 18.0),
    ((201, 205, 214), 22.0),
    ((201, 205, 214), 22.0),
    ((138, 153, 165), 28.9),
    ((112, 123, 135), 43.1),
)
SHORTEST, LONGEST = 25, 85  # pixels, of a stem
BARBS = 15  # on each side of a stem
SLANT = 0.8  # radians between a stem and its barbs
AREA = 190  # pixels to a feather
TURN = 110  # pixels over which the direction of growth turns by about a radian
PANE = 0.5  # brightness
DIM, BRIGHT = 0.4, 1.0  # between them lies the brightness of a feather
SHADOW = 0.16  # how much darker the side of a feather is that looks away from the light
SOFT = 0.65  # pixels, the sigma that smooths what is drawn
CLOUD = 110  # pixels across a cloud of the mist
# Mean of the smoothed feathers, and how much of them and of the mist makes ice of mean 0 and deviation 1 that differs
# from pixel to pixel, and from each fifth pixel to the next, as the photographs do.
MIDDLE, FEATHERS, MIST = 0.602, 9.2, 0.556


def frost_texture(h: int, w: int, random: np.random.Generator) -> np.ndarray:
    """A pane of h x w pixels, float64 [h, w, 3] in [0, 1]."""
    colour, deviation = PHOTOGRAPHS[random.integers(len(PHOTOGRAPHS))]
    pane = Image.new("L", (w, h), round(255 * PANE))
    draw = ImageDraw.Draw(pane)
    count = max(1, h * w // AREA)
    shades = 255 * (random.uniform(DIM, BRIGHT, (count, 1)) - (SHADOW, 0))  # of both sides
    for sides, tones in zip(_feathers(h, w, count, random).tolist(), shades.astype(int).tolist(), strict=True):
        for stroke, tone in zip(sides, tones, strict=True):
            draw.line(stroke, fill=tone)
    soft = ndimage.gaussian_filter(np.asarray(pane) / 255, SOFT, truncate=3)
    ice = FEATHERS * (soft - MIDDLE) + MIST * _clouds(h, w, CLOUD, random)
    return np.clip((np.array(colour) + deviation * ice[..., None]) / 255, 0, 1)


def _feathers(h: int, w: int, count: int, random: np.random.Generator) -> np.ndarray:
    """Each side of every feather as one stroke, out and back along each barb: x, y, x, y …, [count, 2, 6 BARBS]."""
    foot = random.uniform((-LONGEST / 2, -LONGEST / 2), (w, h), (count, 2))[:, None, None]  # [count, 1, 1, 2]
    length = random.uniform(SHORTEST, LONGEST, (count, 1, 1))
    # Neighbours grow in similar directions, and a third of all against them.
    bend = random.uniform(-1, 1, 4)
    turn = (foot * bend[:2]).sum(axis=3) / TURN + 2 * np.sin((foot * bend[2:]).sum(axis=3) / TURN)
    turn = turn + random.normal(0, 0.45, (count, 1, 1)) + np.pi * (random.random((count, 1, 1)) < 0.3)
    at = np.arange(BARBS) / BARBS  # [BARBS], shares of the stem
    side = np.array([1, -1])[:, None]
    reach = length * 0.42 * (1 - at) ** 0.8 * random.uniform(0.5, 1.1, (count, 2, BARBS))
    root = np.broadcast_to(foot + (length * at)[..., None] * _towards(turn), (count, 2, BARBS, 2))
    tip = root + reach[..., None] * _towards(turn + SLANT * side)
    return np.stack([root, tip, root], axis=3).reshape(count, 2, 6 * BARBS)


def _clouds(h: int, w: int, across: int, random: np.random.Generator) -> np.ndarray:
    """Smooth noise of deviation about 1: float32 [h, w]."""
    coarse = random.standard_normal((h // across + 3, w // across + 3)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((w, h), Image.Resampling.BICUBIC))


def _towards(angle: np.ndarray) -> np.ndarray:
    """Unit vectors (x, y): [..., 2]."""
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)
