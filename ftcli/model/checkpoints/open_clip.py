"""Folders that open_clip saved: open_clip_config.json names the vision tower, which is one of timm's ViTs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm

from ftcli.errors import RequestError
from ftcli.files import read_json
from ftcli.model.checkpoints.config_values import checked_cfg, excerpt
from ftcli.model.checkpoints.timm_config import StatedConfig
from ftcli.safe_text import listed, reason

NAME = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
PROJECTIONS = ("visual.proj", "module.visual.proj", "visual.head.proj.weight")  # to text embeddings: no classifier
TOWERS = {  # width, layers, patch [pixels], heads: the beginning of timm's name
    (512, 12, 16, 8): "vit_medium_patch16", (512, 12, 32, 8): "vit_medium_patch32",
    (768, 12, 16, 12): "vit_base_patch16", (768, 12, 32, 12): "vit_base_patch32",
    (896, 12, 16, 14): "vit_base_patch16_plus", (1024, 24, 14, 16): "vit_large_patch14",
    (1280, 32, 14, 16): "vit_huge_patch14", (1408, 40, 14, 16): "vit_giant_patch14",
    (1664, 48, 14, 16): "vit_gigantic_patch14",
}  # fmt: skip
# What does not change the network that evaluates images, beside what the table has. mlp_ratio shows in the shapes.
KNOWN = {"image_size", "width", "layers", "patch_size", "head_width", "mlp_ratio", "patch_dropout"}
CROP_MODES = {"shortest": "center", "squash": "squash", "longest": "border"}  # open_clip's resize_mode
# What open_clip takes where its file does not say.
PREPARATION = {
    "mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711),
    "interpolation": "bicubic", "resize_mode": "shortest",
}  # fmt: skip


def is_open_clip(folder: Path) -> bool:
    return (folder / NAME).is_file()


def config_of_open_clip(folder: Path) -> StatedConfig:
    """What open_clip_config.json in a folder states. Raises RequestError for a vision tower that timm does not have."""
    path = folder / NAME
    try:
        raw = read_json(path)
        model, stated = raw["model_cfg"], raw.get("preprocess_cfg") or {}
        architecture, size = tower_of(model, path)
        cfg = timm.models.get_pretrained_cfg(architecture, allow_unregistered=True)
        known = timm.models.filter_pretrained_cfg(cfg.to_dict() if cfg else {}, remove_source=True, remove_null=True)
        preparation = {**PREPARATION, **{name: stated[name] for name in PREPARATION if name in stated}}
        crop_mode = CROP_MODES[preparation.pop("resize_mode")]
        known |= preparation | {"input_size": (3, size, size), "crop_pct": 1.0, "crop_mode": crop_mode, "tag": ""}
        return StatedConfig(
            architecture=architecture,
            model_args={"img_size": size} if known.get("fixed_input_size") else {},
            pretrained_cfg=checked_cfg({n: v for n, v in known.items() if n != "label_names"}, str(path)),
            described_by=str(path),
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise RequestError(
            f"{path} is not a model configuration of open_clip: {reason(error)}", "give the file that open_clip wrote"
        ) from error


def tower_of(model: Mapping[str, Any], path: Path) -> tuple[str, int]:
    """timm's name of the vision tower, and the side of its images [pixels]."""
    vision = model["vision_cfg"]
    size = int(vision.get("image_size", 224))
    if (name := vision.get("timm_model_name")) is not None:
        if not timm.is_model(name):
            raise _unknown(path, f"timm has no architecture {excerpt(name)}")
        return str(name), size
    if others := [key for key in vision if key not in KNOWN]:
        raise _unknown(path, f"its vision tower has {listed(others)}, which timm's ViT for CLIP has not")
    width, layers, patch = (vision[name] for name in ("width", "layers", "patch_size"))
    heads = width // vision.get("head_width", 64)
    family = TOWERS.get((width, layers, patch, heads))
    if family is None:
        raise _unknown(path, f"timm has no ViT of width {width}, {layers} layers, patches of {patch}, {heads} heads")
    stem = f"{family}_clip_quickgelu" if model.get("quick_gelu") else f"{family}_clip"
    sizes = sorted(timm.list_models(f"{stem}_[0-9]*"), key=lambda name: abs(int(name.rpartition("_")[2]) - size))
    if not sizes:
        raise _unknown(path, f"timm has no {stem}")
    return sizes[0], size


def _unknown(path: Path, problem: str) -> RequestError:
    return RequestError(f"{path}: {problem}.", "name the file of the weights, and its architecture with --model")
