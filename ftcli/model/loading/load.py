"""Load a model so that every tensor of its body comes from the checkpoint, or say what is missing."""

import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from timm.data import resolve_input_data_config
from torch import Tensor, nn

from ftcli.errors import RequestError
from ftcli.limits import MAX_CHECKED_SIDE
from ftcli.log import Log
from ftcli.model.checkpoints.checkpoint import Checkpoint
from ftcli.model.checkpoints.config_values import TimmConfig
from ftcli.model.checkpoints.open_clip import PROJECTIONS
from ftcli.model.head import Head, head_of, set_head, set_linear_layers
from ftcli.model.loading.architecture import NO_OVERRIDES, ModelConfig, build, resolve_model_config
from ftcli.model.loading.mismatch import find_mismatch, mismatch_error
from ftcli.model.loading.overrides import ModelOverrides
from ftcli.model.loading.preprocessing import warn_preprocessing_assumed
from ftcli.safe_text import counted, first_few, reason

_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Loaded:
    """A model with its weights. It is a plain timm module.

    `name` is architecture[.tag]. `head_loaded`: the classifier is the file's; otherwise, with a checkpoint, it is all
    zeros. `label_names` [K] are the file's, when its head was kept. `data_config` is timm's: input_size (C, H, W),
    mean, std, interpolation, crop_pct, crop_mode. `create_args` build the same architecture with timm.create_model.
    """

    model: nn.Module
    name: str
    checkpoint: Checkpoint | None
    head_loaded: bool
    label_names: tuple[str, ...] | None
    data_config: TimmConfig
    create_args: TimmConfig


def load_model(
    *, name: str | None, checkpoint: Checkpoint | None, num_classes: int | None, image_size: int | None, log: Log,
    headless: bool = False, overrides: ModelOverrides = NO_OVERRIDES,
) -> Loaded:  # fmt: skip
    """Build the architecture and fill it from the checkpoint; without one its weights are random (global generator).

    `num_classes` None: as many as the file's head has. The file's head is kept when it has that many, else left out.
    `headless`: a file without a head gets one of zeros.
    `overrides`: options for what the file does not state; what neither states is assumed with a warning. And options
    for the preparation of images, whatever it states.
    `image_size` [pixels]: models of a fixed size are built for it and their position tables resampled by timm's filter.

    Raises RequestError for an unknown or contradicting architecture, an unsuitable classifier, tensors that are
    missing, left over, of another shape, not floating, not finite or a variance below 0, and where a head is needed,
    for one that is not there or has one output.
    """
    model_config = resolve_model_config(name, checkpoint, overrides)
    stated = model_config.pretrained_cfg.get("num_classes") or 1000
    if checkpoint is None:
        model = build(model_config, num_classes or stated, image_size)
        head_of(model)
        return _loaded(model_config, model, None, False, image_size, overrides)
    with torch.random.fork_rng(devices=[]):  # all random numbers are overwritten: leave the caller's generator alone
        model = build(model_config, num_classes or stated, image_size, checkpoint)
    head = head_of(model)
    state = _in_timm_names(model, checkpoint, log)
    file_head = _file_head(state, head, checkpoint, log)
    _check_body(model, state, head.names, checkpoint, model_config)
    head_needed = num_classes is None and not headless
    if head_needed and file_head is None:
        raise RequestError(f"{checkpoint.where} has no head", "train one: ftcli probe, finetune or lpft")
    own_rows = len(file_head[0][1]) if file_head else stated
    rows = num_classes or own_rows
    used = file_head if own_rows == rows else None
    if file_head is not None and used is None:
        log.note(f"{checkpoint.where}: its head of {own_rows} classes is left out, {rows} are wanted")
    if used is None:  # zeros, so that no random head is taken for a loaded one
        set_head(model, torch.zeros(rows, head.width), torch.zeros(rows))
    else:
        set_linear_layers(model, used)
    if head_needed:
        _check_answers(head_of(model), checkpoint, log)
    _fill(model, state, checkpoint)
    loaded = _loaded(model_config, model, checkpoint, used is not None, image_size, overrides)
    warn_preprocessing_assumed(model_config, model, loaded.data_config, checkpoint.where, log)
    return loaded


def _loaded(
    model_config: ModelConfig,
    model: nn.Module,
    checkpoint: Checkpoint | None,
    head_loaded: bool,
    image_size: int | None,
    overrides: ModelOverrides,
) -> Loaded:
    K = len(head_of(model).weight)
    labels = checkpoint.label_names if checkpoint and head_loaded else None
    # A model of a fixed input size states it; for any other it is image_size, else the size of its pretraining.
    size = {"input_size": (3, image_size, image_size)} if image_size else {}
    try:
        data_config = dict(resolve_input_data_config(model, args={**size, **overrides.preparation}))
    except ValueError as error:
        raise RequestError(f"{model_config.name} does not take images of {image_size} pixels: {error}") from error
    if image_size or model_config.model_args:  # what timm lists needs no check
        _check_size(model, model_config, data_config["input_size"], K)
    return Loaded(
        model=model,
        name=model_config.name,
        checkpoint=checkpoint,
        head_loaded=head_loaded,
        label_names=labels if labels and len(labels) == K else None,
        data_config=data_config,
        create_args=model_config.create_args(K, image_size),
    )


def _check_size(model: nn.Module, model_config: ModelConfig, size: tuple[int, int, int], num_classes: int) -> None:
    """Raises RequestError where one blank image [1, C, H, W] gives an error, as a size that patches do not divide does,
    or no logits [1, K].

    Not above MAX_CHECKED_SIDE pixels: one image could then take the memory of the machine.
    """
    side = max(size)
    if side > MAX_CHECKED_SIDE:
        return
    near = max(32, round(side / 32) * 32)
    try:
        with torch.inference_mode():
            logits = model.eval()(torch.zeros(1, *size))
    except Exception as error:  # an argument of the wrong type raises errors of nearly any type
        raise RequestError(
            f"{model_config.name} does not take images of {side} pixels: {reason(error)}",
            f"give --image-size a size that it takes, e.g. {near if near != side else near + 32}",
        ) from error
    output = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if output != [1, num_classes]:
        raise RequestError(
            f"{model_config.name} with these model_args gives {output} for one image, not [1, {num_classes}]",
            "ftcli works on classifiers: remove what makes another thing of it from model_args in config.json",
        )


def _in_timm_names(model: nn.Module, checkpoint: Checkpoint, log: Log) -> dict[str, Tensor]:
    """The checkpoint's tensors after the conversion that timm has for this family, which also resamples positions."""
    tensors = checkpoint.tensors()
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return tensors
    both = len(inspect.signature(convert).parameters) > 1
    try:
        state = convert(dict(tensors), model) if both else convert(dict(tensors))
    except Exception:  # a filter fails on names that it does not expect, which `_check_body` reports better
        return tensors
    if any(name in tensors for name in PROJECTIONS):
        state = {name: tensor for name, tensor in state.items() if not name.startswith("head.")}
        log.note(f"{checkpoint.where}: its projection to text embeddings is left out: it is no classifier")
    changed = [n for n, t in state.items() if n in tensors and t.shape != tensors[n].shape]
    if changed:
        log.note(f"{checkpoint.where}: resampled for this input size: {first_few(changed)}")
    return dict(state)


def _file_head(
    state: dict[str, Tensor], head: Head, checkpoint: Checkpoint, log: Log
) -> list[tuple[Tensor, Tensor]] | None:
    """Remove the head's tensors from `state`; the weight [K, d] and bias [K] of each of the linear layers of the file's
    head, where it is complete and fits the features.
    """
    layers, others = [], []
    for name, (_, part) in zip(head.names, head.shares(), strict=True):
        found = {key: state.pop(key) for key in list(state) if key.startswith(f"{name}.")}
        layers.append(_file_layer(found, name, part.weight.shape[1], checkpoint, log))
        others += list(found)
    if others:
        log.note(
            f"{checkpoint.where}: left out tensors beside the head that the model has no place for: {first_few(others)}"
        )
    complete = [layer for layer in layers if layer is not None]
    if len(complete) < len(layers):
        return None
    if len({len(bias) for _, bias in complete}) > 1:
        log.note(f"{checkpoint.where}: left out its head, whose layers are not of one number of classes")
        return None
    return complete


def _file_layer(
    found: dict[str, Tensor], name: str, width: int, checkpoint: Checkpoint, log: Log
) -> tuple[Tensor, Tensor] | None:
    """Take a linear layer's weight [K, width] and bias [K] out of `found`; None where it does not fit."""
    weight, bias = found.pop(f"{name}.weight", None), found.pop(f"{name}.bias", None)
    if weight is None or bias is None:
        if weight is not None or bias is not None:
            log.note(f"{checkpoint.where}: left out its head, which lacks the {'bias' if bias is None else 'weight'}")
        return None
    K = bias.numel()
    if bias.ndim != 1 or not K or tuple(weight.shape) not in ((K, width), (K, width, 1, 1)):
        log.note(f"{checkpoint.where}: left out its head {tuple(weight.shape)}, the model's has {width} features")
        return None
    _check_values({f"{name}.weight": weight, f"{name}.bias": bias}, checkpoint)
    return weight.flatten(1), bias


def _check_answers(head: Head, checkpoint: Checkpoint, log: Log) -> None:
    """Raises RequestError for a head of one output. Warns of one whose rows are all equal, and of label names that are
    not as many as its rows.
    """
    K = len(head.weight)
    if K < 2:
        raise RequestError(
            f"the head of {checkpoint.where} has one output: there is no class to tell it from",
            f"train a head of two classes or more, as with ftcli probe --checkpoint {checkpoint.where} --train SPEC",
        )
    if (head.weight == head.weight[0]).all():
        log.warn(
            "constant-head",
            f"the head of {checkpoint.where} has the same weights for every class: it ranks the classes alike for "
            "every image",
        )
    names = checkpoint.label_names
    if names is not None and len(names) != K:
        log.warn(
            "label-names-left-out",
            f"{checkpoint.where}: its config.json has {counted(len(names), 'label name', 'label names')} and its head "
            f"{K} rows: the names are left out, and its classes are 0 … {K - 1}",
        )


def _check_body(
    model: nn.Module, state: dict[str, Tensor], heads: Sequence[str], checkpoint: Checkpoint, model_config: ModelConfig
) -> None:
    """Raises RequestError where names, shapes or values of the body's tensors are not as the model needs them."""
    prefixes = tuple(f"{name}." for name in heads)
    body = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(prefixes)}
    if mismatch := find_mismatch(state, body):
        raise mismatch_error(mismatch, list(body), heads, checkpoint, model_config)
    _check_values({n: t for n, t in state.items() if body[n].is_floating_point()}, checkpoint)


def _check_values(tensors: dict[str, Tensor], checkpoint: Checkpoint) -> None:
    """Raises RequestError naming the first tensor that is not floating, or holds a NaN, an infinity, or a variance
    below 0, with which BatchNorm makes NaN of every image.
    """
    for name, tensor in tensors.items():
        if tensor.dtype not in _FLOATS:
            dtype = str(tensor.dtype).removeprefix("torch.")
            raise RequestError(
                f"{checkpoint.where}: {name} is {dtype}, a weight must be floating point",
                "give the file from before it was quantised",
            )
        if not torch.isfinite(tensor).all():
            raise RequestError(
                f"{checkpoint.where}: {name} holds NaN or infinity", "give a file from before it diverged"
            )
        if name.endswith("running_var") and (tensor < 0).any():
            raise RequestError(
                f"{checkpoint.where}: {name} holds {tensor.min():g}, and a variance is never below 0",
                "give a file that was saved as it was trained",
            )


def _fill(model: nn.Module, state: dict[str, Tensor], checkpoint: Checkpoint) -> None:
    """Copy the checked tensors into the model. Only its head, which is set already, and batch counters remain."""
    own = {name: t for name, t in model.state_dict().items() if name not in state}
    try:
        model.load_state_dict({**own, **state}, strict=True)
    except RuntimeError as error:
        problem = " ".join(str(error).split())
        raise RequestError(f"{checkpoint.where} cannot be copied into the model: {problem}") from error
