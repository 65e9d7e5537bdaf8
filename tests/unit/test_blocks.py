"""Every model falls into ordered blocks: each parameter in exactly one, the classifier alone in the head."""

import logging
import warnings
from typing import Any

import pytest
import timm
import torch
from timm.models._registry import _module_to_models
from torch import nn
from torch.overrides import TorchFunctionMode

from ftcli.model.blocks import blocks_of
from tests.helpers.tiny import SIX, tiny


def check_partition(model: nn.Module) -> None:
    """Names are unique, the blocks are a partition of the parameters, each block keeps the model's order."""
    body, head = blocks_of(model)
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    tensors = [name for block in [*body, head] for name in block.tensors]
    assert sorted(tensors) == sorted(sizes)
    assert len({block.name for block in [*body, head]}) == len(body) + 1
    position = {name: i for i, name in enumerate(sizes)}
    for block in [*body, head]:
        assert block.name and block.tensors and block.parameters == sum(sizes[name] for name in block.tensors)
        assert list(block.tensors) == sorted(block.tensors, key=position.__getitem__)


def one_per_family() -> list[list[str]]:
    """Three architectures of each of timm's files, by preference: the first that can be built stands for its family."""

    def rank(name: str) -> tuple[bool, int, str]:
        small = any(word in name for word in ("test", "tiny", "nano", "small", "atto", "pico", "femto", "xxs", "xs"))
        return (not small, len(name), name)

    own = {file: names for file, names in _module_to_models.items() if hasattr(timm.models, file)}  # not a plug-in's
    return [sorted(names, key=rank)[:3] for _, names in sorted(own.items())]


class WithoutDrawing(TorchFunctionMode):
    """Skips the operations that draw initial values: half of the time of building, for values that nobody sees."""

    DRAW = ("normal_", "uniform_", "erfinv_", "clamp_", "mul_", "add_", "fill_", "zero_", "bernoulli_", "copy_")

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in self.DRAW:
            return args[0] if args else (kwargs or {}).get("tensor")
        return func(*args, **(kwargs or {}))


def bare(names: list[str]) -> nn.Module:
    """The first of `names` that can be built, without values."""
    for name in names:
        try:
            with torch.device("meta"), WithoutDrawing():
                return timm.create_model(name, num_classes=10)
        except (RuntimeError, NotImplementedError):
            continue
    pytest.fail(f"none of {names} can be built")


def test_all_families_of_timm(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    families = one_per_family()
    assert len(families) > 90
    for names in families:
        with warnings.catch_warnings(action="ignore"):
            model = bare(names)
        check_partition(model)
        body, _ = blocks_of(model)
        assert len(body) >= 3, names


@pytest.mark.parametrize(
    ("name", "names", "parameters"),
    [
        ("resnet50", "stem layer1 layer2 layer3 layer4 fc", [9536, 215808, 1219584, 7098368, 14964736, 20490]),
        ("resnet18", "stem layer1 layer2 layer3 layer4 fc", [9536, 147968, 525568, 2099712, 8393728, 5130]),
        (
            "convnext_tiny",
            "stem stages.0 stages.1 stages.2 stages.3 head.norm head.fc",
            [4896, 237888, 992256, 11112960, 15470592, 1536, 7690],
        ),
        (
            "mobilenetv3_small_100",
            "stem blocks.0 blocks.1 blocks.2 blocks.3 blocks.4 blocks.5 conv_head classifier",
            [464, 744, 9280, 128264, 51768, 680040, 56448, 590848, 10250],
        ),
        (
            "efficientnet_b0",
            "stem blocks.0 blocks.1 blocks.2 blocks.3 blocks.4 blocks.5 blocks.6+conv_head+bn2 classifier",
            [928, 1448, 16714, 46640, 242930, 543148, 2026348, 1129392, 12810],
        ),
        (
            "swin_tiny_patch4_window7_224",
            "patch_embed layers.0 layers.1 layers.2 layers.3 norm head.fc",
            [4896, 224694, 966252, 10955400, 15366576, 1536, 7690],
        ),
        (
            "vit_base_patch16_224",
            " ".join(["stem", *(f"blocks.{i}" for i in range(11)), "blocks.11+norm", "head"]),
            [742656, *[7087872] * 11, 7089408, 7690],
        ),
    ],
)
def test_known_architectures(name: str, names: str, parameters: list[int]) -> None:
    with torch.device("meta"):
        body, head = blocks_of(timm.create_model(name, num_classes=10))
    found = {block.name: block.parameters for block in [*body, head]}
    wanted = dict(zip(names.split(), parameters, strict=True))
    assert list(found.values()) == list(wanted.values())
    assert [n.removesuffix(".fc") for n in found] == [n.removesuffix(".fc") for n in wanted]


@pytest.mark.parametrize("name", SIX)
def test_the_six(name: str) -> None:
    check_partition(tiny(name))


def test_a_model_without_a_matcher_is_cut_at_its_children() -> None:
    model = nn.Sequential()
    model.add_module("first", nn.Linear(4, 4))
    model.add_module("second", nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)))
    model.add_module("top", nn.Linear(4, 2))
    model.pretrained_cfg = {"classifier": "top"}
    body, head = blocks_of(model)
    assert [block.name for block in body] == ["first", "second"] and head.tensors == ("top.weight", "top.bias")
