"""A body that does not change: its features are computed once per (weights, pictures, transform, machine) and kept."""

import hashlib
import inspect
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import timm
import torch
from torch import Tensor, nn

from ftcli.cache import Cache, key
from ftcli.data import store as pixels
from ftcli.data.loaders import Loader
from ftcli.engine.device import Machine
from ftcli.engine.matrix import Matrix
from ftcli.engine.predict import passes, predict
from ftcli.engine.setting import Setting
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.model.head import head_of

KIND = "features"
LIBRARIES = ("torch", "timm")
NPY_HEADER = 128  # bytes
IN_MEMORY = 2**30  # bytes; without a cache, larger features go to a temporary file


@dataclass(frozen=True)
class FrozenBody:
    """A model whose body stays as it is while this object lives; its head may change.

    Features come from the cache where they are there, and go into it where they are not.
    """

    model: nn.Module
    machine: Machine
    cache: Cache | None
    log: Log
    known: dict[Loader, Matrix] = field(default_factory=dict)
    folders: list[tempfile.TemporaryDirectory[str]] = field(default_factory=list)  # of features that no cache keeps

    def features(self, loader: Loader, label: str) -> Matrix:
        """The features [N, D] of a whole set, in its order."""
        if loader not in self.known:
            self.known[loader] = self.found_or_made(loader, label)
        return self.known[loader]

    def found_or_made(self, loader: Loader, label: str) -> Matrix:
        """From the cache, into which they are put first where they are not there yet; else computed for this object."""
        shape = (loader.n, head_of(self.model).weight.shape[1])
        if self.cache is None or not self.known_code:
            return self.uncached(shape, loader, label)
        name = self.name_of(loader)
        found = self.kept(self.cache, name, shape)
        if not self.everywhere(found is not None):
            self.fill(self.cache, name, shape, loader, label)
            found = self.kept(self.cache, name, shape)
        # What no cache folder could keep (no room, no permission) is computed as if there were no cache.
        if not self.everywhere(found is not None):
            return self.uncached(shape, loader, label)
        assert found is not None
        return found

    def kept(self, cache: Cache, name: str, shape: tuple[int, int]) -> Matrix | None:
        """The entry, where there is one and it is whole."""
        path = cache.find(KIND, name)
        if path is None:
            return None
        try:
            found = Matrix.open(path, self.machine.device)
            if found.shape == shape and path.stat().st_size == found.start + 4 * shape[0] * shape[1]:
                return found
        except (RequestError, OSError):
            pass
        cache.discard(KIND, name)
        return None

    def whole(self, loader: Loader, label: str) -> Tensor:
        """The same in memory, on the CPU."""
        return torch.cat([block.to("cpu", copy=True) for _, block in self.features(loader, label).blocks()])

    def logits(self, loader: Loader, label: str) -> Tensor:
        """The logits [N, K] of a whole set under the head of now, float32 on the CPU."""
        head = head_of(self.model)
        blocks = (block for _, block in self.features(loader, label).blocks())  # [n, D]
        return torch.cat([head(batch).cpu() for block in blocks for batch in block.split(loader.batch_size)])

    def name_of(self, loader: Loader) -> str:
        """The key of the features: everything that one of their bits depends on."""
        machine, transform = self.machine, loader.transform
        return key(
            self.weights, pixels.name_of(loader.data.images, transform), f"{transform.mean} {transform.std}",
            machine.precision, machine.name, f"batch {loader.batch_size}", f"threads {torch.get_num_threads()}",
            f"compiled {machine.compiled}", torch.__version__, timm.__version__,
        )  # fmt: skip

    @cached_property
    def weights(self) -> str:
        """Digest of the body: its parts with their settings, and every byte of its tensors."""
        whole, head = hashlib.sha256(), head_of(self.model).name
        for name, module in self.model.named_modules():
            if name != head:
                settings = [f"{key}={value!r}" for key, value in sorted(vars(module).items()) if is_setting(key, value)]
                whole.update(f"{name} {type(module)} {settings} ".encode())
        for name, tensor in {**self.model.state_dict(), **dict(self.model.named_buffers())}.items():
            if name.rpartition(".")[0] != head:
                whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
                whole.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return whole.hexdigest()

    @cached_property
    def known_code(self) -> bool:
        """Whether only torch and timm compute here, whose versions are in the key; other code may change unseen."""
        return not any(
            type(module).__module__.split(".")[0] not in LIBRARIES
            or module._forward_hooks
            or module._forward_pre_hooks
            or any(inspect.isroutine(value) for key, value in vars(module).items() if key != "train")
            for module in self.model.modules()
        )

    def everywhere(self, here: bool) -> bool:
        """Whether it holds in every process, so that all take the same way."""
        votes = self.machine.sum(torch.tensor([float(here)], device=self.machine.device))
        return int(votes) == self.machine.processes

    def fill(self, cache: Cache, name: str, shape: tuple[int, int], loader: Loader, label: str) -> None:
        """Compute the features and put them into the cache, batch by batch: they need not fit into memory."""
        blocks = self.blocks(loader, label)
        size = NPY_HEADER + 4 * shape[0] * shape[1]
        cache.add(KIND, name, lambda path: write_blocks(path, shape, blocks), size)
        if self.machine.processes > 1:  # the others need this one's part even where it could write nothing
            for _ in blocks:
                pass
        self.everywhere(True)  # nobody looks before everybody has written

    def uncached(self, shape: tuple[int, int], loader: Loader, label: str) -> Matrix:
        blocks = self.blocks(loader, label)
        if shape[0] * shape[1] * 4 <= IN_MEMORY:
            return Matrix.of(torch.cat(list(blocks)))
        self.folders.append(tempfile.TemporaryDirectory(prefix="ftcli-"))
        path = Path(self.folders[-1].name) / "features.npy"
        write_blocks(path, shape, blocks)
        return Matrix.open(path, self.machine.device)

    def blocks(self, loader: Loader, label: str) -> Iterator[Tensor]:
        for part in passes(self.model, loader, self.machine, self.log, label):
            yield part.features


def all_logits(model: nn.Module, setting: Setting, log: Log, frozen: bool) -> dict[str, Tensor]:
    """The logits [N, K] of every set of a task. `frozen`: this body may come again, so its features are kept."""
    if frozen:
        body = FrozenBody(model, setting.machine, setting.cache, log)
        return {name: body.logits(loader, name) for name, loader in setting.sets.items()}
    return {name: predict(model, loader, setting.machine, log, name).logits for name, loader in setting.sets.items()}


def is_setting(name: str, value: object) -> bool:
    """Whether an attribute of a module says how it computes. How many classes there are is the head's business."""
    plain = value is None or isinstance(value, bool | int | float | str | tuple)
    return plain and name not in ("training", "num_classes")


def write_blocks(path: Path, shape: tuple[int, int], blocks: Iterator[Tensor]) -> None:
    """A float32 .npy file of this shape, written block after block."""
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for block in blocks:
            file.write(block.float().cpu().contiguous().numpy().data)
