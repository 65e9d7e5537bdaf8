"""Pieces of the photographs that scikit-learn ships, for tests of what is done to pictures."""

from functools import cache

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images


@cache
def photographs(side: int, count: int = 8) -> tuple[Image.Image, ...]:
    """Different square pieces, shrunk to `side`; 3 of 4 pixels of a photograph's height each."""
    found = []
    for i in range(count):
        whole = Image.fromarray(load_sample_images().images[i % 2])  # 640 x 427
        left, top = 40 * i, 13 * i
        found.append(whole.crop((left, top, left + 320, top + 320)).resize((side, side), Image.Resampling.BOX))
    return tuple(found)


def difference(one: Image.Image, two: Image.Image) -> float:
    """Mean absolute difference of two pictures of one size, in values from 0 to 255."""
    assert one.size == two.size
    return float(np.abs(np.asarray(one, dtype=np.int64) - np.asarray(two)).mean())
