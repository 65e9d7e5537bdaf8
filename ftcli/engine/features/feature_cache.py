"""What a network that stays as it is makes of a set: computed once, kept in the cache or for this run."""

import hashlib
import inspect
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import timm
import torch
from torch import Tensor, nn

from ftcli import cache_entries
from ftcli.cache import Cache, key
from ftcli.cache_entries import length
from ftcli.data import pixel_cache as pixels
from ftcli.data.loaders import Loader
from ftcli.engine.device import Machine
from ftcli.engine.features.feature_matrix import FeatureMatrix

KIND = "features"
LIBRARIES = ("torch", "timm")
NPY_HEADER = 128  # bytes
IN_MEMORY = 2**30  # bytes; what is larger goes to a file

Shape = tuple[int, int]
Blocks = Callable[[], Iterator[Tensor]]  # makes the rows [n, D] of a set, batch after batch


@dataclass(frozen=True)
class Keeper:
    """Keeps matrices [N, D], one row for each image of a set, under names that say all they depend on."""

    machine: Machine
    cache: Cache | None
    folders: list[tempfile.TemporaryDirectory[str]] = field(default_factory=list)  # of what no cache keeps

    def from_cache(self, name: str, shape: Shape, blocks: Blocks) -> FeatureMatrix | None:
        """The cache's, where it is put first if it is not there yet. None where no cache can keep it: no room, no
        permission.
        """
        if self.cache is None:
            return None
        found = self.entry(self.cache, name, shape)
        if not self.everywhere(found is not None):
            found = self.fill(self.cache, name, shape, blocks()) or self.entry(self.cache, name, shape)
        return found if self.everywhere(found is not None) else None

    def for_this_run(self, shape: Shape, blocks: Blocks) -> FeatureMatrix:
        """In memory, or in a file that lives as long as this object."""
        if bytes_of(shape) <= IN_MEMORY:
            return FeatureMatrix.of(torch.cat(list(blocks())))
        self.folders.append(tempfile.TemporaryDirectory(prefix="ftcli-"))
        path = Path(self.folders[-1].name) / "features.npy"
        write_blocks(path, shape, blocks())
        return FeatureMatrix.open(path, self.machine.device)

    def entry(self, cache: Cache, name: str, shape: Shape) -> FeatureMatrix | None:
        """The entry, where there is one and it is whole."""
        file = cache_entries.find(cache, KIND, name)
        if file is None or length(file) != NPY_HEADER + bytes_of(shape):
            return None
        return FeatureMatrix.open(file, self.machine.device)

    def fill(self, cache: Cache, name: str, shape: Shape, blocks: Iterator[Tensor]) -> FeatureMatrix | None:
        """Put it into the cache, batch by batch: it need not fit into memory. None where it cannot be kept."""
        size = NPY_HEADER + bytes_of(shape)
        file = cache_entries.add(cache, KIND, name, lambda path: write_blocks(path, shape, blocks), size)
        if self.machine.processes > 1:  # the others need this one's part even where it could write nothing
            for _ in blocks:
                pass
        self.everywhere(True)  # nobody looks before everybody has written
        return None if file is None else FeatureMatrix.open(file, self.machine.device)

    def everywhere(self, here: bool) -> bool:
        """Whether it holds in every process, so that all take the same way."""
        votes = self.machine.sum(torch.tensor([float(here)], device=self.machine.device))
        return int(votes) == self.machine.processes


class Shelf:
    """Matrices that one command has at hand for the next run of its grid; in memory at most so many bytes."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[Tensor, int]] = {}  # with the bytes that it takes of memory

    def find(self, name: str) -> Tensor | None:
        """float32 [N, D], or None."""
        return self._held[name][0] if name in self._held else None

    def put(self, name: str, matrix: FeatureMatrix) -> Tensor:
        """Keep it, mapped where it is a file; what has been here longest makes room."""
        if isinstance(matrix.source, Tensor):
            self._held[name] = matrix.source, matrix.source.nbytes
        elif matrix.device.type == "cpu":
            # Copy-on-write, though nothing is written: torch takes no array that may not be.
            mapped = np.memmap(matrix.source, np.float32, "c", matrix.start, matrix.shape).view(np.ndarray)
            self._held[name] = torch.from_numpy(mapped), 0
        else:
            whole = torch.cat([block for _, block in matrix.blocks()])
            self._held[name] = whole, whole.nbytes
        while len(self._held) > 1 and sum(size for _, size in self._held.values()) > IN_MEMORY:
            del self._held[next(iter(self._held))]
        return self._held[name][0]


def name_of(weights: str, loader: Loader, machine: Machine) -> str:
    """The key of what weights make of a set: everything that one of its bits depends on."""
    transform = loader.transform
    return key(
        weights, pixels.pixels_key(loader.data, transform), transform.normalisation_key,
        machine.precision, machine.name, f"batch {loader.batch_size}", f"threads {torch.get_num_threads()}",
        f"compiled {machine.compiled}", torch.__version__, timm.__version__,
    )  # fmt: skip


def digest_of(model: nn.Module, besides: str | None = None) -> str:
    """Digest of a network: its parts with their settings, and every byte of its tensors; `besides` one part."""
    found = hashlib.sha256()
    for name, module in model.named_modules():
        if name != besides:
            settings = [f"{key}={value!r}" for key, value in sorted(vars(module).items()) if is_setting(key, value)]
            found.update(f"{name} {type(module)} {settings} ".encode())
    for name, tensor in {**model.state_dict(), **dict(model.named_buffers())}.items():
        if name.rpartition(".")[0] != besides:
            found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
            found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return found.hexdigest()


def is_setting(name: str, value: object) -> bool:
    """Whether an attribute of a module says how it computes. How many classes there are is the head's business."""
    plain = value is None or isinstance(value, bool | int | float | str | tuple)
    return plain and name not in ("training", "num_classes")


def known_code(model: nn.Module) -> bool:
    """Whether only torch and timm compute here, whose versions are in the key; other code may change unseen."""
    return not any(
        type(module).__module__.split(".")[0] not in LIBRARIES
        or module._forward_hooks
        or module._forward_pre_hooks
        or any(inspect.isroutine(value) for key, value in vars(module).items() if key != "train")
        for module in model.modules()
    )


def bytes_of(shape: Shape) -> int:
    """Of a float32 matrix."""
    return 4 * shape[0] * shape[1]


def write_blocks(path: Path, shape: Shape, blocks: Iterator[Tensor]) -> None:
    """A float32 .npy file of this shape, written block after block."""
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for block in blocks:
            file.write(block.float().cpu().contiguous().numpy().data)
