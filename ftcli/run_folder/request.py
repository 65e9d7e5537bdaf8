"""A request: everything on which the figures of a command depend, and the first difference between two requests."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
import torch
from PIL import features

from ftcli import __version__
from ftcli.cache.cache import key
from ftcli.config.shared import Common, Resumable
from ftcli.data.images import ImageSet
from ftcli.data.task import Task
from ftcli.engine.device import Machine
from ftcli.errors import RequestError
from ftcli.files import read_json
from ftcli.model.loading.import_user_file import imported_files
from ftcli.model.loading.load import Loaded
from ftcli.records import Foreign, Record, decoded, plain
from ftcli.run_folder.options import command_of, options_in_request, other_options
from ftcli.safe_text import listed, quoted, reason

LIBRARIES = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pillow")  # on which figures depend
FROM_FILES = ("weights", "models", "imported code", "classes", "data")  # parts of a request


class ModelFacts(Record):
    """What of a model is not in its weights. arguments and images: as timm has them."""

    name: str
    arguments: Foreign
    classes: list[str] | None
    images: Foreign


class SetDigests(Record):
    """Digests of a set's examples in their order; classes: the indices of those that an OOD set covers."""

    images: str = msgspec.field(name="pictures")
    labels: str
    groups: str | None
    ids: str = msgspec.field(name="names of the examples")
    classes: list[int] | None


class Request(Record):
    """Everything on which the result of a command depends."""

    command: str
    version: str
    libraries: dict[str, str | None]
    machine: dict[str, str | int]
    options: Foreign
    weights: list[str | None]
    models: list[ModelFacts]
    imported_code: dict[str, str] = msgspec.field(name="imported code")
    classes: list[str]
    data: dict[str, SetDigests]


def request_of(config: Resumable, task: Task, loaded: Sequence[Loaded], machine: Machine) -> Request:
    """Everything on which the result of a command depends, in types of JSON."""
    fitted = {name: data for name, data in (("train", task.train), ("retrain", task.retrain)) if data}
    request = {
        "command": command_of(config),
        "version": __version__,
        "libraries": libraries(config),
        "machine": {"device": machine.device.type, "precision": machine.precision, "processes": machine.processes},
        "options": options_in_request(config),
        "weights": [model.checkpoint.sha256 if model.checkpoint else None for model in loaded] + head_digests(config),
        "models": [model_facts(model) for model in loaded],
        "imported code": code_digests(config.import_) if config.import_ else {},
        "classes": list(task.classes),
        "data": {name: data_digests(data) for name, data in {**fitted, **task.sets()}.items()},
    }
    return decoded(json.loads(json.dumps(plain(request), default=repr)), Request)


def libraries(config: Common) -> dict[str, str | None]:
    """The versions of LIBRARIES, of PEFT where the options need it, and of the JPEG decoder in Pillow; None where a
    library does not state its version.
    """
    versions: dict[str, str | None] = {}
    for name in (*LIBRARIES, "peft") if getattr(config, "lora_rank", None) else LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return versions | {"torch": str(torch.__version__), "libjpeg": features.version("jpg")}


def model_facts(model: Loaded) -> dict[str, object]:
    """The fields of ModelFacts, not yet in types of JSON."""
    arguments = {name: value for name, value in model.create_args.items() if name != "pretrained_cfg"}
    # Class names of the file, before rows of the head are reordered.
    names = model.checkpoint.label_names if model.checkpoint else model.label_names
    return {"name": model.name, "arguments": arguments, "classes": names, "images": model.data_config}


def head_digests(config: Resumable) -> list[str | None]:
    """[sha256] of the file of --head-weights, where there is one. Raises RequestError where it cannot be read."""
    path: Path | None = getattr(config, "head_weights", None)
    if path is None:
        return []
    try:
        return [sha256(path.read_bytes()).hexdigest()]
    except OSError as error:
        raise RequestError(f"--head-weights {path}: {reason(error)}", "give a safetensors file") from error


def code_digests(file: Path) -> dict[str, str]:
    """{module: sha256} of the file of --import and of every module that it imported itself."""
    return {name: sha256(path.read_bytes()).hexdigest() for name, path in imported_files(file).items()}


def data_digests(images: ImageSet) -> SetDigests:
    return SetDigests(
        images=key(*images.identities, f"shuffle {images.shuffle}"),
        labels=sha256(images.labels.astype("<i8").tobytes()).hexdigest(),
        groups=None if images.groups is None else digest(images.groups.tolist()),
        ids=digest(list(images.ids)),
        classes=None if images.restrict is None else list(images.restrict),
    )


def digest(value: Any) -> str:
    """sha256 of a value in types of JSON."""
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def digest_of(request: Request) -> str:
    """One digest of the parts of a request that are read from files. Options and versions are not in it."""
    return digest(plain({name: request[name] for name in FROM_FILES}))


def read_request(path: Path) -> Request | None:
    """The request in a folder of states; None where it is damaged, or of another form."""
    try:
        return decoded(read_json(path), Request)
    except (OSError, ValueError):
        return None


def difference(before: Request | None, now: Request) -> str:
    """The first difference between two requests, in words; empty where they are equal."""
    if not before:
        return "a request that cannot be read"
    was, is_ = (
        {name: request[name] for name in ("command", "version")} | request["libraries"] | request["machine"]
        for request in (before, now)
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


def changed_modules(before: Request, now: Request) -> str:
    """The names of imported modules that differ."""
    was, is_ = before["imported code"], now["imported code"]
    return " in " + listed([name for name in sorted({**was, **is_}) if was.get(name) != is_.get(name)])


def other_model(before: Sequence[Any], now: Sequence[Any]) -> str:
    for was, is_ in zip(before, now, strict=False):
        for fact in ("name", "arguments", "classes", "images"):
            if was.get(fact) != is_[fact]:
                return f"{fact} of its model {was.get(fact)}, and this one has {is_[fact]}"
    return ""


def other_classes(before: Sequence[str], now: Sequence[str]) -> str:
    """How the classes differ, in words; empty where they are equal and in the same order."""
    if list(before) == list(now):
        return ""
    if sorted(before) == sorted(now):
        i = next(i for i, pair in enumerate(zip(before, now, strict=True)) if pair[0] != pair[1])
        return f"its classes in another order: class {i} was {quoted(before[i])}, and is {quoted(now[i])} now"
    new, gone = sorted({*now} - {*before}), sorted({*before} - {*now})
    changes = [f"{listed(names)} {change}" for names, change in ((new, "is new"), (gone, "has gone")) if names]
    return f"other classes: {len(before)} then, {len(now)} now ({'; '.join(changes)})"


def other_data(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    for name in {**before, **now}:
        was, is_ = before.get(name) or {}, now.get(name) or {}
        for digest_name in is_ or was:
            if was.get(digest_name) != is_.get(digest_name):
                return f"other {digest_name} in {name}"
    return ""
