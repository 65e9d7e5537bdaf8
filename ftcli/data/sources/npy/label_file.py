"""The labels of an array of images, in a .npy file of their own."""

import re

import numpy as np

from ftcli.data.sources.npy.header import read_header
from ftcli.data.specs.spec import Spec
from ftcli.data.storage.storage import is_url, join, parent, storage_of, unreadable
from ftcli.errors import RequestError
from ftcli.limits import MAX_ARRAY_IMAGES
from ftcli.safe_text import listed, quoted, shortened

BESIDE = "labels.npy"  # found by itself
DATA_NAME = re.compile(r"(.*)data\.npy")  # whose labels, …labels.npy, are found before that


def read_labels_for(path: str, spec: Spec, counts: tuple[int, ...]) -> np.ndarray:
    """The class numbers of an array of images at a path or URL: int64 [N], N one of `counts`.

    They are in the file of labels=, below the working directory or else beside the images, or in one beside them that
    has a usual name.

    Raises:
        RequestError: there is no such file, or it holds no whole numbers [N]; it names the files looked for.
    """
    file = _find(path, spec)
    header = read_header(file)
    shape = header.shape[:1] if header.shape[1:] == (1,) else header.shape
    kind = f"{shortened(str(header.dtype), 40)} {shortened(str(list(header.shape)), 100)}"
    if not np.issubdtype(header.dtype, np.integer) or len(shape) != 1:
        raise RequestError(
            f"{quoted(file)} holds {kind}; labels are whole numbers [N], one for each image",
            "convert it, by numpy.save(FILE, labels.astype('int64'))",
        )
    n = shape[0]
    if n not in counts or n > MAX_ARRAY_IMAGES:
        raise RequestError(
            f"{quoted(file)} holds {n:,} labels and {quoted(path)} {counts[0]:,} images"
            + (f"; labels of one block would be {counts[1]:,}" if len(counts) > 1 else ""),
            "name the file of its labels with labels=FILE",
        )
    try:
        content = storage_of(file).read(file, header.offset)
    except OSError as error:
        raise unreadable(file, error) from error
    return np.frombuffer(content, header.dtype, count=n).astype(np.int64)  # what is above its range turns out below 0


def _find(path: str, spec: Spec) -> str:
    """The file of the labels."""
    folder, name = parent(path), path.rpartition("/")[2]
    if spec.labels_file is not None:
        typed = spec.labels_file
        tried = [typed] if is_url(typed) or typed.startswith("/") else [typed, join(folder, typed)]
    else:
        match = DATA_NAME.fullmatch(name)
        names = [f"{match[1]}{BESIDE}"] if match else []
        tried = [join(folder, beside) for beside in dict.fromkeys([*names, BESIDE])]
    for file in tried:
        if storage_of(file).is_file(file):
            return file
    raise RequestError(
        f"the labels of {quoted(path)} are missing: there is no file {listed(tried).replace(', ', ' and no ')}",
        "name their file with labels=FILE, a .npy of whole numbers [N]; or labels=none where none are needed",
    )
