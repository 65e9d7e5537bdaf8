"""What each block of a model puts out for an image, pooled to one number per channel; and what goes into the head."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ftcli.model.blocks import blocks_of
from ftcli.model.head import features

PENULTIMATE = "penultimate"  # the features: the head's input


@dataclass(frozen=True)
class Place:
    """The end of a block: the module whose output is the block's, and the dimension of its channels."""

    block: str
    module: nn.Module
    channels: int


def places_of(model: nn.Module, images: Tensor) -> list[Place]:
    """Where the body's blocks end, in order, found by one pass over images [B, C, H, W].

    The end of a block is the module that returns last among those all of whose parameters are the block's: the
    block's own module where it has one, else the last of its layers. A block none of whose modules is called has no
    place.
    """
    order: list[nn.Module] = []
    shapes: dict[nn.Module, torch.Size] = {}

    def returned(module: nn.Module, _: Any, output: Any) -> None:
        if (tensor := first_tensor(output)) is not None and tensor.ndim > 1:
            order.append(module)
            shapes[module] = tensor.shape

    body, _ = blocks_of(model)
    owner = {name: block.name for block in body for name in block.tensors}
    blocks = owners(model, owner)
    with hooked(list(blocks), returned), torch.inference_mode():
        features(model, images)
    ends = {name: module for module in order if (name := blocks[module]) is not None}
    return [
        Place(block.name, end, channels_of(end, shapes[end], model))
        for block in body
        if (end := ends.get(block.name)) is not None
    ]


def channels_of(module: nn.Module, shape: torch.Size, model: nn.Module) -> int:
    """The dimension of an output that holds its channels: the one as wide as the module's last parameter, where just
    one of the second and the last is; else as timm says of the model, the last for tokens.
    """
    width = [len(parameter) for parameter in module.parameters() if parameter.ndim][-1]
    first, last = shape[1] == width, shape[-1] == width
    if first != last:
        return 1 if first else -1
    return -1 if len(shape) == 3 or model_is_channels_last(model) else 1


def owners(model: nn.Module, owner: dict[str, str]) -> dict[nn.Module, str | None]:
    """The block to which all parameters of each module belong; None where they are of several, or of the head."""
    found: dict[str, set[str | None]] = {}
    for name, _ in model.named_parameters():
        parts = name.split(".")
        for depth in range(len(parts)):
            found.setdefault(".".join(parts[:depth]), set()).add(owner.get(name))
    modules = dict(model.named_modules())
    return {modules[path]: next(iter(blocks)) if len(blocks) == 1 else None for path, blocks in found.items()}


def model_is_channels_last(model: nn.Module) -> bool:
    """Whether the model's maps are [B, H, W, C], as timm says of it."""
    return str(getattr(model, "output_fmt", "NCHW")).endswith("NHWC")


def pooled_outputs(model: nn.Module, places: list[Place], images: Tensor) -> dict[str, Tensor]:
    """Images [B, C, H, W] to {block: [B, C], …, "penultimate": [B, D]}, averaged over positions or tokens."""
    caught: dict[str, Tensor] = {}
    at = {place.module: place for place in places}

    def catch(module: nn.Module, _: Any, output: Any) -> None:
        tensor = first_tensor(output)
        assert tensor is not None
        place = at[module]
        caught[place.block] = pool(tensor, place.channels)

    with hooked(list(at), catch):
        phi = features(model, images)
    return {place.block: caught[place.block] for place in places} | {PENULTIMATE: phi}


def pool(output: Tensor, channels: int) -> Tensor:
    """[B, …] to [B, C]: the mean over everything but images and channels."""
    if output.ndim == 2:
        return output
    others = [i for i in range(1, output.ndim) if i != channels % output.ndim]
    return output.mean(others)


def first_tensor(output: Any) -> Tensor | None:
    """A module's output, or the first of several."""
    if isinstance(output, tuple | list) and output:
        output = output[0]
    return output if isinstance(output, Tensor) else None


@contextmanager
def hooked(modules: list[nn.Module], hook: Callable[[nn.Module, Any, Any], None]) -> Iterator[None]:
    """Inside, `hook` is told what each of the modules returns."""
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
