"""Rows whose images are arrays in memory, all of one shape."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ftcli.arrow import number_array
from ftcli.data.rows import Rows, label_feature, numbered


def array_rows(pixels: np.ndarray, values: np.ndarray, names: Sequence[str]) -> Rows:
    """A table of images and labels; the pixels are not copied where they are contiguous.

    Args:
        pixels: uint8 [N, H, W], [N, H, W, C] or [N, C, H, W]; values: int64 [N].
        names: of the classes; empty where they have none.
    """
    image = number_array(np.ascontiguousarray(pixels).reshape(-1))
    for size in reversed(pixels.shape[1:]):
        image = pa.FixedSizeListArray.from_arrays(image, size)
    return numbered(
        pa.table({"image": image, "label": number_array(np.asarray(values, dtype=np.int64))}), label_feature(names)
    )
