"""CIFAR-10 and CIFAR-100 as they are distributed: pickles, of which no code is executed.

A pickle may call whatever it names. Here it may name only the constructors of numpy arrays and of bytes, which is all
that the official files do, so that a file from elsewhere can do no more than hold other numbers.
"""

import codecs
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from ftcli.data.arrays import array_rows
from ftcli.data.rows import Rows
from ftcli.errors import RequestError

SIDE = 32  # pixels
ALLOWED: dict[tuple[str, str], Any] = {
    # numpy has moved its modules; the files name the old place.
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): codecs.encode,
}


class Restricted(pickle.Unpickler):
    """Reads arrays, text, numbers, lists and dictionaries, and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which CIFAR does not need")
        return ALLOWED[module, name]


def cifar_rows(folder: Path, files: list[str], meta: str, names_key: str) -> Rows:
    """Pictures [N, 3, 32, 32], labels and class names of the named files of a folder.

    Raises:
        RequestError: a file is missing, or is not what the data set distributes.
    """
    parts = [_read(folder / file) for file in files]
    try:
        pixels = np.concatenate([np.asarray(part["data"]) for part in parts]).reshape(-1, 3, SIDE, SIDE)
        labels = [label for part in parts for label in part["labels" if "labels" in part else "fine_labels"]]
        names = [str(name) for name in _read(folder / meta)[names_key]]
        values = np.array(labels, dtype=np.int64)
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError(f'the files in "{folder}" are not those of CIFAR: {error}', "get them anew") from error
    if pixels.dtype != np.uint8 or values.shape != (len(pixels),):
        raise RequestError(f'the files in "{folder}" are not those of CIFAR: other types or counts', "get them anew")
    return array_rows(pixels, values, names)


def _read(file: Path) -> dict[str, Any]:
    try:
        with open(file, "rb") as handle:
            content = Restricted(handle, encoding="latin1").load()  # written by Python 2, whose text was bytes
    except OSError as error:
        raise RequestError(
            f'"{file}" cannot be read: {error.strerror}', f"root= names the folder that holds {file.parent.name}"
        ) from error
    except Exception as error:  # broken pickles end in errors of every type
        raise RequestError(f'"{file}" is not a file of CIFAR: {error}', "get it anew") from error
    if not isinstance(content, dict):
        raise RequestError(f'"{file}" is not a file of CIFAR: it holds no dictionary', "get it anew")
    return content
