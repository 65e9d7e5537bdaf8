"""A head from a file of its own: one row of weights for each class, by name, as a zero-shot classifier is stored."""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.safe_text import first_few, listed, quoted, reason


def read_head_weights(path: Path, classes: Sequence[str], width: int, log: Log) -> Tensor:
    """The rows [K, D] of the classes, in their order: D numbers for each, `width` of them, in a tensor of its name.

    Rows of other classes are left out with a note. Raises RequestError where the file cannot be read, a class has no
    row, or a row is of another width, not floating or not finite.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            check_rows(path, shapes, classes, width)
            rows = [file.get_tensor(name) for name in classes]
    except (OSError, SafetensorError) as error:
        raise RequestError(
            f"--head-weights {path}: {reason(error)}", "give a safetensors file with one tensor for each class"
        ) from error
    for name, row in zip(classes, rows, strict=True):
        if not (row.is_floating_point() and row.isfinite().all()):
            raise RequestError(
                f"--head-weights {path}: the row of {quoted(name)} is not of finite floating-point numbers.",
                "store it as float32",
            )
    if others := [name for name in shapes if name not in set(classes)]:
        log.note(f"--head-weights {path}: rows of classes that the task does not have are left out: {listed(others)}")
    return torch.stack([row.float() for row in rows])


def check_rows(path: Path, shapes: dict[str, tuple[int, ...]], classes: Sequence[str], width: int) -> None:
    """Raises RequestError unless every class has a row of `width` numbers."""
    if missing := [name for name in classes if name not in shapes]:
        raise RequestError(
            f"--head-weights {path}: no row for {listed(missing)}; it has {listed(list(shapes)) or 'no tensors'}.",
            "name each tensor by its class, as the target names it",
        )
    if other := [f"{quoted(name)} {list(shapes[name])}" for name in classes if shapes[name] != (width,)]:
        raise RequestError(
            f"--head-weights {path}: the network has {width} features, and the rows are {first_few(other)}.",
            f"store {width} numbers for each class; for a CLIP model multiply its text embeddings by the projection",
        )
