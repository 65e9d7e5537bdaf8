"""Which timm architecture, with which arguments: from a name, from what a checkpoint says, from a user's own file."""

import importlib.util
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from ftcli.errors import RequestError, suggest
from ftcli.model.checkpoints.checkpoint import Checkpoint
from ftcli.model.loading.overrides import ModelOverrides
from ftcli.model.loading.similar_names import suggest_architecture
from ftcli.model.loading.size_limit import SizeLimit, TooLargeForFile
from ftcli.model.loading.user_file import note_modules
from ftcli.text import reason

NOTHING = ModelOverrides()


@dataclass(frozen=True)
class ModelConfig:
    """All that timm.create_model needs but the number of classes. `name` is architecture[.tag]. `assumed`: what of it
    neither the checkpoint nor the request states; of "mean", "std" and "arguments".
    """

    name: str
    architecture: str
    pretrained_cfg: dict[str, Any]
    model_args: dict[str, Any]
    assumed: tuple[str, ...] = ()

    def create_args(self, num_classes: int, image_size: int | None) -> dict[str, Any]:
        """Arguments of timm.create_model. Models of a fixed input size are built for `image_size` [pixels]."""
        args = {"model_name": self.architecture, "pretrained_cfg": self.pretrained_cfg, **self.model_args}
        if image_size and (self.pretrained_cfg.get("fixed_input_size") or "img_size" in self.model_args):
            args["img_size"] = (image_size, image_size)
        return {**args, "num_classes": num_classes}


def resolve_model_config(
    name: str | None, checkpoint: Checkpoint | None, given: ModelOverrides = NOTHING
) -> ModelConfig:
    """Bring together the name asked for, what the checkpoint says, and what is given where it says nothing.

    Raises RequestError for an unknown architecture or tag, for two that contradict each other, and for inputs that are
    not of three channels.
    """
    stated = checkpoint.architecture if checkpoint else None
    where = checkpoint.where if checkpoint else ""
    if name is None and stated is None:
        form = f", but transformers' model_type {checkpoint.model_type}" if checkpoint and checkpoint.model_type else ""
        raise RequestError(
            f"{where or 'no checkpoint:'} does not say its architecture{form}",
            "name it as timm does, for instance --model resnet50",
        )
    architecture, tag = _known(name, checkpoint) if name else _stated(str(stated), where)
    if stated and architecture != (held := stated.partition(".")[0]):
        raise RequestError(
            f"--model {name} contradicts {where}, which holds {held}", f"leave --model out, or type --model {held}"
        )
    said = dict(checkpoint.pretrained_cfg) if checkpoint else {}
    typed, typed_args = given.beside(checkpoint)
    args = {**(checkpoint.model_args if checkpoint else {}), **typed_args}
    unstated = [part for part in ("mean", "std") if part not in {**said, **typed}]
    unstated += [] if stated or typed_args else ["arguments"]
    assumed = tuple(unstated) if checkpoint and not tag else ()
    if said and tag in ("", said.get("tag")):
        tag = said.get("tag") or ""
        listed = tag if tag in _tags(architecture) else ""
        # What binds the file to the architecture; a hand-written config.json may leave it out.
        base = _listed_cfg(architecture, listed)
        said = {**{key: base.get(key) for key in ("classifier", "first_conv")}, "architecture": architecture, **said}
        full = f"{architecture}.{listed}" if listed else architecture
        return _checked(ModelConfig(full, architecture, said | typed, args, assumed))
    cfg = _listed_cfg(architecture, tag) | typed
    return _checked(ModelConfig(f"{architecture}.{tag}" if tag else architecture, architecture, cfg, args, assumed))


def build(
    recipe: ModelConfig, num_classes: int, image_size: int | None, checkpoint: Checkpoint | None = None
) -> nn.Module:
    """The model with random weights.

    Raises RequestError where timm cannot build it as asked, and where it outgrows the checkpoint that it is built for.
    """
    args = recipe.create_args(num_classes, image_size)
    size_limit = SizeLimit.of(checkpoint.shapes.values()) if checkpoint else None
    try:
        with size_limit.enforced() if size_limit else nullcontext():
            if size_limit and recipe.model_args:  # of a file: what they ask for is tried first where it takes no memory
                with torch.device("meta"):
                    timm.create_model(**args, pretrained=False)
            model = timm.create_model(**args, pretrained=False)
    except TooLargeForFile:
        assert checkpoint is not None
        raise RequestError(
            f"{checkpoint.where} holds {len(checkpoint.shapes)} tensors; {recipe.name} as asked for is far larger",
            "name the architecture that the file was saved from: --model NAME",
        ) from None
    except Exception as error:  # an argument of the wrong kind raises nearly anything in an architecture
        asked = f" for {image_size} pixels" if "img_size" in args and image_size else ""
        raise RequestError(
            f"timm cannot build {recipe.name}{asked}: {reason(error)}",
            "the arguments are those of --model-arg, or the model_args of config.json" if recipe.model_args else "",
        ) from error
    for method in ("forward_features", "forward_head", "get_classifier"):
        if not hasattr(model, method):
            raise RequestError(f"{recipe.name} has no {method}", "give the architecture timm's model methods")
    # Where timm's checkpoint filters look for the size that the weights were trained at.
    model.pretrained_model_args = dict(recipe.model_args)  # type: ignore[assignment]
    return model


def build_without_values(recipe: ModelConfig, num_classes: int = 1, image_size: int | None = None) -> nn.Module:
    """The structure alone, its tensors on the meta device: quick, and without memory. Raises as `build` does."""
    with torch.device("meta"):
        return build(recipe, num_classes, image_size)


def import_file(path: str) -> None:
    """Run a user's file that registers architectures with timm. Raises RequestError when it is missing or fails."""
    file = Path(path).resolve()  # once: Python keeps the whole path, and a second model is not to run it again
    if not file.is_file():
        beside = [p.name for p in file.parent.glob("*.py")] if file.parent.is_dir() else []
        raise RequestError(f"no file {path} to import", suggest(file.name, beside) or "check the path after --import")
    name = file.stem
    if getattr(sys.modules.get(name), "__file__", None) == str(file):
        return  # by an earlier command of this process: to run it again would register everything twice
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise RequestError(f"{path} is not a Python file", "give a file that ends in .py")
    if (other := sys.modules.get(name)) is not None and getattr(other, "__file__", None) != str(file):
        raise RequestError(f"{path} has the name of a module already in use: {name}", "rename the file")
    module = importlib.util.module_from_spec(spec)
    note_modules(name)
    sys.modules[name] = module  # before it runs: timm finds a model's settings through its module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's code may raise anything
        del sys.modules[name]
        raise RequestError(
            f"{path} fails: {type(error).__name__}: {' '.join(str(error).split())}", "run it with python to see where"
        ) from error


def _known(name: str, checkpoint: Checkpoint | None = None) -> tuple[str, str]:
    """(architecture, tag) of a name that timm knows. Of another, the checkpoint's shapes tell which was meant."""
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        fix = suggest_architecture(architecture, checkpoint) if checkpoint else ""
        fix = fix or suggest(architecture, timm.list_models())
        raise RequestError(
            f"unknown architecture {architecture!r}",
            fix or "see timm.list_models(), or --import the file that registers it",
        )
    if tag and timm.models.get_pretrained_cfg(architecture) is not None and tag not in _tags(architecture):
        raise RequestError(
            f"unknown tag {tag!r} of {architecture}",
            suggest(tag, _tags(architecture)) or f"known tags: {', '.join(_tags(architecture))}",
        )
    return architecture, tag


def _stated(architecture: str, where: str) -> tuple[str, str]:
    """(architecture, tag) of what a checkpoint says it holds."""
    if not timm.is_model(architecture.partition(".")[0]):
        raise RequestError(
            f"{where} holds {architecture!r}, an architecture that timm does not know",
            "register it: --import FILE.py, with the file that defines it",
        )
    return _known(architecture)


def _tags(architecture: str) -> list[str]:
    return [key.partition(".")[2] for key in timm.models.get_arch_pretrained_cfgs(architecture)]


def _listed_cfg(architecture: str, tag: str) -> dict[str, Any]:
    cfg = timm.models.get_pretrained_cfg(f"{architecture}.{tag}" if tag else architecture)
    plain = timm.models.filter_pretrained_cfg(cfg.to_dict(), remove_source=True, remove_null=True) if cfg else {}
    return {**plain, "architecture": architecture}


def _checked(recipe: ModelConfig) -> ModelConfig:
    channels = recipe.model_args.get("in_chans") or recipe.pretrained_cfg.get("input_size", (3,))[0]
    if channels != 3:
        raise RequestError(
            f"{recipe.name} takes images of {channels} channels", "ftcli works on RGB images: 3 channels"
        )
    return recipe
