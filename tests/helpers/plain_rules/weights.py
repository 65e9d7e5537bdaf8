"""Weights as the plain rules take and give them.

Weights are dicts from the name of a tensor to its values: tensors, arrays or lists. Results are dicts of float64
arrays. Integer tensors (the counters of BatchNorm) are left out.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

Array = np.ndarray
Weights = dict[str, Array]
Given = Mapping[str, Any]  # weights as the caller has them


def plain(values: Any) -> Array:
    """A float64 copy of a tensor, array or list, of the same shape."""
    if isinstance(values, torch.Tensor):
        return values.detach().cpu().to(torch.float64).numpy().copy()
    return np.array(values, dtype=np.float64)


def plain_weights(weights: Given) -> Weights:
    """Float64 copies of the floating tensors."""

    def floating(values: Any) -> bool:
        if isinstance(values, torch.Tensor):
            return values.is_floating_point()
        return np.asarray(values).dtype.kind == "f"

    return {name: plain(values) for name, values in weights.items() if floating(values)}
