"""The file formats of weights, read without running code: safetensors, and torch.save by weights-only loading."""

import argparse
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ftcli.errors import RequestError
from ftcli.limits import MAX_CHECKPOINT_DEPTH, MAX_CHECKPOINT_ENTRIES, MAX_HEADER_BYTES, MAX_NAME_SHOWN
from ftcli.log import Log
from ftcli.safe_text import reason, shortened

SAFETENSORS = (".safetensors",)
TORCH = (".pth", ".pt", ".bin", ".ckpt", ".tar")

# Where training programs put the weights inside a torch file, the averaged copy first as timm does.
_NESTED_KEYS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict", "net", "network", "module")
_CONVERT = (
    "where you trust the file, convert it: torch.load it there, pick its dict of tensors, "
    "and write that with safetensors.torch.save_file(tensors, 'model.safetensors')"
)


class TensorFile(Protocol):
    """Named tensors in a file: the shapes are known at once, the values when asked for."""

    shapes: dict[str, tuple[int, ...]]

    def read(self, names: Iterable[str]) -> dict[str, Tensor]:
        """The named tensors, on the CPU, in the dtype of the file."""


def open_tensors(path: Path, log: Log) -> TensorFile:
    """Open a weights file. The format is detected from its content, else from its suffix. Raises RequestError for any
    other file.
    """
    if not path.is_file():  # to read a pipe or a device could last for ever
        raise RequestError(f"{path} is no regular file", "name the file that holds the weights")
    with path.open("rb") as file:
        if file.read(23) == b"version https://git-lfs":
            raise RequestError(f"{path} is a git-lfs pointer, not the weights", "fetch them with: git lfs pull")
    match _kind(path):
        case "safetensors":
            return SafetensorsFile(path)
        case "torch":
            return TorchFile(path, log)
    raise RequestError(
        f"{path} is not a weights file: neither safetensors nor a file of torch.save",
        f"convert it to one of {', '.join(SAFETENSORS + TORCH)}",
    )


def is_weights_file(path: Path) -> bool:
    """Whether the content or the suffix of a regular file is that of weights."""
    return bool(_kind(path))


def _kind(path: Path) -> str:
    """ "safetensors", "torch", or "" for neither."""
    with path.open("rb") as file:
        start = file.read(9)
    if start[8:] == b"{" and int.from_bytes(start[:8], "little") <= MAX_HEADER_BYTES:
        return "safetensors"
    if start.startswith((b"PK\x03\x04", b"\x80")):  # a zip file, or a pickle of protocol 2 or later
        return "torch"
    return "safetensors" if path.suffix in SAFETENSORS else "torch" if path.suffix in TORCH else ""


class SafetensorsFile:
    """A safetensors file. Opening reads the header alone, and checks it against the length of the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise RequestError(
                f"{path} is not a safetensors file: its header says it has {length:,} bytes, at most "
                f"{MAX_HEADER_BYTES:,} are read",
                "copy or download it again; compare the sizes",
            )
        try:
            with safe_open(path, framework="pt", device="cpu") as file:
                self.shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise RequestError(
                f"{path} is not a whole safetensors file: {error}", "copy or download it again; compare the sizes"
            ) from error
        if not self.shapes:
            raise RequestError(f"{path} holds no tensors")

    def read(self, names: Iterable[str]) -> dict[str, Tensor]:
        """The named tensors. Raises RequestError where torch does not know a dtype."""
        try:
            with safe_open(self._path, framework="pt", device="cpu") as file:
                return {name: file.get_tensor(name) for name in names}
        except (SafetensorError, OSError, AttributeError) as error:
            raise RequestError(f"{self._path} cannot be read: {error}") from error


class TorchFile:
    """A file of torch.save, opened with weights_only: tensors and plain containers, never anybody's class."""

    def __init__(self, path: Path, log: Log) -> None:
        _check_not_compressed(path)
        try:
            self._tensors, inside = _state_dict(_load(path))
        except (_TooManyEntries, RecursionError) as error:
            raise RequestError(f"{path} holds dicts in dicts without end: refused", _CONVERT) from error
        if not self._tensors:
            raise RequestError(f"{path} holds no tensors", "give the file that holds the model's state_dict")
        if inside:
            log.note(f'{path.name}: the weights are those under "{inside}"')
        for name, tensor in self._tensors.items():
            _check_extent(name, tensor, path)
        self.shapes = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}

    def read(self, names: Iterable[str]) -> dict[str, Tensor]:
        """The named tensors; those of a zip file are mapped from the disk, not copied."""
        return {name: self._tensors[name].detach() for name in names}


class _TooManyEntries(Exception):
    """Raised where a tree has more entries than any file of weights."""


def _check_not_compressed(path: Path) -> None:
    """Raises RequestError for a zip file that would unpack to more than its size: torch.save does not compress."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as file:
            unpacked = sum(entry.file_size for entry in file.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise RequestError(f"{path} is a damaged zip file: {error}", "copy or download it again") from error
    if unpacked > path.stat().st_size:
        raise RequestError(
            f"{path} has {path.stat().st_size:,} bytes and would unpack to {unpacked:,}: torch.save packs nothing",
            _CONVERT,
        )


def _check_extent(name: str, tensor: Tensor, path: Path) -> None:
    """Raises RequestError for a tensor that claims more values than the file has bytes for."""
    plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
    stored = min(tensor.untyped_storage().nbytes(), path.stat().st_size) if plain else 0
    if not plain or tensor.numel() * tensor.element_size() > stored:
        which = shortened(name, MAX_NAME_SHOWN)
        raise RequestError(
            f"{path}: {which} is {list(tensor.shape)}, and the file does not hold all its values",
            "save plain tensors: tensor.detach().cpu().to_dense().contiguous()",
        )


def _load(path: Path) -> object:
    """torch.load with weights_only. argparse.Namespace is allowed: many training programs save their options in it."""
    try:
        with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        if blocked := named[1] if named else _first_import(path):
            raise RequestError(
                f"{path} is a pickle that needs {blocked}: refused, nothing was run", _CONVERT
            ) from error
        raise RequestError(f"{path} is damaged or holds more than tensors: refused", _CONVERT) from error
    except Exception as error:  # an unpickler raises errors of nearly any type for damaged bytes
        raise RequestError(
            f"{path} cannot be read as a torch file: {reason(error)}", "copy or download it again"
        ) from error


def _first_import(path: Path) -> str | None:
    """The first object that a bare pickle would import, read from its opcodes without running them."""
    strings: list[str] = []
    try:
        with path.open("rb") as file:
            for opcode, value, _ in pickletools.genops(file):
                if opcode.name == "GLOBAL":
                    return str(value).replace(" ", ".")
                if opcode.name == "STACK_GLOBAL":
                    return ".".join(strings[-2:])
                if isinstance(value, str):
                    strings.append(value)
    except (ValueError, OSError, OverflowError, MemoryError, LookupError):  # lengths in the file may be wrong
        return None
    return None


def _state_dict(loaded: object) -> tuple[dict[str, Tensor], str]:
    """The tensors of a torch file by name, and the keys that lead to them ("" for none).

    Where no known key leads to tensors, nested dicts are joined by dots: {"teacher": {"w": t}} is {"teacher.w": t}.
    """
    inside: list[str] = []
    while isinstance(loaded, Mapping):
        if len(inside) > MAX_CHECKPOINT_DEPTH:
            raise _TooManyEntries
        known = next((k for k in _NESTED_KEYS if isinstance(loaded.get(k), Mapping) and _flat(loaded[k])), None)
        if known is None:
            break
        inside.append(known)
        loaded = loaded[known]
    return _flat(loaded) if isinstance(loaded, Mapping) else {}, ".".join(inside)


def _flat(tree: Mapping[Any, Any]) -> dict[str, Tensor]:
    """Every tensor in nested dicts, its keys joined by dots. Entries are counted: a dict can hold another twice."""
    flat: dict[str, Tensor] = {}
    rest: list[tuple[str, Mapping[Any, Any]]] = [("", tree)]
    seen = 0
    while rest:
        path, entries = rest.pop()
        seen += 1 + len(entries)
        if seen > MAX_CHECKPOINT_ENTRIES or path.count(".") > MAX_CHECKPOINT_DEPTH:
            raise _TooManyEntries
        for key, value in entries.items():
            if isinstance(value, Tensor):
                flat[f"{path}{key}"] = value
            elif isinstance(value, Mapping):
                rest.append((f"{path}{key}.", value))
    return flat
