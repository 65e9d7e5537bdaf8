"""A folder in the form of open_clip opens as timm's own ViT: the same tensors, the same logits of features."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.model.checkpoints import open_clip
from ftcli.model.checkpoints.checkpoint import open_checkpoint
from ftcli.model.head import features
from ftcli.model.loading.load import load_model
from tests.helpers.tiny import draw_weights, images

TOWER = {"image_size": 64, "layers": 2, "width": 64, "patch_size": 16}
BLOCK = {  # of a block: timm's name -> open_clip's
    "norm1": "ln_1", "norm2": "ln_2", "attn.qkv.": "attn.in_proj_", "attn.proj": "attn.out_proj", "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}  # fmt: skip


def to_open_clip(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """timm's tensors of a CLIP ViT under open_clip's names, beside a few of a text tower."""
    renamed = {
        "logit_scale": torch.ones(()),
        "token_embedding.weight": torch.ones(3, 4),
        "positional_embedding": torch.ones(2, 4),
    }
    for name, tensor in state.items():
        if name.startswith("blocks."):
            _, number, rest = name.split(".", 2)
            for mine, theirs in BLOCK.items():
                rest = rest.replace(mine, theirs)
            renamed[f"visual.transformer.resblocks.{number}.{rest}"] = tensor
            continue
        match name.split("."):
            case ["cls_token"]:
                renamed["visual.class_embedding"] = tensor[0, 0].clone()
            case ["pos_embed"]:
                renamed["visual.positional_embedding"] = tensor[0].clone()
            case ["patch_embed", "proj", "weight"]:
                renamed["visual.conv1.weight"] = tensor
            case ["norm_pre", end]:
                renamed[f"visual.ln_pre.{end}"] = tensor
            case ["norm", end]:
                renamed[f"visual.ln_post.{end}"] = tensor
            case ["head", "weight"]:
                renamed["visual.proj"] = tensor.T.contiguous()
    return renamed


@pytest.fixture
def tower(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """A tiny CLIP ViT of timm's, of the size in the table."""
    monkeypatch.setitem(open_clip.TOWERS, (64, 2, 16, 1), "vit_base_patch16")
    create = timm.models.vision_transformer._create_vision_transformer

    def small(name: str, pretrained: bool = False, **args: Any) -> nn.Module:
        return create(name, pretrained, **{**args, "embed_dim": 64, "depth": 2, "num_heads": 1})

    monkeypatch.setattr(timm.models.vision_transformer, "_create_vision_transformer", small)
    return draw_weights(timm.create_model("vit_base_patch16_clip_224", img_size=64, num_classes=8), 0).eval()


def folder(root: Path, tower: nn.Module | None, vision: dict[str, Any], **model: Any) -> Path:
    config = {
        "model_cfg": {"embed_dim": 8, "vision_cfg": vision, "text_cfg": {}, **model},
        "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "resize_mode": "squash"},
    }
    root.mkdir(exist_ok=True)
    (root / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    state = to_open_clip(dict(tower.state_dict())) if tower else {"a": torch.ones(1)}
    save_file(state, root / "open_clip_model.safetensors")
    return root


@pytest.mark.parametrize("end", ["", "open_clip_model.safetensors"])
def test_the_tower_is_timms_with_the_same_features(tmp_path: Path, tower: nn.Module, end: str) -> None:
    where = folder(tmp_path, tower, TOWER) / end
    opened = open_checkpoint(str(where), strip_prefix=None, log=Log())
    loaded = load_model(name=None, checkpoint=opened, num_classes=8, image_size=None, log=Log())
    assert loaded.name == "vit_base_patch16_clip_224" and not loaded.head_loaded  # 8 rows of a projection
    expected = {name: tensor for name, tensor in tower.state_dict().items() if not name.startswith("head.")}
    own = loaded.model.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in expected.items())
    with torch.inference_mode():
        assert torch.equal(features(loaded.model.eval(), images()), features(tower, images()))
    config = loaded.data_config
    assert config["input_size"] == (3, 64, 64) and config["mean"] == (0.5,) * 3 and config["std"] == (0.25,) * 3
    assert (config["interpolation"], config["crop_mode"], config["crop_pct"]) == ("bicubic", "squash", 1.0)


@pytest.mark.parametrize(
    ("vision", "model", "name"),
    [
        ({"image_size": 224, "layers": 12, "width": 768, "patch_size": 32}, {}, "vit_base_patch32_clip_224"),
        (
            {"image_size": 336, "layers": 24, "width": 1024, "patch_size": 14},
            {"quick_gelu": True},
            "vit_large_patch14_clip_quickgelu_336",
        ),
        (
            {"image_size": 224, "layers": 32, "width": 1280, "head_width": 80, "patch_size": 14},
            {},
            "vit_huge_patch14_clip_224",
        ),
        ({"image_size": 224, "timm_model_name": "convnext_base", "timm_pool": ""}, {}, "convnext_base"),
    ],
)
def test_names_of_towers(tmp_path: Path, vision: dict[str, Any], model: dict[str, Any], name: str) -> None:
    assert open_clip.config_of_open_clip(folder(tmp_path, None, vision, **model)).architecture == name


@pytest.mark.parametrize(("family", "stem"), [(key, value) for key, value in open_clip.TOWERS.items()])
def test_the_table_has_timms_sizes(family: tuple[int, int, int, int], stem: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(sorted(timm.list_models(f"{stem}_clip_[0-9]*"))[0])
    block = model.blocks[0]
    assert family == (model.embed_dim, len(model.blocks), model.patch_embed.patch_size[0], block.attn.num_heads)


@pytest.mark.parametrize(
    ("vision", "says"),
    [
        ({"layers": 12, "width": 768, "patch_size": 31}, "no ViT of width 768, 12 layers, patches of 31, 12 heads"),
        ({"layers": 32, "width": 1280, "patch_size": 14}, "20 heads"),
        ({**TOWER, "attentional_pool": True}, "attentional_pool"),
        ({"timm_model_name": "no_such"}, "no architecture"),
        ({"layers": 12}, "not a model configuration of open_clip"),
    ],
)
def test_other_towers_are_refused(tmp_path: Path, vision: dict[str, Any], says: str) -> None:
    with pytest.raises(RequestError, match=says):
        open_clip.config_of_open_clip(folder(tmp_path, None, vision))
