"""The outputs of a model's blocks for images, pooled over positions, and the features before the head."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ftcli.model.blocks import blocks_of
from ftcli.model.head import features
from ftcli.model.names import PENULTIMATE

Pooling = Callable[[Tensor, int], Tensor]  # of an output [B, …] with the dimension of its channels


@dataclass(frozen=True)
class BlockEnd:
    """The end of a block: the module whose output is the block's, and the dimension of its channels."""

    block: str
    module: nn.Module
    channels: int


def find_block_ends(model: nn.Module, images: Tensor) -> list[BlockEnd]:
    """The ends of the body's blocks, in order, found by one pass over images [B, C, H, W].

    The end of a block is the module that returns last among those all of whose parameters are the block's: the
    block's own module where it has one, else the last of its layers. A block none of whose modules is called is left
    out.
    """
    order: list[nn.Module] = []
    shapes: dict[nn.Module, torch.Size] = {}

    def note_output(module: nn.Module, _: Any, output: Any) -> None:
        if (tensor := first_tensor(output)) is not None and tensor.ndim > 1:
            order.append(module)
            shapes[module] = tensor.shape

    body, _ = blocks_of(model)
    owners = module_owners(model, {name: block.name for block in body for name in block.tensors})
    with hooked(list(owners), note_output), torch.inference_mode():
        features(model, images)
    ends = {name: module for module in order if (name := owners[module]) is not None}
    return [
        BlockEnd(block.name, end, channels_of(end, shapes[end], model))
        for block in body
        if (end := ends.get(block.name)) is not None
    ]


def channels_of(module: nn.Module, shape: torch.Size, model: nn.Module) -> int:
    """The dimension of the channels in an output: the one as wide as the module's last parameter, where only one of
    dimensions 1 and -1 is; else the last for tokens, and for maps what timm says of the model.
    """
    width = [len(parameter) for parameter in module.parameters() if parameter.ndim][-1]
    first, last = shape[1] == width, shape[-1] == width
    if first != last:
        return 1 if first else -1
    return -1 if len(shape) == 3 or model_is_channels_last(model) else 1


def module_owners(model: nn.Module, block_of: dict[str, str]) -> dict[nn.Module, str | None]:
    """The block that has all parameters of each module; None where they are of several blocks, or of the head.

    block_of: the block of each parameter of the body.
    """
    owners: dict[str, set[str | None]] = {}
    for name, _ in model.named_parameters():
        parts = name.split(".")
        for depth in range(len(parts)):
            owners.setdefault(".".join(parts[:depth]), set()).add(block_of.get(name))
    modules = dict(model.named_modules())
    return {modules[path]: next(iter(blocks)) if len(blocks) == 1 else None for path, blocks in owners.items()}


def model_is_channels_last(model: nn.Module) -> bool:
    """Whether the model's maps are [B, H, W, C], as timm says of it."""
    return str(getattr(model, "output_fmt", "NCHW")).endswith("NHWC")


def pooled_outputs(
    model: nn.Module, ends: list[BlockEnd], images: Tensor, pooling: Pooling | None = None
) -> dict[str, Tensor]:
    """Images [B, C, H, W] to {block: [B, C], …, "penultimate": [B, D]}, averaged over positions or tokens.

    pooling: of a block's output, in place of `pool`.
    """
    outputs: dict[str, Tensor] = {}
    by_module = {end.module: end for end in ends}

    def keep_pooled(module: nn.Module, _: Any, output: Any) -> None:
        tensor = first_tensor(output)
        assert tensor is not None
        end = by_module[module]
        outputs[end.block] = (pooling or pool)(tensor, end.channels)

    with hooked(list(by_module), keep_pooled):
        phi = features(model, images)
    return {end.block: outputs[end.block] for end in ends} | {PENULTIMATE: phi}


def pool(output: Tensor, channels: int) -> Tensor:
    """[B, …] to [B, C]: the mean over everything but images and channels."""
    if output.ndim == 2:
        return output
    others = [i for i in range(1, output.ndim) if i != channels % output.ndim]
    return output.mean(others)


def pool_moments(output: Tensor, channels: int) -> Tensor:
    """[B, …] to [B, 2C]: the mean over everything but images and channels, then the standard deviation."""
    if output.ndim == 2:
        return torch.cat([output, torch.zeros_like(output)], 1)
    others = [i for i in range(1, output.ndim) if i != channels % output.ndim]
    return torch.cat([output.mean(others), output.std(others, correction=0)], 1)


def first_tensor(output: Any) -> Tensor | None:
    """A module's output, or the first of several."""
    if isinstance(output, tuple | list) and output:
        output = output[0]
    return output if isinstance(output, Tensor) else None


@contextmanager
def hooked(modules: list[nn.Module], hook: Callable[[nn.Module, Any, Any], None]) -> Iterator[None]:
    """Inside, `hook` is called with the output of each of the modules."""
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
