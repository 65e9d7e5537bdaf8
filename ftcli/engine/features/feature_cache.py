"""Outputs of networks that do not change, for whole sets: in memory for this command, on the disk for later ones."""

import hashlib
import inspect
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np
import timm
import torch
from torch import Tensor, nn

from ftcli.cache import entries as cache_entries
from ftcli.cache.cache import Cache, key
from ftcli.cache.entries import length
from ftcli.data import pixel_cache
from ftcli.data.loader import Loader
from ftcli.engine.device import Machine
from ftcli.engine.features.feature_matrix import FeatureMatrix

KIND = "features"
LIBRARIES = ("torch", "timm")
NPY_HEADER = 128  # bytes
IN_MEMORY = 2**30  # bytes; what is larger goes to a file

Shape = tuple[int, int]
Blocks = Callable[[], Iterator[Tensor]]  # computes the rows [n, D] of a set, batch after batch


class FeatureCache:
    """Matrices [N, D], a row for each image of a set, under keys of everything that they depend on.

    disk: where they are kept for later commands; None keeps them for this command only.
    """

    def __init__(self, machine: Machine, disk: Cache | None) -> None:
        self.machine, self.disk = machine, disk
        self._memory: dict[str, tuple[Tensor, int]] = {}  # with the bytes of memory that each takes

    def stores(self, model: nn.Module) -> bool:
        """Whether outputs of this model may go to the disk: only torch and timm compute them, whose versions are in the
        key. Other code may change without notice.
        """
        return self.disk is not None and not any(
            type(module).__module__.split(".")[0] not in LIBRARIES
            or module._forward_hooks
            or module._forward_pre_hooks
            or any(inspect.isroutine(value) for name, value in vars(module).items() if name != "train")
            for module in model.modules()
        )

    def in_memory(self, key: str) -> Tensor | None:
        """What `put_in_memory` has kept under this key, float32 [N, D]; or None."""
        return self._memory[key][0] if key in self._memory else None

    def put_in_memory(self, key: str, matrix: FeatureMatrix) -> Tensor:
        """Keep a matrix for the next run of a grid, mapped where it is a file. The oldest entries make room for it."""
        if isinstance(matrix.source, Tensor):
            self._memory[key] = matrix.source, matrix.source.nbytes
        elif matrix.device.type == "cpu":
            # Copy-on-write, though nothing is written: torch takes no array that may not be.
            mapped = np.memmap(matrix.source, np.float32, "c", matrix.start, matrix.shape).view(np.ndarray)
            self._memory[key] = torch.from_numpy(mapped), 0
        else:
            whole = torch.cat([block for _, block in matrix.blocks()])
            self._memory[key] = whole, whole.nbytes
        while len(self._memory) > 1 and sum(size for _, size in self._memory.values()) > IN_MEMORY:
            del self._memory[next(iter(self._memory))]
        return self._memory[key][0]

    def from_disk(self, key: str, shape: Shape, blocks: Blocks) -> FeatureMatrix | None:
        """The matrix on the disk, computed first where it is not there yet. None where the disk cannot keep it: no
        room, or no permission.
        """
        if self.disk is None:
            return None
        matrix = self._entry(self.disk, key, shape)
        if not self._in_every_process(matrix is not None):
            matrix = self._fill(self.disk, key, shape, blocks()) or self._entry(self.disk, key, shape)
        return matrix if self._in_every_process(matrix is not None) else None

    def compute(self, shape: Shape, blocks: Blocks) -> FeatureMatrix:
        """A new matrix, in memory or in a temporary file that nobody else sees and that ends with its last user."""
        if bytes_of(shape) <= IN_MEMORY:
            return FeatureMatrix.of(torch.cat(list(blocks())))
        with tempfile.TemporaryDirectory(prefix="ftcli-") as folder:
            path = Path(folder) / "features.npy"
            write_blocks(path, shape, blocks())
            return FeatureMatrix.open(path, self.machine.device)

    def _entry(self, disk: Cache, key: str, shape: Shape) -> FeatureMatrix | None:
        """The matrix on the disk, where it is there and complete."""
        file = cache_entries.find(disk, KIND, key)
        if file is None or length(file) != NPY_HEADER + bytes_of(shape):
            return None
        return FeatureMatrix.open(file, self.machine.device)

    def _fill(self, disk: Cache, key: str, shape: Shape, blocks: Iterator[Tensor]) -> FeatureMatrix | None:
        """Write the matrix batch by batch: it need not fit into memory. None where it cannot be written."""
        size = NPY_HEADER + bytes_of(shape)
        file = cache_entries.add(disk, KIND, key, lambda path: write_blocks(path, shape, blocks), size)
        if self.machine.processes > 1:  # the others need this one's batches even where it could write nothing
            for _ in blocks:
                pass
        self._in_every_process(True)  # nobody looks before everybody has written
        return None if file is None else FeatureMatrix.open(file, self.machine.device)

    def _in_every_process(self, here: bool) -> bool:
        """Whether it is true in every process, so that all do the same."""
        votes = self.machine.sum(torch.tensor([float(here)], device=self.machine.device))
        return int(votes) == self.machine.processes


def feature_key(network: str, loader: Loader, machine: Machine) -> str:
    """The key of a network's outputs for a set: everything that one of their bits depends on. network: its digest."""
    transform = loader.transform
    return key(
        network, pixel_cache.pixels_key(loader.data, transform), transform.normalisation_key,
        machine.precision, machine.name, f"batch {loader.batch_size}", f"threads {torch.get_num_threads()}",
        f"compiled {machine.compiled}", torch.__version__, timm.__version__,
    )  # fmt: skip


def network_digest(model: nn.Module, without: Collection[str] = ()) -> str:
    """SHA-256 of a network's modules with their settings, and of every byte of its tensors; `without` some modules."""
    digest = hashlib.sha256()
    for name, module in model.named_modules():
        if name not in without:
            settings = [f"{key}={value!r}" for key, value in sorted(vars(module).items()) if is_setting(key, value)]
            digest.update(f"{name} {type(module)} {settings} ".encode())
    for name, tensor in {**model.state_dict(), **dict(model.named_buffers())}.items():
        if name.rpartition(".")[0] not in without:
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def is_setting(name: str, value: object) -> bool:
    """Whether an attribute of a module says how it computes. How many classes there are is the head's business."""
    plain = value is None or isinstance(value, bool | int | float | str | tuple)
    return plain and name not in ("training", "num_classes")


def bytes_of(shape: Shape) -> int:
    """Of a float32 matrix."""
    return 4 * shape[0] * shape[1]


def write_blocks(path: Path, shape: Shape, blocks: Iterator[Tensor]) -> None:
    """A float32 .npy file of this shape, written block after block."""
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for block in blocks:
            file.write(block.float().cpu().contiguous().numpy().data)
