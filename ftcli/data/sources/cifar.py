"""CIFAR-10 and CIFAR-100 as they are distributed: pickles, of which no code is executed.

A pickle may call whatever it names. Here it may name only the constructors of numpy arrays and of bytes, which is all
that the official files do, so that a file from elsewhere can do no more than hold other numbers.
"""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from ftcli.data.rows import Rows
from ftcli.data.sources.arrays import array_rows
from ftcli.errors import RequestError
from ftcli.files import read_regular
from ftcli.limits import MAX_CIFAR_BYTES
from ftcli.safe_text import reason

SIDE = 32  # pixels


def _empty_array(*_: object) -> np.ndarray:
    """An array without elements, which its state then fills: numpy's own would take memory for any given shape."""
    return np.empty(0, np.uint8)


def _latin1(text: str, encoding: str) -> bytes:
    """Bytes that a pickle holds as text: numpy names no other encoding."""
    if encoding != "latin1":
        raise pickle.UnpicklingError("it asks for an encoding that CIFAR does not need")
    return text.encode("latin1")


ALLOWED: dict[tuple[str, str], Any] = {
    # numpy has moved its modules; the files have the old name.
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
    ("numpy", "ndarray"): None,  # named as what _reconstruct is to make, and never called
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
}


class Restricted(pickle.Unpickler):
    """Reads arrays, text, numbers, lists and dictionaries, and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which CIFAR does not need")
        return ALLOWED[module, name]


def cifar_rows(folder: Path, files: list[str], meta: str, names_key: str) -> Rows:
    """Images [N, 3, 32, 32], labels and class names of the named files of a folder.

    Raises:
        RequestError: a file is missing, or is not what the data set distributes.
    """
    contents = [_read(folder / file) for file in files]
    try:
        # Of these types and no others: a list within lists may stand for more than memory holds.
        pixels = np.concatenate([_typed(content["data"], np.ndarray) for content in contents]).reshape(
            -1, 3, SIDE, SIDE
        )
        keys = ["labels" if "labels" in content else "fine_labels" for content in contents]
        lists = [_typed(content[key], list) for content, key in zip(contents, keys, strict=True)]
        values = np.array([_typed(label, int) for labels in lists for label in labels], dtype=np.int64)
        names = [_typed(name, str) for name in _typed(_read(folder / meta)[names_key], list)]
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        fix = "get them anew"
        raise RequestError(f'the files in "{folder}" are not those of CIFAR: {reason(error)}', fix) from error
    if pixels.dtype != np.uint8 or values.shape != (len(pixels),):
        raise RequestError(f'the files in "{folder}" are not those of CIFAR: other types or counts', "get them anew")
    return array_rows(pixels, values, names)


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{type(value).__name__} in place of {kind.__name__}")
    return value


def _read(file: Path) -> dict[str, Any]:
    try:
        encoded = io.BytesIO(read_regular(file, MAX_CIFAR_BYTES))
        content = Restricted(encoded, encoding="latin1").load()  # written by Python 2, whose text was bytes
    except OSError as error:
        raise RequestError(
            f'"{file}" cannot be read: {error.strerror}', f"root= names the folder that holds {file.parent.name}"
        ) from error
    except Exception as error:  # broken pickles end in errors of every type
        raise RequestError(f'"{file}" is not a file of CIFAR: {reason(error)}', "get it anew") from error
    if not isinstance(content, dict):
        raise RequestError(f'"{file}" is not a file of CIFAR: it holds no dictionary', "get it anew")
    return content
