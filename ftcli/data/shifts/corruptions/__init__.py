"""The corruptions of ImageNet-C and CIFAR-10-C (Hendrycks & Dietterich 2019), drawn anew for every image.

Written here on numpy, scipy and Pillow because no library fits: imagecorruptions 1.1.2, which fails on numpy 2, and its
fork imagecorruptions-imaug need OpenCV, draw from numpy's global state, and have the constants of 224 pixels alone and
an elastic transform of their own; kornia, albumentations, torchvision and scikit-image have some of the corruptions,
with strengths of their own.
"""

import inspect
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import PIL
import scipy
from PIL import Image, features

from ftcli import seeds
from ftcli.cache.cache import key
from ftcli.data.shifts import shift
from ftcli.data.shifts.corruptions import blur, digital, edges, frost, noise, published, weather
from ftcli.data.shifts.corruptions.published import LARGE, SMALL
from ftcli.seeds import derive_seed

MOST_SMALL = 64  # pixels of the shorter side, up to which an image counts as one of 32
SIDE = 224  # pixels, to which the shorter side of any other is brought

# From pixels, float64 [h, w, 3] in [0, 1], and the constants of a severity, to the corrupted ones, not yet in [0, 1].
Corruption = Callable[[np.ndarray, Any, np.random.Generator], np.ndarray]

_MODULES = (noise, blur, weather, digital)
CORRUPTIONS: dict[str, Corruption] = {
    name: next(getattr(module, name) for module in _MODULES if hasattr(module, name)) for name in shift.CORRUPTION_NAMES
}


def corrupt(image: Image.Image, name: str, severity: int, digest: bytes) -> Image.Image:
    """An image after one corruption; its random numbers depend on `name` and `digest` alone.

    Args:
        image: RGB. With a shorter side of up to 64 pixels it keeps its size and gets the constants of 32 pixels; any
            other is first resized to a shorter side of 224, and gets those of 224.
        name: one of `CORRUPTIONS`; severity: from 1 to 5.
        digest: of the image's encoded bytes.

    Returns:
        RGB, rounded to whole values where the published code cuts their fractions off.
    """
    table = SMALL if min(image.size) <= MOST_SMALL else LARGE
    pixels = np.asarray(image if table is SMALL else _to_side(image)) / 255
    random = np.random.Generator(np.random.PCG64(derive_seed("shift", name, digest.hex())))
    changed = CORRUPTIONS[name](pixels, table[name][severity - 1], random)
    return Image.fromarray(np.rint(255 * changed.clip(0, 1)).astype(np.uint8))


@cache
def made_by() -> str:
    """Our code between an image and the corrupted one, and the versions of the libraries under it, as a digest."""
    ours = [inspect.getsource(module) for module in (sys.modules[__name__], edges, frost, published, seeds, *_MODULES)]
    return key(*ours, np.__version__, scipy.__version__, PIL.__version__, str(features.version("jpg")))


def _to_side(image: Image.Image) -> Image.Image:
    """The shorter side brought to 224 pixels; an image of that size stays as it is."""
    short = min(image.size)
    w, h = (round(SIDE * side / short) for side in image.size)
    return image.resize((w, h), Image.Resampling.BILINEAR)
