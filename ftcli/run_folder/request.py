"""A request: everything that decides what the figures of a command mean, and the first thing in which two differ."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from PIL import features

from ftcli import __version__
from ftcli.cache import key
from ftcli.config import Resumable, resolved
from ftcli.data.images import ImageSet
from ftcli.data.task import Task
from ftcli.engine.device import Machine
from ftcli.files import read_json
from ftcli.model.loading.load import Loaded
from ftcli.model.loading.user_file import imported_files
from ftcli.text import listed, quoted

FREE = ("out", "overwrite", "resume", "config", "preset", "json", "quiet", "debug", "workers", "save_every", "no_cache")
LIBRARIES = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pillow")  # those that compute
MEANT = ("weights", "models", "imported code", "classes", "data")  # what only the files say


def request_of(config: Resumable, task: Task, loaded: Sequence[Loaded], machine: Machine) -> dict[str, Any]:
    """Everything that the result of a command depends on, as JSON has it."""
    train = {"train": task.train} if task.train else {}
    request = {
        "command": command_of(config),
        "version": __version__,
        "libraries": libraries(),
        "machine": {"device": machine.device.type, "precision": machine.precision, "processes": machine.processes},
        "options": options_of(config),
        "weights": [one.checkpoint.sha256 if one.checkpoint else None for one in loaded],
        "models": [built(one) for one in loaded],
        "imported code": code_of(config.import_) if config.import_ else {},
        "classes": list(task.classes),
        "data": {name: contents(data) for name, data in {**train, **task.sets()}.items()},
    }
    return json.loads(json.dumps(request, default=repr))


def command_of(config: Resumable) -> str:
    return type(config).__name__.lower()


def options_of(config: Resumable) -> dict[str, Any]:
    """The options on which a result depends, as JSON has them."""
    return json.loads(json.dumps({name: value for name, value in resolved(config).items() if name not in FREE}))


def libraries() -> dict[str, str | None]:
    """The versions of what computes, and of the JPEG decoder under Pillow."""
    found: dict[str, str | None] = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # installed without its description
            found[name] = None
    return found | {"torch": torch.__version__, "libjpeg": features.version("jpg")}


def built(one: Loaded) -> dict[str, Any]:
    """What of a model does not lie in its weights: architecture, arguments, classes, preparation of its images."""
    arguments = {name: value for name, value in one.create_args.items() if name != "pretrained_cfg"}
    names = one.checkpoint.label_names if one.checkpoint else one.label_names  # the file's, before rows are reordered
    return {"name": one.name, "arguments": arguments, "classes": names, "images": one.data_config}


def code_of(file: Path) -> dict[str, str]:
    """sha256 of an imported file and of every module that came with it, by the module's name."""
    return {name: sha256(path.read_bytes()).hexdigest() for name, path in imported_files(file).items()}


def contents(data: ImageSet) -> dict[str, Any]:
    """Digests of what a set holds, each in the order of its examples; `classes`: those that an OOD set covers."""
    return {
        "pictures": key(*data.identities, f"shuffle {data.shuffle}"),
        "labels": sha256(data.labels.astype("<i8").tobytes()).hexdigest(),
        "groups": None if data.groups is None else digest(data.groups.tolist()),
        "names of the examples": digest(data.ids),
        "classes": data.restrict,
    }


def digest(value: Any) -> str:
    """sha256 of what JSON can hold."""
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def digest_of(request: Mapping[str, Any]) -> str:
    """One digest of all that only the files say: classes, data, models, code. Versions are not in it."""
    return digest({name: request[name] for name in MEANT})


def read_request(place: Path) -> dict[str, Any]:
    """The request beside a state; empty where it is damaged, or of another form."""
    try:
        found = read_json(place)
        forms: dict[str, type] = dict.fromkeys(("options", "data", "libraries", "machine", "imported code"), dict)
        forms |= dict.fromkeys(("weights", "models", "classes"), list)
        return found if all(isinstance(found[part], form) for part, form in forms.items()) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first thing in which two requests differ, in words; empty where there is none."""
    if not before:
        return "a request that cannot be read"
    values = ("command", "version")
    was, is_ = (
        {**{one: side[one] for one in values}, **side["libraries"], **side["machine"]} for side in (before, now)
    )
    for name in is_:
        if was.get(name) != is_[name]:
            return f"{name} {was.get(name)}, and this one has {is_[name]}"
    for name in ("weights", "imported code"):
        if before[name] != now[name]:
            return f"other {name}{changed_modules(before, now) if name == 'imported code' else ''}"
    return (
        other_options(before["options"], now["options"])
        or other_classes(before["classes"], now["classes"])
        or other_model(before["models"], now["models"])
        or other_data(before["data"], now["data"])
    )


def changed_modules(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The names of imported modules that differ."""
    was, is_ = before["imported code"], now["imported code"]
    return " in " + listed([name for name in sorted({**was, **is_}) if was.get(name) != is_.get(name)])


def other_options(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    for name, value in now.items():
        if before.get(name) != value:
            return f"--{name.replace('_', '-')} {before.get(name)}, and this one has {value}"
    return ""


def other_model(before: Sequence[Any], now: Sequence[Any]) -> str:
    for was, is_ in zip(before, now, strict=False):
        for part in ("name", "arguments", "classes", "images"):
            if was.get(part) != is_[part]:
                return f"{part} of its model {was.get(part)}, and this one has {is_[part]}"
    return ""


def other_classes(before: Sequence[str], now: Sequence[str]) -> str:
    if list(before) == list(now):
        return ""
    if sorted(before) == sorted(now):
        i = next(i for i, pair in enumerate(zip(before, now, strict=True)) if pair[0] != pair[1])
        return f"its classes in another order: class {i} was {quoted(before[i])}, and is {quoted(now[i])} now"
    new, gone = (sorted(set(one) - set(other)) for one, other in ((now, before), (before, now)))
    said = [f"{listed(names)} {what}" for names, what in ((new, "is new"), (gone, "has gone")) if names]
    return f"other classes: {len(before)} then, {len(now)} now ({'; '.join(said)})"


def other_data(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    for name in {**before, **now}:
        was, is_ = before.get(name) or {}, now.get(name) or {}
        for part in is_ or was:
            if was.get(part) != is_.get(part):
                return f"other {part} in {name}"
    return ""
