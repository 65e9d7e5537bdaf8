"""Six tiny networks of different families, for tests: name -> further arguments of timm.create_model."""

from typing import Any

import timm
import torch
from torch import Tensor, nn

SIX: dict[str, dict[str, Any]] = {
    "test_resnet": {},
    "test_vit": {},
    "test_convnext": {},
    "test_efficientnet": {},
    "mobilenetv3_small_050": {},
    "swin_tiny_patch4_window7_224": {
        "img_size": 64,
        "embed_dim": 12,
        "depths": (1, 1, 1, 1),
        "num_heads": (1, 1, 2, 2),
    },
}
SIDE = 64  # pixels


def tiny(name: str, num_classes: int = 5, seed: int = 0) -> nn.Module:
    """One of the six, with every floating tensor drawn anew, so that no branch is switched off by its initial zeros."""
    args = {**SIX[name], "img_size": SIDE} if name in ("test_vit", "swin_tiny_patch4_window7_224") else SIX[name]
    return draw_weights(timm.create_model(name, num_classes=num_classes, **args), seed).eval()


def draw_weights(model: nn.Module, seed: int) -> nn.Module:
    """The model, every floating tensor drawn anew."""
    generator = torch.Generator().manual_seed(seed)
    for key, tensor in model.state_dict().items():
        if key.endswith("running_var"):
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif tensor.ndim == 1 and key.endswith("weight"):
            tensor.normal_(1.0, 0.1, generator=generator)
        elif tensor.is_floating_point():
            fan_in = tensor[0].numel() if tensor.ndim > 1 else 100
            tensor.normal_(0.0, max(fan_in, 1) ** -0.5, generator=generator)
    return model


def images(n: int = 2, side: int = SIDE) -> Tensor:
    """[n, 3, side, side] float32, the same each time."""
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(1))
