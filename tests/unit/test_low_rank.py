"""LoRA: a run of the engine against a plain loop in float64 that knows nothing of PEFT, and what it leaves alone."""

import sys
from functools import lru_cache
from math import sqrt
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import timm
import torch
from timm.layers import Conv2dSame, StdConv2d
from torch import Tensor, nn

from ftcli.commands import method_of
from ftcli.config.declare import Numbers
from ftcli.config.tuning import Finetune
from ftcli.engine.grid import Trained
from ftcli.engine.training.low_rank import LowRankNetwork
from ftcli.engine.training_run import snapshot
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.methods.initial_head import copy_with_fresh_head
from ftcli.model.head import classifier_tensors
from ftcli.model.low_rank import low_rank_layers, obstacle
from tests.helpers.families import FAMILIES, family, side_of
from tests.helpers.plain_loop import State, difference, precise, small, tuned, unbalanced
from tests.helpers.plain_rules.low_rank import low_rank_loop, product
from tests.helpers.tiny import SIDE, SIX, draw_weights, images, tiny
from tests.helpers.worlds import loaded, moved

ADAM: dict[str, Any] = {"optimizer": "adam", "lr": Numbers((1e-2,))}
SGD: dict[str, Any] = {"lr": Numbers((3e-1,))}
MORE: dict[str, dict[str, Any]] = {  # with grouped convolutions, and with attention that reads the weights of qkv
    "swinv2_tiny_window8_256": {
        "img_size": SIDE, "embed_dim": 12, "depths": (1, 1), "num_heads": (1, 2), "window_size": 4,
    },
    "beit_base_patch16_224": {"img_size": SIDE, "embed_dim": 24, "depth": 2, "num_heads": 2},
    "eva02_tiny_patch14_224": {"img_size": 56, "embed_dim": 24, "depth": 2, "num_heads": 2},
    "resnext26ts": {},
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unbalanced(tmp_path_factory.mktemp("low-rank") / "set")


def run(name: str, folder: Path, **options: Any) -> tuple[Trained, dict[str, Tensor]]:
    """A run in float64, and A of every layer as it was drawn, by the path of the layer."""
    drawn: dict[str, Tensor] = {}

    class Recorded(LowRankNetwork):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            for path in self.layers:
                drawn[path] = self.module.get_parameter(self.names(f"{path}.weight")[0]).detach().clone()

    with mock.patch("ftcli.engine.train.LowRankNetwork", Recorded):
        return tuned(name, folder, **options), drawn


@lru_cache(maxsize=2)
def plain(name: str, folder: Path, drawn: Any, **options: Any) -> State:
    inputs, config = small(name, folder, **options)
    return low_rank_loop(copy_with_fresh_head(precise(name).model, inputs, seed=0), inputs, config, dict(drawn))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("test_resnet", {**SGD, "bn": "train"}),
        ("test_resnet", {"lr": Numbers((1e-1,)), "bn": "eval", "layer_decay": 0.5, "clip_norm": 0.3}),
        ("test_resnet", {**ADAM, "unfreeze": "last-to-first", "head_rate": 3.0}),
        ("test_resnet", {**ADAM, "ma": True}),
        ("test_resnet", {**SGD, "ldifs": 1000.0}),
        ("test_vit", {**ADAM, "ema": 0.7, "label_smoothing": 0.1}),
        ("test_vit", {**SGD, "weight_decay": 0.05, "bn": "eval"}),
    ],
    ids=str,
)
def test_equals_the_plain_loop(folder: Path, name: str, options: dict[str, Any]) -> None:
    trained, drawn = run(name, folder, tune="lora:3", **options)
    A, state = tuple(drawn.items()), trained.best.state
    assert difference(state, plain(name, folder, A, tune="lora:3", **options)) < 1e-6
    for option in options.keys() - {"bn", "lr", "optimizer"}:
        others = {key: value for key, value in options.items() if key != option}
        assert difference(state, plain(name, folder, A, tune="lora:3", **others)) > 1e-5, f"{option}: no difference"


@pytest.mark.parametrize(("name", "bn"), [("test_resnet", "train"), ("test_resnet", "eval"), ("test_vit", "train")])
def test_moves_its_layers_and_the_head_alone(folder: Path, name: str, bn: str) -> None:
    setting, config = small(name, folder, tune="lora:2", bn=bn, lr=Numbers((1e-1,)))
    network = loaded(name)
    before = snapshot(copy_with_fresh_head(network.model, setting, seed=0))
    trained = method_of("finetune")(network, setting, config, Log())
    head = set(classifier_tensors(network.model))
    network.model.load_state_dict(trained.best.state)  # the names of timm, no others
    assert trained.low_rank is not None
    changed = {f"{path}.weight" for path in trained.low_rank.layers} | head
    assert moved(before, network.model) == changed == set(trained.trained_parameters)
    for path in trained.low_rank.layers:
        change = (trained.best.state[f"{path}.weight"] - before[f"{path}.weight"]).double().flatten(1)
        values = torch.linalg.svdvals(change) / torch.linalg.matrix_norm(change, 2)
        assert values[0] > 0.99 and (values[2:] < 1e-4).all(), path  # of rank 2


def test_which_layers(folder: Path) -> None:
    of = {name: set(layers(name)) for name in ("test_vit", "test_resnet", "test_convnext")}
    assert of["test_vit"] == {f"blocks.{i}.attn.{layer}" for i in range(6) for layer in ("qkv", "proj")}
    assert "conv1.0" in of["test_resnet"] and "layer2.0.downsample.1" in of["test_resnet"]
    assert {"stem.0", "stages.1.downsample.1", "stages.2.blocks.3.mlp.fc2"} <= of["test_convnext"]
    assert not any("conv_dw" in path or "head" in path or path == "fc" for paths in of.values() for path in paths)
    swin = low_rank_layers(tiny("swin_tiny_patch4_window7_224"), 2, (3, SIDE, SIDE))
    assert set(swin.parameters) == {f"layers.{i}.blocks.0.attn.{layer}" for i in range(4) for layer in ("qkv", "proj")}
    assert not swin.left_out


def test_layers_that_cannot_be_changed_are_named() -> None:
    grouped = low_rank_layers(tiny("test_convnext"), 2, (3, SIDE, SIDE)).left_out
    assert (
        list(grouped) == ["a grouped convolution"] and "stages.0.blocks.0.conv_dw" in grouped["a grouped convolution"]
    )
    for name, attention in (
        ("swinv2_tiny_window8_256", "layers.0.blocks.0.attn"),
        ("beit_base_patch16_224", "blocks.0.attn"),
    ):
        found = low_rank_layers(other(name), 2, (3, SIDE, SIDE))
        ((why, left_out),) = found.left_out.items()
        assert "without a call" in why and f"{attention}.qkv" in left_out and f"{attention}.proj" in found.parameters


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (nn.Conv2d(4, 4, 3, groups=2), "grouped"),
        (nn.Conv2d(4, 4, 3, dilation=2), "dilated"),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), "padding"),
        (Conv2dSame(4, 4, 3, stride=2), "Conv2dSame"),
        (StdConv2d(4, 4, 3), "StdConv2d"),
        (nn.Conv2d(4, 4, 3), None),
        (nn.Linear(4, 4), None),
    ],
    ids=str,
)
def test_what_stands_in_the_way(layer: Any, why: str | None) -> None:
    found = obstacle(layer)
    assert found is None if why is None else found is not None and why in found


def test_a_weight_of_two_layers_is_left_out() -> None:
    model = tiny("test_vit")
    model.blocks[1].attn.qkv.weight = model.blocks[0].attn.qkv.weight
    ((why, paths),) = low_rank_layers(model, 2, (3, SIDE, SIDE)).left_out.items()
    assert "alone" in why and set(paths) == {"blocks.0.attn.qkv", "blocks.1.attn.qkv"}


@pytest.mark.parametrize("name", [*SIX, *FAMILIES, *MORE])
def test_merged_weights_compute_the_same(name: str) -> None:
    """For every family, with matrices B that are not 0: PEFT's layers, the merged network and W + BA by a formula."""
    model = (tiny(name) if name in SIX else family(name) if name in FAMILIES else other(name)).double()
    side = 56 if name.startswith("eva") else side_of(name)
    x = images(2, side).double()
    found = low_rank_layers(model, 3, (3, side, side))
    start = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with torch.no_grad():
        before = model(x)
        network = LowRankNetwork(model, found.parameters, 3, seed=0)
        network.module.eval()
        network.merge()
        assert all(tensor.equal(start[key]) for key, tensor in model.state_dict().items())  # B is 0
        torch.testing.assert_close(network.module(x), before)
        pairs = {
            path: [network.module.get_parameter(n) for n in network.names(f"{path}.weight")] for path in network.layers
        }
        for _, B in pairs.values():
            B.normal_(0, 0.3)
        apart = network.module(x)
        network.merge()
        torch.testing.assert_close(model(x), apart, rtol=1e-7, atol=1e-7)
    assert not torch.allclose(apart, before, rtol=1e-3, atol=1e-3)
    assert sum(A.numel() + B.numel() for A, B in pairs.values()) == sum(found.parameters.values())
    for key, tensor in model.state_dict().items():
        path = key.removesuffix(".weight")
        expected = start[key] + product(*pairs[path][::-1]) if path in pairs else start[key]
        torch.testing.assert_close(tensor, expected, rtol=1e-12, atol=1e-12)


def test_matrices_are_drawn_from_the_seed_alone() -> None:
    def drawn(seed: int) -> dict[str, Tensor]:
        network = LowRankNetwork(model, paths, 4, seed)
        return {name: tensor for name, tensor in network.module.named_parameters() if "lora_A" in name}

    model = tiny("test_vit")
    paths = low_rank_layers(model, 4, (3, SIDE, SIDE)).parameters
    torch.manual_seed(1)
    state, first = torch.get_rng_state(), drawn(0)
    assert torch.get_rng_state().equal(state)
    torch.manual_seed(2)
    again, other_seed = drawn(0), drawn(1)
    assert all(tensor.equal(again[name]) and not tensor.equal(other_seed[name]) for name, tensor in first.items())
    for tensor in first.values():
        bound = 1 / sqrt(tensor[0].numel())
        assert 0.9 * bound < tensor.abs().max() <= bound and abs(tensor.mean()) < bound / 4


def test_a_layer_that_a_path_ends_with_is_another() -> None:
    """PEFT takes names in a list for endings of paths."""
    model = nn.Sequential()
    model.add_module("a", nn.Linear(3, 3))
    model.add_module("b", nn.Sequential())
    model.b.add_module("a", nn.Linear(3, 3))
    network = LowRankNetwork(model, ["a"], 2, seed=0)
    assert [name for name, _ in network.module.named_parameters() if "lora" in name] == [
        f"a.lora_{matrix}.default.weight" for matrix in "AB"
    ]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"l2_sp": 0.1}, "--l2-sp"),
        ({"l1_sp": 0.1}, "--l1-sp"),
        ({"project": "spd:1"}, "--project"),
        ({"init": "random", "model": "test_vit"}, "--init random"),
    ],
    ids=str,
)
def test_what_does_not_go_together(options: dict[str, Any], word: str) -> None:
    with pytest.raises(RequestError, match=word) as refused:
        Finetune(train="x", tune="lora:4", **options)
    assert refused.value.fix


def test_a_run_without_a_layer_is_refused(folder: Path) -> None:
    for options in ({"layer_decay": 0.0}, {"unfreeze": "first-to-last", "epochs": 1}):
        setting, config = small("test_vit", folder, tune="lora:2", **options)
        with pytest.raises(RequestError, match="in no epoch"):
            method_of("finetune")(loaded("test_vit"), setting, config, Log())
    with pytest.raises(RequestError, match="no layer"):
        low_rank_layers(grouped_network(), 2, (4, 8, 8))


def test_without_peft_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(RequestError, match="PEFT") as refused:
        Finetune(train="x", tune="lora:4")
    assert "install" in refused.value.fix
    with pytest.raises(RequestError, match="PEFT"):
        LowRankNetwork(nn.Linear(2, 2), [""], 1, seed=0)


def layers(name: str) -> list[str]:
    return list(low_rank_layers(tiny(name), 2, (3, SIDE, SIDE)).parameters)


def other(name: str) -> nn.Module:
    return draw_weights(timm.create_model(name, num_classes=5, **MORE[name]), 0).eval()


def grouped_network() -> nn.Module:
    """One whose only layer besides the classifier is a grouped convolution."""
    model = nn.Sequential()
    model.add_module("conv", nn.Conv2d(4, 4, 3, groups=4))
    model.add_module("pool", nn.AdaptiveAvgPool2d(1))
    model.add_module("flat", nn.Flatten())
    model.add_module("fc", nn.Linear(4, 3))
    model.get_classifier = lambda: model.fc  # type: ignore[assignment]
    return model
