"""Tiny networks of the families whose classifier is several linear layers, or has others before it, for tests."""

from typing import Any

import timm
from timm.models.metaformer import Attention, LayerNorm2dNoBias, LayerNormNoBias, MetaFormer, SepConv
from torch import nn

from tests.helpers.tiny import draw_weights

FAMILIES: dict[str, dict[str, Any]] = {  # name -> further arguments of timm.create_model
    "levit_128s": {"img_size": 64, "embed_dim": (16, 24, 32), "num_heads": (1, 2, 2), "depth": (1, 1, 1)},
    "levit_256d": {"img_size": 64, "embed_dim": (16, 24, 32), "key_dim": 8, "num_heads": (1, 2, 2), "depth": (1, 1, 1)},
    "deit_tiny_distilled_patch16_224": {"img_size": 64, "embed_dim": 24, "depth": 2, "num_heads": 2},
    "pit_ti_distilled_224": {"img_size": 64, "base_dims": (8, 8, 8), "depth": (1, 1, 1), "heads": (1, 2, 2)},
    "efficientformer_l1": {"img_size": 224, "depths": (1, 1, 1, 2), "embed_dims": (8, 12, 16, 24)},
    "efficientformerv2_s0": {
        "img_size": 64, "depths": (1, 1, 2, 2), "embed_dims": (8, 8, 16, 24), "num_vit": 1, "mlp_ratios": 2,
    },
    "swiftformer_xs": {"img_size": 64, "layers": (1, 1, 1, 1), "embed_dims": (8, 12, 16, 24)},
    "repvit_m1": {"embed_dim": (8, 12, 16, 24), "depth": (1, 1, 1, 1)},
    "iformer_t": {
        "dims": (8, 8, 12, 16), "depths": (1, 1, 3, 1), "attn_groups": (0, 0, 1, 0),
    },
    "iformer_m_distilled": {
        "dims": (8, 8, 12, 16), "depths": (1, 1, 3, 1), "attn_groups": (0, 0, 1, 0),
    },
    "crossvit_tiny_240": {
        "img_size": 48, "img_scale": (1.0, 2 / 3), "embed_dim": (24, 36), "depth": ((1, 1, 0),), "num_heads": (3, 3),
        "mlp_ratio": (2, 2, 1),
    },
    "efficientvim_m1": {"embed_dim": (16, 24, 32), "depths": (1, 1, 1)},
    "efficientvim_m1_dist": {"embed_dim": (16, 24, 32), "depths": (1, 1, 1)},
}  # fmt: skip


MLP_HEAD = "metaformer"  # whose constructors by name take no sizes


def family(name: str, num_classes: int = 5, seed: int = 0) -> nn.Module:
    """One of the networks in eval mode, every floating tensor drawn anew."""
    if name == MLP_HEAD:
        return draw_weights(with_mlp_head(num_classes), seed).eval()
    return draw_weights(timm.create_model(name, num_classes=num_classes, **FAMILIES[name]), seed).eval()


def with_mlp_head(num_classes: int) -> nn.Module:
    """A tiny CAFormer."""
    mixers, norms = [SepConv, SepConv, Attention, Attention], [LayerNorm2dNoBias] * 2 + [LayerNormNoBias] * 2
    return MetaFormer(
        depths=(1, 1, 1, 1), dims=(8, 8, 32, 32), token_mixers=mixers, norm_layers=norms, num_classes=num_classes
    )


def side_of(name: str) -> int:
    """Of the images that it takes [pixels]."""
    return int(FAMILIES.get(name, {}).get("img_size", 64))
