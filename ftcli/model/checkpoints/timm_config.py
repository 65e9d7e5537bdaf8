"""The config.json of a model in timm's form: in the folder of its weights, or the file of --model-config."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from timm.models import PretrainedCfg
from timm.models._hub import _parse_model_cfg

from ftcli.errors import RequestError
from ftcli.files import read_json
from ftcli.limits import MAX_NAME_SHOWN
from ftcli.model.checkpoints.config_values import TimmConfig, checked_args, checked_cfg, excerpt
from ftcli.safe_text import listed, reason, shortened

NAME = "config.json"
KNOWN = {known.name for known in fields(PretrainedCfg)}
LABELS = ("label_names", "label_descriptions")


@dataclass(kw_only=True)
class StatedConfig:
    """What a config.json, or timm, states of a model.

    `pretrained_cfg` and `model_args` are timm's, empty where nothing is stated; every other field is None then.
    `described_by`: the file that states it, or "timm". `model_type`: of a config.json in the form of transformers.
    """

    architecture: str | None = None
    model_args: TimmConfig = field(default_factory=dict)
    pretrained_cfg: TimmConfig = field(default_factory=dict)
    label_names: tuple[str, ...] | None = None
    described_by: str | None = None
    model_type: str | None = None


def config_in_folder(folder: Path) -> StatedConfig:
    """What config.json in a folder states; nothing where there is none, the model_type of one in another form."""
    path = folder / NAME
    raw = _read(path) if path.is_file() else {}
    if not isinstance(raw, Mapping):
        return StatedConfig()
    if "architecture" not in raw:
        return StatedConfig(model_type=excerpt(raw["model_type"]) if "model_type" in raw else None)
    return _stated(raw, path)


def config_in_file(path: Path) -> StatedConfig:
    """What the file of --model-config states. Raises RequestError where it does not describe a model."""
    if not path.is_file():
        raise RequestError(f"--model-config {str(path)!r} is no file.", "name a file in the form of timm's config.json")
    raw = _read(path)
    if not isinstance(raw, Mapping) or "architecture" not in raw:
        raise RequestError(
            f"--model-config {str(path)!r} names no architecture.", 'add "architecture": "NAME", a name that timm knows'
        )
    return _stated(raw, path)


def _read(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise _not_timms(path, error) from error


def _stated(raw: Mapping[str, Any], path: Path) -> StatedConfig:
    try:
        if unknown := [name for name in raw.get("pretrained_cfg", ()) if name not in (*KNOWN, *LABELS)]:
            raise ValueError(f"pretrained_cfg has {listed(unknown)}, which timm does not know")
        cfg, architecture, args = _parse_model_cfg(dict(raw), {})
        if not isinstance(architecture, str):
            raise TypeError(f"its architecture is {excerpt(architecture)}, not a name")
        labels = cfg.pop("label_names", None)
        cfg = {name: value for name, value in cfg.items() if name in KNOWN}  # without keys of transformers
        return StatedConfig(
            architecture=shortened(architecture, MAX_NAME_SHOWN),
            model_args=checked_args(args, str(path)),
            pretrained_cfg=checked_cfg(cfg, str(path)),
            label_names=_label_names(labels),
            described_by=str(path),
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _not_timms(path, error) from error


def _not_timms(path: Path, error: Exception) -> RequestError:
    return RequestError(
        f"{path} is not a model configuration of timm: {reason(error)}", "give the config.json that timm wrote"
    )


def _label_names(labels: object) -> tuple[str, ...] | None:
    """timm's label_names, a list or {index: name}; None where indices are left out."""
    if isinstance(labels, Mapping):
        names = {str(index): name for index, name in labels.items()}
        labels = [names.get(str(k)) for k in range(len(names))]
    if not isinstance(labels, list | tuple) or not labels or any(not isinstance(name, str) for name in labels):
        return None
    return tuple(unicodedata.normalize("NFC", name) for name in labels)  # as class names of every data set
