"""Edges by Canny's method, and distances to them, as OpenCV defines them: the rims of the published drops of water."""

import numpy as np
from scipy import ndimage

WEAK, STRONG = 50, 150  # gradients above which a pixel continues an edge, and above which it begins one
SLOPE = np.tan(np.pi / 8)  # between directions along an axis and diagonal ones
DIAGONAL, KNIGHT = 1.4, 2.1969  # lengths of a step to a diagonal neighbour and of a knight's move


def edges(levels: np.ndarray) -> np.ndarray:
    """bool [h, w] where whole levels, int [h, w], change most along the gradient, and enough.

    The gradient is Sobel's, its size |dx| + |dy|. Of two equal neighbours along an axis the first one is the edge.
    """
    down, right = (ndimage.sobel(levels.astype(np.int64), axis, mode="nearest") for axis in (0, 1))
    size = np.abs(down) + np.abs(right)
    around = np.pad(size, 1)

    def moved(rows: int, columns: int) -> np.ndarray:
        return around[1 + rows : 1 + rows + size.shape[0], 1 + columns : 1 + columns + size.shape[1]]

    along_row = np.abs(down) < SLOPE * np.abs(right)
    along_column = np.abs(down) > (SLOPE + 2) * np.abs(right)
    falling = (down < 0) == (right < 0)  # from the upper left to the lower right
    greatest = np.select(
        [along_row, along_column, falling],
        [
            (size > moved(0, -1)) & (size >= moved(0, 1)),
            (size > moved(-1, 0)) & (size >= moved(1, 0)),
            (size > moved(-1, -1)) & (size > moved(1, 1)),
        ],
        (size > moved(-1, 1)) & (size > moved(1, -1)),
    )
    weak = greatest & (size > WEAK)
    lines, _ = ndimage.label(weak, np.ones((3, 3)))
    return weak & np.isin(lines, lines[weak & (size > STRONG)])


def distance(edge: np.ndarray) -> np.ndarray:
    """From every pixel to the nearest edge, float64 [h, w], in steps of 1, `DIAGONAL` and `KNIGHT`; inf without any."""
    if not edge.any():
        return np.full(edge.shape, np.inf)
    nearest = ndimage.distance_transform_edt(~edge, return_distances=False, return_indices=True)
    away = np.abs(nearest - np.indices(edge.shape))
    long, short = away.max(axis=0), away.min(axis=0)
    knights = np.minimum(short, long - short)
    return (long - short - knights) + DIAGONAL * (short - knights) + KNIGHT * knights
