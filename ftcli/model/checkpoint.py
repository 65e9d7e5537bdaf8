"""Open a checkpoint wherever it is: the header is read and judged, the tensors wait until they are asked for."""

import hashlib
import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import timm
from timm.models._hub import load_model_config_from_path
from torch import Tensor

import ftcli.presets
from ftcli.errors import RequestError, suggest
from ftcli.files import read_json
from ftcli.log import Log
from ftcli.model import hub
from ftcli.model.formats import SAFETENSORS, TORCH, TensorFile, open_tensors
from ftcli.model.stated import checked_args, checked_cfg, shown
from ftcli.model.wrappers import Names, unwrap
from ftcli.text import LONGEST_NAME, LONGEST_REASON, reason, shortened

_FORMS = "a weights file, a folder with config.json and model.safetensors, hf-hub:NAME, or a pretrained tag of timm"


@dataclass
class Checkpoint:
    """A checkpoint that is open: what it says of itself, and its tensors under the names left after stripping.

    `where` is as typed. `pretrained_cfg` and `model_args` are timm's, empty where nothing is said; `architecture` and
    `label_names` are then None.
    """

    where: str
    path: Path
    file: TensorFile
    names: Names
    architecture: str | None = None
    model_args: dict[str, Any] = field(default_factory=dict)
    pretrained_cfg: dict[str, Any] = field(default_factory=dict)
    label_names: tuple[str, ...] | None = None

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
        """Hex digest of the weights file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def tensors(self) -> dict[str, Tensor]:
        """The kept tensors, on the CPU, in the dtype of the file."""
        values = self.file.read(self.names.kept)
        return {new: values[old] for old, new in self.names.kept.items()}


def open_checkpoint(where: str, *, strip_prefix: str | None, log: Log) -> Checkpoint:
    """Open `where`: a weights file, a folder in timm's form, `hf-hub:NAME`, `preset:PATH`, or a pretrained tag of timm.

    Raises RequestError for what is not there, is damaged, cannot be downloaded, or would need a pickle to run.
    """
    if not where.strip():
        raise RequestError("the checkpoint's name is empty", f"a checkpoint is {_FORMS}")
    if where.startswith("hf-hub:"):
        folder = hub.hub_folder(where.removeprefix("hf-hub:"))
        path, said = _weights_in(folder), _config_in(folder)
    elif where.startswith("preset:"):
        path, said = _local(_shipped(where.removeprefix("preset:")))
    elif os.path.exists(where):  # not Path's, which raises for a name that is too long
        path, said = _local(Path(where))
    else:
        path, said = _pretrained(where)
    file = open_tensors(path, log)
    names = unwrap(file.shapes, strip_prefix)
    if names.stripped:
        log.note(f"{where}: stripped {', '.join(names.stripped)} from the names of {len(names.kept)} tensors")
    if names.dropped:
        few = ", ".join(names.dropped[:5]) + (", ..." if len(names.dropped) > 5 else "")
        log.note(f"{where}: left out {len(names.dropped)} tensors without that prefix: {few}")
    return Checkpoint(where, path, file, names, **said)


def _local(path: Path) -> tuple[Path, dict[str, Any]]:
    if path.is_dir():
        return _weights_in(path), _config_in(path)
    # A file under the name that timm's folder form gives it is described by the config.json beside it.
    return path, _config_in(path.parent) if path.name in hub.WEIGHTS else {}


def _weights_in(folder: Path) -> Path:
    for name in hub.WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    files = sorted(p.name for p in folder.iterdir() if p.suffix in SAFETENSORS + TORCH)
    fix = f"name the file: {folder / files[0]}" if files else f"a checkpoint is {_FORMS}"
    raise RequestError(f"folder {folder} has no {' or '.join(hub.WEIGHTS)}", fix)


def _config_in(folder: Path) -> dict[str, Any]:
    """What config.json says, by the field of Checkpoint that it fills. Empty where it is not of timm's form."""
    path = folder / "config.json"
    if not path.is_file():
        return {}
    try:
        raw = read_json(path)
        if not isinstance(raw, Mapping) or "architecture" not in raw:
            return {}
        cfg, architecture, args = load_model_config_from_path(folder)
        labels = cfg.pop("label_names", None)
        cfg.pop("label_descriptions", None)
        return {
            "architecture": _name(architecture),
            "model_args": checked_args(args, str(path)),
            "pretrained_cfg": checked_cfg(cfg, str(path)),
            "label_names": _labels(labels),
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise RequestError(
            f"{path} is not a model configuration of timm: {reason(error)}", "give the config.json that timm wrote"
        ) from error


def _name(architecture: object) -> str:
    if not isinstance(architecture, str):
        raise TypeError(f"its architecture is {shown(architecture)}, not a name")
    return shortened(architecture, LONGEST_NAME)


def _labels(labels: object) -> tuple[str, ...] | None:
    """timm's label_names, a list or {index: name}; None where indices are left out."""
    if isinstance(labels, Mapping):
        names = {str(index): name for index, name in labels.items()}
        labels = [names.get(str(k)) for k in range(len(names))]
    if not isinstance(labels, list | tuple) or not labels or any(not isinstance(name, str) for name in labels):
        return None
    return tuple(unicodedata.normalize("NFC", name) for name in labels)  # as those of every set


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
    return path, {"architecture": architecture, "pretrained_cfg": described}


def _not_found(where: str) -> RequestError:
    path = Path(where)
    beside = os.listdir(path.parent) if os.path.isdir(path.parent) else []
    near = suggest(path.name, beside) or ("" if "/" in where else suggest(where, timm.list_models()))
    return RequestError(f"no checkpoint {shortened(where, LONGEST_REASON)}", near or f"a checkpoint is {_FORMS}")
