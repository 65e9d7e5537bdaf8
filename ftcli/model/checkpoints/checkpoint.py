"""Open a checkpoint in any form: the header is read and checked at once, the tensors when they are needed."""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import timm
from torch import Tensor

from ftcli.errors import RequestError, suggest
from ftcli.files import OWN, own_file
from ftcli.limits import MAX_REASON
from ftcli.log import Log
from ftcli.model.checkpoints import hub, open_clip
from ftcli.model.checkpoints.formats import SAFETENSORS, TORCH, TensorFile, is_weights_file, open_tensors
from ftcli.model.checkpoints.prefixes import TensorNames, unwrap
from ftcli.model.checkpoints.shards import INDEXES, ShardedFile, shards_of
from ftcli.model.checkpoints.timm_config import StatedConfig, config_in_file, config_in_folder
from ftcli.safe_text import first_few, listed, shortened

WEIGHTS_OR_INDEX = (*hub.WEIGHTS, *INDEXES)
_FORMS = "a weights file, a folder with config.json and model.safetensors, hf-hub:NAME, or a pretrained tag of timm"


@dataclass(kw_only=True)
class Checkpoint(StatedConfig):
    """An open checkpoint: what it states of its model, and its tensors under the names left after stripping.

    `where` is as typed, `path` the file of the weights or the index of their shards.
    """

    where: str
    path: Path
    file: TensorFile
    names: TensorNames

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
                while chunk := file.read(2**20):
                    digest.update(chunk)
        return digest.hexdigest()

    def tensors(self) -> dict[str, Tensor]:
        """The kept tensors, on the CPU, in the dtype of the file."""
        values = self.file.read(self.names.kept)
        return {new: values[old] for old, new in self.names.kept.items()}


def open_checkpoint(
    where: str, *, strip_prefix: str | None, log: Log, drop_prefix: Sequence[str] = (), model_config: Path | None = None
) -> Checkpoint:
    """Open `where`: a weights file, a folder in timm's form, `hf-hub:NAME`, `preset:PATH`, or a pretrained tag of timm.

    drop_prefix: prefixes, several in one text with commas, of tensors that are left out. model_config: a file in the
    form of config.json, for weights that have none.

    Raises RequestError for what is not there, is damaged, cannot be downloaded, or would need a pickle to run.
    """
    if not where.strip():
        raise RequestError("the checkpoint's name is empty", f"a checkpoint is {_FORMS}")
    if where.startswith("hf-hub:"):
        path, stated = _local(hub.hub_folder(where.removeprefix("hf-hub:")))
    elif where.startswith(OWN):
        path, stated = _local(own_file(where, "checkpoint"))
    elif os.path.exists(where):  # not Path's, which raises for a name that is too long
        path, stated = _local(Path(where))
    else:
        path, stated = _pretrained(where)
    if model_config and stated.architecture is None:
        stated = config_in_file(model_config)
    file = ShardedFile(path, log) if path.name in INDEXES and shards_of(path) else open_tensors(path, log)
    names = unwrap(file.shapes, strip_prefix, [prefix for text in drop_prefix for prefix in text.split(",")])
    if names.left_out:
        count = f"{where}: {len(names.left_out)} tensors are left out by --drop-prefix: {listed(names.left_out)}"
        log.warn("tensors-left-out", count)
    if names.stripped:
        log.note(f"{where}: stripped {', '.join(names.stripped)} from the names of {len(names.kept)} tensors")
    if names.dropped:
        log.note(f"{where}: left out {len(names.dropped)} tensors without that prefix: {first_few(names.dropped)}")
    return Checkpoint(where=where, path=path, file=file, names=names, **vars(stated))


def _local(path: Path) -> tuple[Path, StatedConfig]:
    if path.is_dir():
        if (stated := config_in_folder(path)).architecture is None and open_clip.is_open_clip(path):
            return _weights_in(path, open_clip.WEIGHTS), open_clip.config_of_open_clip(path)
        return _weights_in(path, WEIGHTS_OR_INDEX), stated
    if path.name in open_clip.WEIGHTS and open_clip.is_open_clip(path.parent):
        return path, open_clip.config_of_open_clip(path.parent)
    if (shard := re.search(r"-(\d{5})-of-(\d{5})\.[a-z]+$", path.name)) and int(shard[2]) > 1:
        raise RequestError(f"{path} is part {int(shard[1])} of {int(shard[2])}", f"name the folder: {path.parent}")
    # A file with the name that timm's folder form gives it is described by the config.json of its folder.
    return path, config_in_folder(path.parent) if path.name in WEIGHTS_OR_INDEX else StatedConfig()


def _weights_in(folder: Path, names: Sequence[str]) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    files = sorted(path.name for path in folder.iterdir() if path.is_file() and is_weights_file(path))
    fix = f"name the file: {folder / files[0]}" if files else f"a checkpoint is {_FORMS}"
    if files and re.search(r"-of-\d{5}\.", files[0]):
        fix = f"add the index of the parts, {' or '.join(INDEXES)}: it comes with them"
    expected = [name for name in names if name not in INDEXES]
    raise RequestError(f"folder {folder} has no {' or '.join(expected)}", fix)


def _pretrained(where: str) -> tuple[Path, StatedConfig]:
    """The downloaded weights of a name that timm lists. Raises RequestError for any other name."""
    architecture, _, tag = where.partition(".")
    if "/" in where or "\\" in where or Path(where).suffix in SAFETENSORS + TORCH or not timm.is_model(architecture):
        raise _not_found(where)
    known = hub.pretrained_tags(architecture)
    if tag and tag not in known:
        fix = suggest(tag, known) or (f"known tags: {', '.join(known)}" if known else "timm lists none for it")
        raise RequestError(f"timm knows no pretrained tag {tag!r} of {architecture}", fix)
    cfg = timm.models.get_pretrained_cfg(where)
    if cfg is None or not cfg.has_weights:
        raise RequestError(f"timm has no pretrained weights for {where}", "give a file or folder to --checkpoint")
    path = hub.pretrained_file(where, cfg)
    stated = timm.models.filter_pretrained_cfg(cfg.to_dict(), remove_source=True, remove_null=True)
    return path, StatedConfig(architecture=architecture, pretrained_cfg=stated, described_by="timm")


def _not_found(where: str) -> RequestError:
    path = Path(where)
    siblings = os.listdir(path.parent) if os.path.isdir(path.parent) else []
    near = suggest(path.name, siblings) or ("" if "/" in where else suggest(where, timm.list_models()))
    return RequestError(f"no checkpoint {shortened(where, MAX_REASON)}", near or f"a checkpoint is {_FORMS}")
