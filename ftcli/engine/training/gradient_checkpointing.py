"""Gradient checkpointing: most activations are not kept for the backward pass, which computes them anew."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from timm.layers import set_reentrant_ckpt, use_reentrant_ckpt
from torch import nn

from ftcli.config.training import Training
from ftcli.errors import RequestError
from ftcli.model.normalization import batch_norms


class GradientCheckpointing:
    """timm's checkpointing of a model: the input of every block is kept, and the block runs again in the backward pass.

    Gradients and weights are those without it. Outside its contexts the model is as it was, and so are copies of it.
    """

    def __init__(self, model: nn.Module, enabled: bool) -> None:
        self.model, self.enabled = model, enabled

    @contextmanager
    def on(self) -> Iterator[None]:
        """Around a forward pass and its backward pass."""
        if not self.enabled:
            yield
            return
        reentrant = use_reentrant_ckpt()
        set_reentrant_ckpt(False)  # the other kind gives a block no gradient whose input needs none
        _switch(self.model, True)
        try:
            yield
        finally:
            _switch(self.model, False)
            set_reentrant_ckpt(reentrant)

    @contextmanager
    def same_statistics(self) -> Iterator[None]:
        """Around the backward pass: BatchNorm, which sees a batch once more there, does not count it once more."""
        layers = [layer for layer in batch_norms(self.model) if layer.training] if self.enabled else []
        buffers = [buffer for layer in layers for buffer in layer.buffers(recurse=False)]
        before = [buffer.clone() for buffer in buffers]
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, value in zip(buffers, before, strict=True):
                    buffer.copy_(value)


def uses_checkpointing(config: Training) -> bool:
    """Whether the options ask for it; of commands that train no body, none do."""
    return bool(getattr(config, "grad_checkpointing", False))


def check_checkpointing(config: Training, model: nn.Module, name: str) -> None:
    """Raises RequestError where it is asked for and the network, called `name`, has none."""
    if uses_checkpointing(config) and not can_checkpoint(model):
        raise RequestError(
            f"--grad-checkpointing: {name} has none in timm.", "leave it out; a smaller --batch-size takes less memory"
        )


def can_checkpoint(model: nn.Module) -> bool:
    """Whether some module of the network runs again in the backward pass when it is asked to."""
    if not hasattr(model, "set_grad_checkpointing"):
        return False
    try:
        _switch(model, True)
    except AssertionError:  # timm's way to say no
        return False
    found = any(getattr(module, "grad_checkpointing", False) for module in model.modules())
    _switch(model, False)
    return found


def _switch(model: Any, enabled: bool) -> None:
    model.set_grad_checkpointing(enabled)
