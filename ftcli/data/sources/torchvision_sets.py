"""The classification sets of torchvision, from files that are there already: nothing is ever downloaded.

Sets of files give their paths, sets of arrays their pixels; any other gives its images through torchvision itself.
"""

import inspect
import io
import os
import re
from collections.abc import Iterator
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import torchvision.datasets as sets
from PIL import Image

from ftcli.cache.cache import Cache
from ftcli.data.rows import ImageFeature, Rows, Splits, file_rows, label_feature, numbered
from ftcli.data.sources.arrays import array_rows
from ftcli.data.sources.cifar import cifar_rows
from ftcli.data.specs.spec import Spec
from ftcli.errors import RequestError, suggest
from ftcli.limits import MAX_REASON
from ftcli.log import Log
from ftcli.safe_text import quoted, reason, shortened

Arguments = dict[str, str | bool]  # of a class of torchvision, as they choose a split
SPLIT_ARGUMENTS = ("split", "image_set", "version")  # what the classes call the choice of a split
PASSED = ("root", "download", "loader", "train", *SPLIT_ARGUMENTS)
EXECUTES = ("LSUN", "LSUNClass")  # keep a pickle beside their files and execute it


def open_splits(spec: Spec, log: Log, *, labelled: bool, cache: Cache | None = None) -> Splits:
    """The splits of a class of torchvision.datasets, as its own arguments name them; "train" alone where it has none.

    Raises:
        RequestError: there is no such class, it is no classification, or root= is missing or not needed.
    """
    kind = _class(spec)
    known = _parameters(kind)
    needed = [name for name, parameter in known.items() if parameter.default is parameter.empty and name not in PASSED]
    if needed or spec.location in EXECUTES:
        why = (
            f"needs {' and '.join(needed)} besides files" if needed else "executes a pickle that lies beside its files"
        )
        raise RequestError(f"torchvision's {spec.location} {why}", "convert it to an image folder or to parquet")
    root = _root(spec, kind, known)
    if issubclass(kind, sets.CIFAR10):
        folder, meta = Path(root) / kind.base_folder, kind.meta
        files = {"train": kind.train_list, "test": kind.test_list}
        return {
            name: partial(cifar_rows, folder, [file for file, _ in of_split], meta["filename"], meta["key"])
            for name, of_split in files.items()
        }
    return {name: partial(_rows, spec, kind, root, chosen) for name, chosen in _splits(kind, known, root).items()}


def _class(spec: Spec) -> Any:
    kinds = {name: kind for name in sets.__all__ if inspect.isclass(kind := getattr(sets, name))}
    if spec.location in kinds:
        return kinds[spec.location]
    same = next((name for name in kinds if name.lower() == spec.location.lower()), spec.location)
    some = "type the name of a class of torchvision.datasets, as MNIST, STL10 or EuroSAT"
    raise RequestError(f'torchvision.datasets has no "{spec.location}"', suggest(same, kinds) or some)


def _parameters(kind: Any) -> dict[str, inspect.Parameter]:
    """What a class takes, with what it passes on to its parents by **kwargs."""
    parameters: dict[str, inspect.Parameter] = {}
    for base in kind.__mro__:
        own = inspect.signature(base.__init__).parameters
        plain = {
            name: parameter for name, parameter in own.items() if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        }
        parameters = plain | parameters
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in own.values()):
            break
    parameters.pop("self")
    return parameters


def _root(spec: Spec, kind: Any, known: dict[str, inspect.Parameter]) -> str:
    """The folder of root=, which torchvision looks into."""
    if "root" not in known:
        if spec.root:
            raise RequestError(f"{spec.text}: {spec.location} reads no files", "leave root= out")
        return ""
    if spec.root is None:
        raise RequestError(f"{spec.text} does not say where its files are", f"add root=DIR. {_where(kind, 'DIR')}")
    root = Path(spec.root).expanduser()
    if not root.is_dir():
        near = suggest(root.name, [entry.name for entry in root.parent.iterdir()]) if root.parent.is_dir() else ""
        raise RequestError(f'{spec.text}: there is no folder "{root}"', near or _where(kind, str(root)))
    return str(root)


def _where(kind: Any, root: str) -> str:
    """Where the files of a class must lie, and how to get them there."""
    folder = _files_of(kind, Path(root))
    where = f"Its files lie in {folder}" + (" as torchvision puts them" if folder == Path(root) else "")
    if "download" not in _parameters(kind):
        return f"{where}; the page of torchvision.datasets.{kind.__name__} says how"
    return f"{where}; torchvision.datasets.{kind.__name__}({root!r}, download=True) in Python gets them"


def _files_of(kind: Any, root: Path) -> Path:
    """The folder that a class looks for its files in."""
    subfolder = f"{kind.__name__}/raw" if issubclass(kind, sets.MNIST) else getattr(kind, "base_folder", "")
    return root / subfolder if isinstance(subfolder, str) else root


def _splits(kind: Any, known: dict[str, inspect.Parameter], root: str) -> dict[str, Arguments]:
    """Every split by name, with the arguments that choose it. Where two arguments do (EMNIST), a dot joins them."""
    named = next((name for name in SPLIT_ARGUMENTS if name in known), None)
    halves: dict[str, Arguments] = {"train": {"train": True}, "test": {"train": False}} if "train" in known else {}
    if named is None:
        return halves or {"train": {}}
    # `datasets` reads the names, and allows letters, digits and _ in them; a sum is typed as a sum of its terms.
    values: dict[str, Arguments] = {
        re.sub(r"\W", "_", value): {named: value} for value in _values(kind, named, root) if "+" not in value
    }
    if not halves:
        return values or {"train": {}}
    return {f"{name}.{half}": first | second for name, first in values.items() for half, second in halves.items()}


def _values(kind: Any, argument: str, root: str) -> list[str]:
    """What an argument may be: torchvision lists it when given another value, before it opens any file."""
    try:
        kind(root, **{argument: "?"})
    except ValueError as refusal:
        return re.findall(r"'([^']*)'", str(refusal).partition("Valid values are")[2])
    except Exception as error:
        why = reason(error)
        raise RequestError(f'{kind.__name__} cannot be read from "{root}": {why}', _where(kind, root)) from error
    return []


def _rows(spec: Spec, kind: Any, root: str, chosen: Arguments) -> Rows:
    """One split, opened."""
    known = _parameters(kind)
    if root:
        _check_files(kind, Path(root), chosen)
    fixed = {"download": False, "loader": _path_itself, "root": root}
    try:
        opened = kind(**{name: value for name, value in fixed.items() if name in known}, **chosen)
        first = opened[0] if len(opened) else None
    except Exception as error:  # missing files, missing packages and damaged files have no common type
        why = shortened(str(error).partition("You can use")[0].strip() or type(error).__name__, MAX_REASON)
        raise RequestError(f'{spec.location} cannot be read from "{root}": {why}', _where(kind, root)) from error
    if first is not None and not (isinstance(first, tuple) and len(first) == 2 and _is_number(first[1])):
        raise RequestError(
            f"torchvision's {spec.location} is no classification: its examples are not an image and a class number",
            "choose a set of classes; detection, segmentation, pairs and attributes are other tasks",
        )
    names = _names(opened)
    if (arrays := _arrays(opened)) is not None:
        return array_rows(*arrays, names)
    images, values = zip(*_examples(opened), strict=True) if first is not None else ((), ())
    if all(isinstance(image, str) for image in images):
        return file_rows(images, Path(root), values, names)
    table = pa.table({"image": pa.array(images, pa.large_binary()), "label": pa.array(values, pa.int64())})
    return numbered(table, {"image": ImageFeature(), **label_feature(names)})


def _check_files(kind: Any, root: Path, chosen: Arguments) -> None:
    """Raises RequestError for what torchvision would wait for (a pipe), or unpack into the folder of the data."""
    for folder in (root, _files_of(kind, root)):
        for entry in os.scandir(folder) if folder.is_dir() else ():
            if entry.name.startswith(".") or entry.is_dir() or entry.is_file() or not os.path.exists(entry.path):
                continue
            raise RequestError(f"{quoted(entry.path)} is no regular file", "leave it out of the folder")
    if kind is sets.ImageNet and not ((root / "meta.bin").is_file() and (root / str(chosen["split"])).is_dir()):
        raise RequestError(
            f'ImageNet in "{root}" is not unpacked: there is no meta.bin, or no folder "{chosen["split"]}"',
            f"torchvision.datasets.ImageNet({str(root)!r}, split={chosen['split']!r}) in Python unpacks it",
        )


def _path_itself(path: Any) -> Any:
    """Stands in for the function that loads an image, so that an example is its path and nothing is decoded."""
    return path


def _is_number(target: Any) -> bool:
    return isinstance(target, Integral) or (isinstance(target, torch.Tensor | np.ndarray) and target.ndim == 0)


def _names(opened: Any) -> list[str]:
    """The names of the classes in order, where a set has one for each. ImageNet's own are not unique; its ids are."""
    names = getattr(opened, "wnids", None) or getattr(opened, "classes", None) or getattr(opened, "categories", None)
    if not names and (index := getattr(opened, "class_to_idx", None)):
        names = sorted(index, key=index.__getitem__)
    names = [str(name) for name in names or ()]
    return names if len(set(names)) == len(names) else []


def _arrays(opened: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Pixels, uint8 [N, …], and labels, int64 [N], of a set that keeps all of them as arrays."""
    pixels, labels = getattr(opened, "data", None), getattr(opened, "targets", getattr(opened, "labels", None))
    if not isinstance(pixels, torch.Tensor | np.ndarray) or labels is None:
        return None
    pixels, values = np.asarray(pixels), np.asarray(labels)
    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or values.shape != (len(pixels),):
        return None
    return pixels, values.astype(np.int64)


def _examples(opened: Any) -> Iterator[tuple[str | bytes, int]]:
    """Path, or image as PNG where there is no file of its own, and class number of every example."""
    pairs = getattr(opened, "_samples", None) or [
        *zip(getattr(opened, "_images", ()), getattr(opened, "_labels", ()), strict=False)
    ]
    of_files = len(pairs) == len(opened) and isinstance(pairs[0][0], str | Path)
    for content, target in pairs if of_files else _items(opened):
        if isinstance(content, Image.Image):
            content = getattr(content, "filename", "") or _png(content)
        yield content if isinstance(content, bytes) else str(content), int(target)


def _items(opened: Any) -> Iterator[tuple[Any, Any]]:
    """The examples as torchvision gives them."""
    for i in range(len(opened)):
        try:
            yield opened[i]
        except Exception as error:  # as decoders meet damaged bytes
            fix = "repair or remove it"
            raise RequestError(f"example {i} of torchvision's {type(opened).__name__}: {reason(error)}", fix) from error


def _png(image: Image.Image) -> bytes:
    """An image without loss."""
    written = io.BytesIO()
    image.save(written, "PNG", compress_level=1)
    return written.getvalue()
