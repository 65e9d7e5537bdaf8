"""What blocks put out, against forward passes written by hand; the model is left as it was."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, layer_norm

from ftcli.model.block_outputs import find_block_ends, hooked, pool, pooled_outputs
from ftcli.model.blocks import blocks_of
from ftcli.model.head import features
from ftcli.model.names import PENULTIMATE
from tests.helpers.tiny import SIDE, SIX, images, tiny

Named = dict[str, Tensor]


def maps(x: Tensor) -> Tensor:
    """[B, C, H, W] to [B, C]."""
    return x.mean((2, 3))


def resnet(model: Any, x: Tensor) -> Named:
    found = {}
    x = model.bn1(model.conv1(x))
    found["stem"] = maps(x)  # the last layer that has parameters; what follows has none and belongs to no block
    x = model.maxpool(x.relu())
    for name in ("layer1", "layer2", "layer3", "layer4"):
        for part in getattr(model, name):
            x = part(x)
        found[name] = maps(x)
    return found | {PENULTIMATE: maps(x)}


def vit(model: Any, x: Tensor) -> Named:
    proj = model.patch_embed.proj
    x = conv2d(x, proj.weight, proj.bias, stride=16)
    found = {"stem": maps(x)}
    x = x.flatten(2).transpose(1, 2)  # [B, N, D]
    x = torch.cat([model.cls_token.expand(len(x), -1, -1), x], 1) + model.pos_embed
    for i, block in enumerate(model.blocks):
        x = block(x)
        found[f"blocks.{i}"] = x.mean(1)  # the class token among them
    del found["blocks.5"]
    x = layer_norm(x, (x.shape[-1],), model.norm.weight, model.norm.bias, model.norm.eps)
    return found | {"blocks.5+norm": x.mean(1), PENULTIMATE: x[:, 0]}


def convnext(model: Any, x: Tensor) -> Named:
    found = {}
    for layer in model.stem:
        x = layer(x)
    found["stem"] = maps(x)
    for i, stage in enumerate(model.stages):
        x = stage(x)
        found[f"stages.{i}"] = maps(x)
    norm = model.head.norm
    x = layer_norm(maps(x), (x.shape[1],), norm.weight, norm.bias, norm.eps)
    return found | {"head.norm": x, PENULTIMATE: x}


def efficientnet(model: Any, x: Tensor) -> Named:
    x = model.bn1(model.conv_stem(x))  # with its activation
    found = {"stem": maps(x)}
    for i, stage in enumerate(model.blocks):
        for part in stage:
            x = part(x)
        found[f"blocks.{i}"] = maps(x)
    del found["blocks.4"]
    x = model.bn2(model.conv_head(x))
    return found | {"blocks.4+conv_head+bn2": maps(x), PENULTIMATE: maps(x)}


def mobilenetv3(model: Any, x: Tensor) -> Named:
    x = model.bn1(model.conv_stem(x))
    found = {"stem": maps(x)}
    for i, stage in enumerate(model.blocks):
        for part in stage:
            x = part(x)
        found[f"blocks.{i}"] = maps(x)
    x = model.conv_head(x.mean((2, 3), keepdim=True)).flatten(1)
    return found | {"conv_head": x, PENULTIMATE: nn.functional.hardswish(x)}


def swin(model: Any, x: Tensor) -> Named:
    """Its maps are [B, H, W, C] from the patches on."""
    embed = model.patch_embed
    x = conv2d(x, embed.proj.weight, embed.proj.bias, stride=4).permute(0, 2, 3, 1)
    x = layer_norm(x, (x.shape[-1],), embed.norm.weight, embed.norm.bias, embed.norm.eps)
    found = {"patch_embed": x.mean((1, 2))}
    for i, layer in enumerate(model.layers):
        x = layer(x)
        found[f"layers.{i}"] = x.mean((1, 2))
    x = layer_norm(x, (x.shape[-1],), model.norm.weight, model.norm.bias, model.norm.eps).mean((1, 2))
    return found | {"norm": x, PENULTIMATE: x}


BY_HAND: dict[str, Callable[[Any, Tensor], Named]] = dict(
    zip(SIX, (resnet, vit, convnext, efficientnet, mobilenetv3, swin), strict=True)
)


def outputs(model: nn.Module, x: Tensor) -> Named:
    with torch.inference_mode():
        return pooled_outputs(model, find_block_ends(model, x[:2]), x)


@pytest.mark.parametrize("name", SIX)
def test_as_a_forward_pass_by_hand(name: str) -> None:
    model, x = tiny(name), images(3)
    found = outputs(model, x)
    with torch.inference_mode():
        expected = BY_HAND[name](model, x)
    assert list(found) == list(expected)
    for block, wanted in expected.items():
        assert found[block].shape == wanted.shape, block
        np.testing.assert_allclose(found[block], wanted, rtol=1e-4, atol=1e-5, err_msg=block)


@pytest.mark.parametrize("name", SIX)
def test_blocks_in_order_and_the_heads_input_last(name: str) -> None:
    model, x = tiny(name), images(2)
    assert [place.block for place in find_block_ends(model, x)] == [block.name for block in blocks_of(model)[0]]
    found = outputs(model, x)
    assert list(found) == [*(block.name for block in blocks_of(model)[0]), PENULTIMATE]
    with torch.inference_mode():
        assert found[PENULTIMATE].equal(features(model, x))


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "swin_tiny_patch4_window7_224"])
def test_images_do_not_meet(name: str) -> None:
    """Every image's row is its own, however many there are."""
    model, x = tiny(name), images(5)
    places = find_block_ends(model, x[:2])
    with torch.inference_mode():
        whole = pooled_outputs(model, places, x)
        alone = [pooled_outputs(model, places, x[i : i + 1]) for i in range(5)]
    for block, values in whole.items():
        np.testing.assert_allclose(values, torch.cat([one[block] for one in alone]), rtol=1e-4, atol=1e-5)


def test_patches_in_a_row() -> None:
    """A ViT whose patches come as [B, N, D]."""
    fixed = timm.create_model("test_vit", num_classes=3, img_size=SIDE, dynamic_img_size=False).eval()
    model = tiny("test_vit", 3)
    fixed.load_state_dict(model.state_dict())
    with torch.inference_mode():
        expected = vit(model, images(3))
    for block, values in outputs(fixed, images(3)).items():
        np.testing.assert_allclose(values, expected[block], rtol=1e-4, atol=1e-5, err_msg=block)


@pytest.mark.parametrize("name", SIX)
def test_the_model_is_left_as_it_was(name: str) -> None:
    model, x = tiny(name), images(2)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    needed = {key: p.requires_grad for key, p in model.named_parameters()}
    seen: list[int] = []
    own = model.register_forward_pre_hook(lambda *_: seen.append(1))
    outputs(model, x)
    assert all(value.equal(before[key]) for key, value in model.state_dict().items())
    assert {key: p.requires_grad for key, p in model.named_parameters()} == needed
    assert all(p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    assert list(model._forward_pre_hooks) == [own.id] and not model.training


class Broken(RuntimeError):
    """What a layer of the test raises."""


def test_no_hook_stays_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = tiny("test_resnet"), images(2)
    places = find_block_ends(model, x)

    def fail(*_: Any) -> None:
        raise Broken

    monkeypatch.setattr(model.layer3[0], "forward", fail)  # type: ignore[index, union-attr]
    for call in (lambda: find_block_ends(model, x), lambda: pooled_outputs(model, places, x)):
        with pytest.raises(Broken):
            call()
        assert not any(module._forward_hooks for module in model.modules())


def test_hooked_tells_what_is_returned() -> None:
    layer, told = nn.Linear(2, 3), []
    with hooked([layer], lambda module, _, output: told.append((module, output))):
        returned = layer(torch.ones(1, 2))
    layer(torch.ones(1, 2))
    assert len(told) == 1 and told[0][0] is layer and told[0][1] is returned


def test_pool() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    np.testing.assert_allclose(pool(torch.from_numpy(x), 1), x.mean((2, 3)))
    np.testing.assert_allclose(pool(torch.from_numpy(x), -1), x.mean((1, 2)))
    np.testing.assert_allclose(pool(torch.from_numpy(x[..., 0]), -1), x[..., 0].mean(1))
    assert np.array_equal(pool(torch.from_numpy(x[:, :, 0, 0]), 1), x[:, :, 0, 0])
