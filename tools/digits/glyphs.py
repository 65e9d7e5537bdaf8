"""Rendered digits in many styles: the data on which the demo's checkpoint is pretrained.

The demo's own data must stay unseen: the digits come from random numbers, the pen paths in `skeletons` and Pillow's
built-in font, never from a scanned digit or a photograph.
"""

from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tools.digits.skeletons import SKELETONS, Stroke

SIDE = 32  # pixels of a finished glyph
CANVAS = 2 * SIDE  # pixels it is drawn at, then shrunk: smooth edges
LEAST_CONTRAST = 0.3  # mean absolute difference between the colour of the ink and the mean colour of the background

# Probability of each style.
PRINTED = 0.25  # the font, not the pen
COARSE = 0.5  # scanned on a grid of few cells
WHITE_ON_BLACK = 0.25
NEGATIVE = 0.25  # the ink is the negative of the background


def glyph(seed: int, index: int) -> tuple[np.ndarray, int]:
    """One rendered digit, the same whenever (seed, index) is the same.

    Returns:
        The picture, uint8 [32, 32, 3], and its digit, which is `index` mod 10: any run of glyphs is class-balanced.
    """
    rng, digit = np.random.default_rng((seed, index)), index % 10
    ink = _shrunk(_print(digit, rng) if rng.random() < PRINTED else _write(digit, rng), rng)[..., None]  # [H, W, 1]
    style = rng.random()
    if style < WHITE_ON_BLACK:
        picture = np.repeat(ink, 3, axis=2)
    elif style < WHITE_ON_BLACK + NEGATIVE:
        picture = np.abs(_texture(rng) - ink)
    else:
        background = _texture(rng)
        picture = background + ink * (_readable_colour(background, rng) - background)
    noisy = picture + rng.normal(0, 0.03, picture.shape)
    return (noisy.clip(0, 1) * 255).round().astype(np.uint8), digit


def _print(digit: int, rng: np.random.Generator) -> Image.Image:
    """The digit in Pillow's built-in font, in a random size and weight, on the canvas."""
    canvas = Image.new("L", (CANVAS, CANVAS))
    weight, size = int(rng.integers(4)), int(rng.integers(40, 80))
    middle = (CANVAS / 2, CANVAS / 2)
    ImageDraw.Draw(canvas).text(middle, str(digit), fill=255, font=_font(size), anchor="mm", stroke_width=weight)
    return canvas


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def _write(digit: int, rng: np.random.Generator) -> Image.Image:
    """The digit as if written by hand: one of its skeletons, unsteady, slanted, with a pen of random width."""
    canvas = Image.new("L", (CANVAS, CANVAS))
    pen, width = ImageDraw.Draw(canvas), int(rng.integers(3, 14))
    width_and_height = rng.uniform((0.55, 0.75), (1.15, 1.4))  # of the skeleton's; people write tall rather than wide
    slant = np.array([[1, rng.normal(0, 0.2)], [rng.normal(0, 0.12), 1]])
    hand = slant * width_and_height  # [2, 2]
    skeletons = SKELETONS[digit]
    for stroke in skeletons[rng.integers(len(skeletons))]:
        path = (_unsteady(stroke, rng) - 0.5) @ hand.T + 0.5 + rng.normal(0, 0.02, 2)
        margin = CANVAS / 16
        points = margin + path * (CANVAS - 2 * margin)
        pen.line([(float(x), float(y)) for x, y in points], fill=255, width=width, joint="curve")
    return canvas


def _unsteady(stroke: Stroke, rng: np.random.Generator) -> Stroke:
    """The stroke with each point shaken and the whole bent along a slow wave."""
    wave = 0.03 * np.sin(stroke[:, ::-1] * rng.uniform(2, 6) + rng.uniform(0, 6))
    return stroke + wave + rng.normal(0, 0.018, stroke.shape)


def _shrunk(canvas: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """The canvas as ink, float64 [H, W] in [0, 1]; sometimes through a coarse grid, as of a cheap scanner."""
    if rng.random() < COARSE:
        cells = int(rng.integers(8, 14))
        canvas = canvas.resize((cells, cells), Image.Resampling.BOX).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    else:
        canvas = canvas.resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(canvas) / 255


def _texture(rng: np.random.Generator) -> np.ndarray:
    """A background, float64 [H, W, C] in [0, 1]: one colour, soft blobs of many, or a mixture of both."""
    colour, strength = rng.random(3), rng.choice([0.0, 0.5, 1.0, 1.0])
    cells = int(rng.integers(2, 7))
    noise = Image.fromarray((rng.random((cells, cells, 3)) * 255).astype(np.uint8))
    blobs = np.asarray(noise.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) / 255
    return colour + strength * (blobs - colour)


def _readable_colour(background: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random ink colour [C]; black or white where it has too little contrast to the background [H, W, C]."""
    colour, mean = rng.random(3), background.mean(axis=(0, 1))
    if np.abs(colour - mean).mean() >= LEAST_CONTRAST:
        return colour
    return np.full(3, 0.0 if mean.mean() > 0.5 else 1.0)
