"""Normalisation layers, found by the type of the module, whatever it is called in a network."""

import re

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def norm_tensors(model: nn.Module, *, batch_only: bool = False) -> list[str]:
    """Names of the parameters (scale and shift) of every normalisation layer, or of those of batch normalisation."""
    return [
        f"{path}.{name}" if path else name
        for path, module in model.named_modules()
        if (isinstance(module, _BatchNorm) if batch_only else is_norm(module))
        for name, _ in module.named_parameters(recurse=False)
    ]


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Every layer that can normalise by the statistics of a batch."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def is_norm(module: nn.Module) -> bool:
    """Whether its class, or one that it is derived from, is called a norm: torch's and timm's share no base class.

    The blocks of timm's networks without any are called norm-free.
    """
    return any(re.search("Norm(?!Free)", kind.__name__) for kind in type(module).__mro__)
