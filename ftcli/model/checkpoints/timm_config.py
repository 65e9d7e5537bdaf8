"""The description of a model in timm's form: config.json beside its weights, or a file like it that is named."""

import unicodedata
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from timm.models import PretrainedCfg
from timm.models._hub import _parse_model_cfg

from ftcli.errors import RequestError
from ftcli.files import read_json
from ftcli.limits import MAX_NAME_SHOWN
from ftcli.model.checkpoints.config_values import checked_args, checked_cfg, shown
from ftcli.text import listed, reason, shortened

NAME = "config.json"
KNOWN = {field.name for field in fields(PretrainedCfg)}
LABELS = ("label_names", "label_descriptions")


def config_beside(folder: Path) -> dict[str, Any]:
    """What config.json in a folder says, by the field of Checkpoint that it fills. Empty where there is none; of one in
    another program's form, its model_type.
    """
    path = folder / NAME
    if not path.is_file():
        return {}
    raw = _read(path)
    if isinstance(raw, Mapping) and "architecture" not in raw:
        return {"model_type": shown(raw["model_type"])} if "model_type" in raw else {}
    return _fields(raw, path) if isinstance(raw, Mapping) else {}


def config_named(path: Path) -> dict[str, Any]:
    """The same of a file that somebody names. Raises RequestError where it does not describe a model."""
    if not path.is_file():
        raise RequestError(f"--model-config {str(path)!r} is no file.", "name a file in the form of timm's config.json")
    raw = _read(path)
    if not isinstance(raw, Mapping) or "architecture" not in raw:
        raise RequestError(
            f"--model-config {str(path)!r} names no architecture.", 'add "architecture": "NAME", a name that timm knows'
        )
    return _fields(raw, path)


def _read(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise _not_timms(path, error) from error


def _fields(raw: Mapping[str, Any], path: Path) -> dict[str, Any]:
    try:
        if unknown := [name for name in raw.get("pretrained_cfg", ()) if name not in (*KNOWN, *LABELS)]:
            raise ValueError(f"pretrained_cfg has {listed(unknown)}, which timm does not know")
        cfg, architecture, args = _parse_model_cfg(dict(raw), {})
        labels = cfg.pop("label_names", None)
        cfg = {name: value for name, value in cfg.items() if name in KNOWN}  # others are transformers', beside timm's
        return {
            "architecture": _name(architecture),
            "model_args": checked_args(args, str(path)),
            "pretrained_cfg": checked_cfg(cfg, str(path)),
            "label_names": _labels(labels),
            "described_by": str(path),
        }
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _not_timms(path, error) from error


def _not_timms(path: Path, error: Exception) -> RequestError:
    return RequestError(
        f"{path} is not a model configuration of timm: {reason(error)}", "give the config.json that timm wrote"
    )


def _name(architecture: object) -> str:
    if not isinstance(architecture, str):
        raise TypeError(f"its architecture is {shown(architecture)}, not a name")
    return shortened(architecture, MAX_NAME_SHOWN)


def _labels(labels: object) -> tuple[str, ...] | None:
    """timm's label_names, a list or {index: name}; None where indices are left out."""
    if isinstance(labels, Mapping):
        names = {str(index): name for index, name in labels.items()}
        labels = [names.get(str(k)) for k in range(len(names))]
    if not isinstance(labels, list | tuple) or not labels or any(not isinstance(name, str) for name in labels):
        return None
    return tuple(unicodedata.normalize("NFC", name) for name in labels)  # as those of every set
