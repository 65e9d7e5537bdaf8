"""Weights in several files of one folder, with an index that says which tensor lies where."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from ftcli.errors import RequestError
from ftcli.files import read_json
from ftcli.log import Log
from ftcli.model.checkpoints.formats import open_tensors
from ftcli.safe_text import listed, quoted, reason

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_COPY_AGAIN = "copy or download the folder again"


class ShardedFile:
    """All shards of an index, as one file. Their headers are read at once, and checked against the index."""

    def __init__(self, index: Path, log: Log) -> None:
        self._file_of = tensor_files(index)
        names = dict.fromkeys(self._file_of.values())
        self._shards = {name: open_tensors(index.parent / name, log) for name in names}
        self.shapes = {tensor: self._shards[name].shapes.get(tensor, ()) for tensor, name in self._file_of.items()}
        in_shards = {(tensor, name) for name, shard in self._shards.items() for tensor in shard.shapes}
        if wrong := sorted(tensor for tensor, _ in in_shards ^ set(self._file_of.items())):
            raise RequestError(f"{index} and its shards do not hold the same tensors: {listed(wrong)}", _COPY_AGAIN)

    def read(self, names: Iterable[str]) -> dict[str, Tensor]:
        """The named tensors, on the CPU, in the dtype of the files."""
        tensors = list(names)
        values: dict[str, Tensor] = {}
        for name, shard in self._shards.items():
            values |= shard.read([tensor for tensor in tensors if self._file_of[tensor] == name])
        return values


def tensor_files(index: Path) -> dict[str, str]:
    """{tensor: file} of an index. Raises RequestError for what is no index, or names a file outside the folder."""
    try:
        content = read_json(index)
        files = content["weight_map"] if isinstance(content, Mapping) else None
    except (OSError, ValueError, LookupError) as error:
        raise RequestError(f"{index} is not an index of weights: {reason(error)}", _COPY_AGAIN) from error
    if not isinstance(files, Mapping) or not files:
        raise RequestError(f"{index} is not an index of weights: it names no tensor", _COPY_AGAIN)
    for name in files.values():
        if not isinstance(name, str) or name != Path(name).name or "\\" in name or "\0" in name or name in ("", ".."):
            raise RequestError(f"{index} names {quoted(str(name))}, which is no file of its folder", _COPY_AGAIN)
    return {str(tensor): name for tensor, name in files.items()}


def shards_of(index: Path) -> list[Path]:
    """The files of an index, in the order of their names. Raises RequestError for one that is missing."""
    files = sorted({index.parent / name for name in tensor_files(index).values()})
    if missing := [path.name for path in files if not path.is_file()]:
        raise RequestError(f"{index.parent} lacks {listed(missing)}, which {index.name} names", _COPY_AGAIN)
    return files
