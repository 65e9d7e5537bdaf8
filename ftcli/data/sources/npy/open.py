"""Arrays of images: a .npy file of pixels and one of labels, as CIFAR-10-C and CIFAR-10.1 are distributed."""

from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa

from ftcli.arrow import number_array
from ftcli.data.rows import ImageFeature, Splits, numbered
from ftcli.data.shifts.shift import SEVERITIES
from ftcli.data.sources.npy.array_images import ArrayImages, image_places
from ftcli.data.sources.npy.header import Header, read_header
from ftcli.data.sources.npy.label_file import read_labels_for
from ftcli.data.specs.spec import Spec
from ftcli.errors import RequestError
from ftcli.limits import MAX_ARRAY_IMAGES
from ftcli.safe_text import quoted, shortened

CHANNELS = (1, 3, 4)
BLOCKS = len(SEVERITIES)  # of an array that holds every image at every severity, the mildest first


def open_array(path: str, spec: Spec, *, labelled: bool) -> Splits:
    """The only split, "train", of an array of images at a path or URL; with labels where they are needed or named.

    An id is the row of the array, whatever is chosen of it.

    Raises:
        RequestError: the array is no uint8 [N, H, W, C] or [N, H, W], or its labels are not there or do not fit it.
    """
    header = read_header(path)
    _check_images(path, header)
    n, severity = header.shape[0], spec.severity
    if severity is not None and n % BLOCKS:
        raise RequestError(
            f"severity={severity}: {quoted(path)} has {n:,} images, which do not divide into {BLOCKS} equal blocks, "
            "one for each severity",
            "leave severity= out, or choose images by their rows, as split=[0:100]",
        )
    columns: dict[str, pa.Array] = {"image": image_places(n)}
    if labelled or spec.labels_file is not None:
        values = read_labels_for(path, spec, (n,) if severity is None else (n, n // BLOCKS))
        columns["label"] = number_array(values if len(values) == n else np.tile(values, BLOCKS))
    rows = replace(
        numbered(pa.table(columns), {"image": ImageFeature()}),
        open_images=partial(ArrayImages, path=path, header=header),
    )
    if severity is not None:
        rows = rows.slice((severity - 1) * n // BLOCKS, severity * n // BLOCKS)
    return {"train": lambda: rows}


def _check_images(path: str, header: Header) -> None:
    """Raises RequestError where an array holds no images, or more than are read."""
    shape, dtype = header.shape, header.dtype
    what = f"{shortened(str(dtype), 40)} {shortened(str(list(shape)), 100)}"
    if dtype != np.uint8:
        fix = "convert it, by numpy.save(FILE, array.astype('uint8'))"
        if dtype.kind == "f":
            fix = "convert it, where 1.0 is white by numpy.save(FILE, (array * 255).round().astype('uint8'))"
        raise RequestError(f"{quoted(path)} holds {what}; images are uint8 [N, H, W, C] or [N, H, W]", fix)
    coloured = len(shape) == 4 and (shape[3] in CHANNELS or shape[1] in CHANNELS)
    if 0 in shape or not (coloured or len(shape) == 3):
        raise RequestError(
            f"{quoted(path)} holds {what}; images are uint8 [N, H, W, C] with C 1, 3 or 4, or [N, H, W]",
            "reshape it, and write it by numpy.save",
        )
    if shape[0] > MAX_ARRAY_IMAGES:
        raise RequestError(
            f"{quoted(path)} holds {shape[0]:,} images, and at most {MAX_ARRAY_IMAGES:,} are read",
            "write it as several files",
        )
