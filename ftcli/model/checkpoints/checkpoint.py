"""Open a checkpoint wherever it is: the header is read and judged, the tensors wait until they are asked for."""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import timm
from torch import Tensor

import ftcli.presets
from ftcli.errors import RequestError, suggest
from ftcli.limits import MAX_REASON
from ftcli.log import Log
from ftcli.model.checkpoints import hub
from ftcli.model.checkpoints.formats import SAFETENSORS, TORCH, TensorFile, holds_tensors, open_tensors
from ftcli.model.checkpoints.prefixes import Names, unwrap
from ftcli.model.checkpoints.shards import INDEXES, ShardedFile, shards_of
from ftcli.model.checkpoints.timm_config import config_beside, config_named
from ftcli.text import listed, shortened

WHOLE = (*hub.WEIGHTS, *INDEXES)  # names in a folder that stand for all of its weights
_FORMS = "a weights file, a folder with config.json and model.safetensors, hf-hub:NAME, or a pretrained tag of timm"


@dataclass
class Checkpoint:
    """A checkpoint that is open: what it says of itself, and its tensors under the names left after stripping.

    `where` is as typed. `pretrained_cfg` and `model_args` are timm's, empty where nothing is said; `architecture` and
    `label_names` are then None. `described_by`: the file that says so, or timm. `model_type`: of a config.json in the
    form of transformers, where there is one.
    """

    where: str
    path: Path
    file: TensorFile
    names: Names
    architecture: str | None = None
    model_args: dict[str, Any] = field(default_factory=dict)
    pretrained_cfg: dict[str, Any] = field(default_factory=dict)
    label_names: tuple[str, ...] | None = None
    described_by: str | None = None
    model_type: str | None = None

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each kept tensor."""
        return {new: self.file.shapes[old] for old, new in self.names.kept.items()}

    @property
    def stripped(self) -> tuple[str, ...]:
        """The prefixes taken off the names, in order."""
        return tuple(self.names.stripped)

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the weights file; of several, one after the other."""
        digest = hashlib.sha256()
        for path in shards_of(self.path) if self.path.name in INDEXES else [self.path]:
            with path.open("rb") as file:
                while part := file.read(2**20):
                    digest.update(part)
        return digest.hexdigest()

    def tensors(self) -> dict[str, Tensor]:
        """The kept tensors, on the CPU, in the dtype of the file."""
        values = self.file.read(self.names.kept)
        return {new: values[old] for old, new in self.names.kept.items()}


def open_checkpoint(
    where: str, *, strip_prefix: str | None, log: Log, drop_prefix: Sequence[str] = (), described_by: Path | None = None
) -> Checkpoint:
    """Open `where`: a weights file, a folder in timm's form, `hf-hub:NAME`, `preset:PATH`, or a pretrained tag of timm.

    drop_prefix: prefixes, several in one text with commas, of tensors that are left out. described_by: in the form of
    config.json, for weights that have none.

    Raises RequestError for what is not there, is damaged, cannot be downloaded, or would need a pickle to run.
    """
    if not where.strip():
        raise RequestError("the checkpoint's name is empty", f"a checkpoint is {_FORMS}")
    if where.startswith("hf-hub:"):
        folder = hub.hub_folder(where.removeprefix("hf-hub:"))
        path, said = _weights_in(folder), config_beside(folder)
    elif where.startswith("preset:"):
        path, said = _local(_shipped(where.removeprefix("preset:")))
    elif os.path.exists(where):  # not Path's, which raises for a name that is too long
        path, said = _local(Path(where))
    else:
        path, said = _pretrained(where)
    if described_by and "architecture" not in said:
        said = config_named(described_by)
    file = ShardedFile(path, log) if path.name in INDEXES and shards_of(path) else open_tensors(path, log)
    names = unwrap(file.shapes, strip_prefix, [part for text in drop_prefix for part in text.split(",")])
    if names.left_out:
        out = f"{where}: {len(names.left_out)} tensors are left out by --drop-prefix: {listed(names.left_out)}"
        log.warn("tensors-left-out", out)
    if names.stripped:
        log.note(f"{where}: stripped {', '.join(names.stripped)} from the names of {len(names.kept)} tensors")
    if names.dropped:
        few = ", ".join(names.dropped[:5]) + (", ..." if len(names.dropped) > 5 else "")
        log.note(f"{where}: left out {len(names.dropped)} tensors without that prefix: {few}")
    return Checkpoint(where, path, file, names, **said)


def _local(path: Path) -> tuple[Path, dict[str, Any]]:
    if path.is_dir():
        return _weights_in(path), config_beside(path)
    if (part := re.search(r"-(\d{5})-of-(\d{5})\.[a-z]+$", path.name)) and int(part[2]) > 1:
        raise RequestError(f"{path} is part {int(part[1])} of {int(part[2])}", f"name the folder: {path.parent}")
    # A file under the name that timm's folder form gives it is described by the config.json beside it.
    return path, config_beside(path.parent) if path.name in WHOLE else {}


def _weights_in(folder: Path) -> Path:
    for name in WHOLE:
        if (folder / name).is_file():
            return folder / name
    files = sorted(p.name for p in folder.iterdir() if p.is_file() and holds_tensors(p))
    fix = f"name the file: {folder / files[0]}" if files else f"a checkpoint is {_FORMS}"
    if files and re.search(r"-of-\d{5}\.", files[0]):
        fix = f"add the index of the parts, {' or '.join(INDEXES)}: it comes with them"
    raise RequestError(f"folder {folder} has no {' or '.join(hub.WEIGHTS)}", fix)


def _shipped(inside: str) -> Path:
    root = Path(ftcli.presets.__file__).parent.resolve()
    path = (root / inside).resolve()
    if not path.is_relative_to(root) or not path.exists():
        raise RequestError(f"no checkpoint preset:{inside} comes with ftcli", "see: ftcli presets")
    return path


def _pretrained(where: str) -> tuple[Path, dict[str, Any]]:
    """A name that timm has pretrained weights for; what is neither that nor a path that exists is explained."""
    architecture, _, tag = where.partition(".")
    if "/" in where or "\\" in where or Path(where).suffix in SAFETENSORS + TORCH or not timm.is_model(architecture):
        raise _not_found(where)
    known = hub.tags(architecture)
    if tag and tag not in known:
        fix = suggest(tag, known) or (f"known tags: {', '.join(known)}" if known else "timm lists none for it")
        raise RequestError(f"timm knows no pretrained tag {tag!r} of {architecture}", fix)
    cfg = timm.models.get_pretrained_cfg(where)
    if cfg is None or not cfg.has_weights:
        raise RequestError(f"timm has no pretrained weights for {where}", "give a file or folder to --checkpoint")
    path = hub.pretrained_file(where, cfg)
    described = timm.models.filter_pretrained_cfg(cfg.to_dict(), remove_source=True, remove_null=True)
    return path, {"architecture": architecture, "pretrained_cfg": described, "described_by": "timm"}


def _not_found(where: str) -> RequestError:
    path = Path(where)
    beside = os.listdir(path.parent) if os.path.isdir(path.parent) else []
    near = suggest(path.name, beside) or ("" if "/" in where else suggest(where, timm.list_models()))
    return RequestError(f"no checkpoint {shortened(where, MAX_REASON)}", near or f"a checkpoint is {_FORMS}")
