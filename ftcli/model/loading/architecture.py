"""The timm architecture and arguments of a model, resolved from options and checkpoint, and the network built."""

from contextlib import nullcontext
from dataclasses import dataclass

import timm
import torch
from torch import nn

from ftcli.errors import RequestError, suggest
from ftcli.model.checkpoints.checkpoint import Checkpoint
from ftcli.model.checkpoints.config_values import TimmConfig
from ftcli.model.checkpoints.timm_config import StatedConfig
from ftcli.model.loading.overrides import ModelOverrides
from ftcli.model.loading.similar_architectures import suggest_architecture
from ftcli.model.loading.size_limit import SizeLimit, TooLargeForFile
from ftcli.safe_text import reason

NO_OVERRIDES = ModelOverrides()


@dataclass(frozen=True)
class ModelConfig:
    """What timm.create_model needs but for the number of classes. `name` is architecture[.tag]. `assumed`: those of
    "mean", "std" and "arguments" that neither the checkpoint nor the options state.
    """

    name: str
    architecture: str
    pretrained_cfg: TimmConfig
    model_args: TimmConfig
    assumed: tuple[str, ...] = ()

    def create_args(self, num_classes: int, image_size: int | None) -> TimmConfig:
        """Arguments of timm.create_model. Models of a fixed input size are built for `image_size` [pixels]."""
        args = {"model_name": self.architecture, "pretrained_cfg": self.pretrained_cfg, **self.model_args}
        if image_size and (self.pretrained_cfg.get("fixed_input_size") or "img_size" in self.model_args):
            args["img_size"] = (image_size, image_size)
        return {**args, "num_classes": num_classes}


def resolve_model_config(
    name: str | None, checkpoint: Checkpoint | None, overrides: ModelOverrides = NO_OVERRIDES
) -> ModelConfig:
    """Combine the name of --model, what the checkpoint states, and the options for what it does not state.

    Raises RequestError for an unknown architecture or tag, for two that contradict each other, and for inputs that are
    not of three channels.
    """
    stated = checkpoint or StatedConfig()
    where = checkpoint.where if checkpoint else ""
    if name is None and stated.architecture is None:
        form = f", but transformers' model_type {stated.model_type}" if stated.model_type else ""
        raise RequestError(
            f"{where or 'no checkpoint:'} does not say its architecture{form}",
            "name it as timm does, for instance --model resnet50",
        )
    architecture, tag = _known(name, checkpoint) if name else _stated(str(stated.architecture), where)
    if stated.architecture and architecture != (other := stated.architecture.partition(".")[0]):
        raise RequestError(
            f"--model {name} contradicts {where}, which holds {other}", f"leave --model out, or type --model {other}"
        )
    typed, typed_args = overrides.not_stated_by(checkpoint)
    args = {**stated.model_args, **typed_args}
    unstated = [value for value in ("mean", "std") if value not in {**stated.pretrained_cfg, **typed}]
    unstated += [] if stated.architecture or typed_args else ["arguments"]
    assumed = tuple(unstated) if checkpoint and not tag else ()
    stated_tag = stated.pretrained_cfg.get("tag")
    if stated.pretrained_cfg and tag in ("", stated_tag):
        tag = stated_tag if stated_tag in _tags(architecture) else ""
        # Names that bind the weights to the architecture; a hand-written config.json may lack them.
        listed = _listed_cfg(architecture, tag)
        base = {key: listed.get(key) for key in ("classifier", "first_conv")} | {"architecture": architecture}
        cfg: TimmConfig = base | stated.pretrained_cfg | typed
    else:
        cfg = _listed_cfg(architecture, tag) | typed
    channels = args.get("in_chans") or cfg.get("input_size", (3,))[0]
    full_name = f"{architecture}.{tag}" if tag else architecture
    if channels != 3:
        raise RequestError(f"{full_name} takes images of {channels} channels", "ftcli works on RGB images: 3 channels")
    return ModelConfig(full_name, architecture, cfg, args, assumed)


def build(
    model_config: ModelConfig, num_classes: int, image_size: int | None, checkpoint: Checkpoint | None = None
) -> nn.Module:
    """The model with random weights.

    Raises RequestError where timm cannot build it, and where it is far larger than the checkpoint that it is for.
    """
    args = model_config.create_args(num_classes, image_size)
    limit = SizeLimit.for_shapes(checkpoint.shapes.values()) if checkpoint else None
    try:
        with limit.enforced() if limit else nullcontext():
            if limit and model_config.model_args:  # stated by a file: tried first where it takes no memory
                with torch.device("meta"):
                    timm.create_model(**args, pretrained=False)
            model = timm.create_model(**args, pretrained=False)
    except TooLargeForFile:
        assert checkpoint is not None
        raise RequestError(
            f"{checkpoint.where} holds {len(checkpoint.shapes)} tensors; {model_config.name} as asked for is far "
            "larger",
            "name the architecture that the file was saved from: --model NAME",
        ) from None
    except Exception as error:  # an argument of the wrong type raises errors of nearly any type
        size = f" for {image_size} pixels" if "img_size" in args and image_size else ""
        raise RequestError(
            f"timm cannot build {model_config.name}{size}: {reason(error)}",
            "the arguments are those of --model-arg, or the model_args of config.json"
            if model_config.model_args
            else "",
        ) from error
    for method in ("forward_features", "forward_head", "get_classifier"):
        if not hasattr(model, method):
            raise RequestError(f"{model_config.name} has no {method}", "give the architecture timm's model methods")
    # Where timm's checkpoint filters look for the size that the weights were trained at.
    model.pretrained_model_args = dict(model_config.model_args)  # type: ignore[assignment]
    return model


def build_without_values(model_config: ModelConfig, num_classes: int = 1, image_size: int | None = None) -> nn.Module:
    """The structure alone, its tensors on the meta device: quick, and without memory. Raises as `build` does."""
    with torch.device("meta"):
        return build(model_config, num_classes, image_size)


def _known(name: str, checkpoint: Checkpoint | None = None) -> tuple[str, str]:
    """(architecture, tag) of a name that timm knows. For another name the checkpoint's shapes give the suggestion."""
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        fix = suggest_architecture(architecture, checkpoint) if checkpoint else ""
        raise RequestError(
            f"unknown architecture {architecture!r}",
            fix
            or suggest(architecture, timm.list_models())
            or "see timm.list_models(), or --import the file that registers it",
        )
    if tag and timm.models.get_pretrained_cfg(architecture) is not None and tag not in _tags(architecture):
        raise RequestError(
            f"unknown tag {tag!r} of {architecture}",
            suggest(tag, _tags(architecture)) or f"known tags: {', '.join(_tags(architecture))}",
        )
    return architecture, tag


def _stated(architecture: str, where: str) -> tuple[str, str]:
    """(architecture, tag) of the name that a checkpoint states."""
    if not timm.is_model(architecture.partition(".")[0]):
        raise RequestError(
            f"{where} holds {architecture!r}, an architecture that timm does not know",
            "register it: --import FILE.py, with the file that defines it",
        )
    return _known(architecture)


def _tags(architecture: str) -> list[str]:
    return [key.partition(".")[2] for key in timm.models.get_arch_pretrained_cfgs(architecture)]


def _listed_cfg(architecture: str, tag: str) -> TimmConfig:
    cfg = timm.models.get_pretrained_cfg(f"{architecture}.{tag}" if tag else architecture)
    plain = timm.models.filter_pretrained_cfg(cfg.to_dict(), remove_source=True, remove_null=True) if cfg else {}
    return {**plain, "architecture": architecture}
