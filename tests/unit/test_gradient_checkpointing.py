"""Gradient checkpointing: less is kept for the backward pass, and nothing else is another number."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import timm
import torch
import torch.utils.checkpoint
from timm.layers import config
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ftcli.commands import method_of
from ftcli.config.declare import Numbers, Words
from ftcli.config.surgical import Surgical
from ftcli.engine.plan import Plan, always
from ftcli.engine.train import fit
from ftcli.engine.training.gradient_checkpointing import GradientCheckpointing, can_checkpoint
from ftcli.log import Log
from ftcli.methods.initial_head import copy_with_fresh_head
from ftcli.model.trainable import training_mode
from tests.helpers.families import family, side_of
from tests.helpers.tiny import SIDE, SIX, images, tiny
from tests.helpers.worlds import coloured, loaded, world

ONE_RATE = Numbers((1e-2,))
KEEPING = ("levit_128s", "efficientformer_l1")  # in eval mode, biases of their attention
STOCHASTIC = {"drop_rate": 0.3, "drop_path_rate": 0.3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coloured(tmp_path_factory.mktemp("train"))


def labels(n: int) -> Tensor:
    return torch.arange(n) % 5


def one_pass(model: nn.Module, enabled: bool, batch: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor], int]:
    """Gradients and buffers after a step, and the bytes that were kept for the backward pass."""
    kept: dict[int, int] = {}

    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        if (place := tensor.untyped_storage().data_ptr()) not in own:
            kept[place] = tensor.untyped_storage().nbytes()
        return tensor

    checkpointing = GradientCheckpointing(model, enabled)
    torch.manual_seed(7)
    with checkpointing.on():
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = cross_entropy(model(batch), labels(len(batch)))
        total = sum(kept.values())
        with checkpointing.same_statistics():
            loss.backward()
    torch.rand(1)
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return gradients, {name: b.clone() for name, b in model.named_buffers()} | {"rng": torch.get_rng_state()}, total


@pytest.mark.parametrize("name", [*SIX, *KEEPING])
@pytest.mark.parametrize("bn", ["train", "eval"])
def test_gradients_statistics_and_random_numbers_are_the_same(name: str, bn: str) -> None:
    """To the last bit: of all of the network, and of its last half alone, whatever timm is told of its own way."""
    for frozen in (0.0, 0.5):
        model = (family if name in KEEPING else tiny)(name)
        parameters = list(model.parameters())
        for parameter in parameters[: int(frozen * len(parameters))]:
            parameter.requires_grad_(False)
        training_mode(model, bn)
        batch = images(8, side_of(name) if name in KEEPING else SIDE)
        plain = one_pass(deepcopy(model), False, batch)
        with mock.patch.object(config, "_USE_REENTRANT_CKPT", frozen > 0):
            again = one_pass(deepcopy(model), True, batch)
            assert config.use_reentrant_ckpt() == (frozen > 0)
        for found, expected in zip(again[:2], plain[:2], strict=True):
            assert found.keys() == expected.keys()
            assert [name for name in found if not torch.equal(found[name], expected[name])] == []
        assert len(plain[0]) == sum(parameter.requires_grad for parameter in parameters)


@pytest.mark.parametrize(("name", "arguments"), [("test_vit", {"img_size": 64}), ("resnet18", {})])
def test_dropout_and_stochastic_depth_draw_the_same(name: str, arguments: dict[str, Any]) -> None:
    model = timm.create_model(name, num_classes=5, **STOCHASTIC, **arguments).train()
    plain, again = (one_pass(deepcopy(model), enabled, images(8)) for enabled in (False, True))
    dry = one_pass(deepcopy(model).eval(), False, images(8))
    for which in (0, 1):
        assert all(torch.equal(again[which][key], tensor) for key, tensor in plain[which].items())
    assert any(not torch.equal(dry[0][key], tensor) for key, tensor in plain[0].items())


@pytest.mark.parametrize(("name", "most"), [("test_vit", 0.8), ("test_resnet", 0.9), ("test_convnext", 0.8)])
def test_less_is_kept(name: str, most: float) -> None:
    kept = [one_pass(tiny(name).train(), enabled, images(8))[2] for enabled in (False, True)]
    assert kept[1] < most * kept[0]


def test_a_second_count_of_batches_would_be_seen() -> None:
    """Without the care for BatchNorm its statistics are others: the comparison above can fail."""
    model = tiny("test_resnet").train()
    plain = one_pass(deepcopy(model), False, images(8))
    with mock.patch.object(GradientCheckpointing, "same_statistics", lambda _: torch.enable_grad()):
        twice = one_pass(deepcopy(model), True, images(8))
    assert any(not torch.equal(twice[1][name], plain[1][name]) for name in plain[1])


def fitted(folder: Path, name: str, plan: dict[str, Any], enabled: bool, **options: Any) -> tuple[Any, nn.Module]:
    inputs, asked = world(
        folder, "finetune", epochs=2, pick="last", grad_checkpointing=enabled, batch_size=8, **options
    )
    model = copy_with_fresh_head(loaded(name).model, inputs, seed=3)
    names = [name for name, _ in model.named_parameters()]
    anchored = {"anchored": names[:-2]} if plan else {}
    run = fit(model, Plan(always(names).tensors_in, **anchored, **plan), 1e-2, asked, inputs, 3, Log())
    return run, model


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet"])
@pytest.mark.parametrize(
    ("plan", "options"),
    [
        ({}, {"bn": "train", "clip_norm": 1.0}),
        ({}, {"bn": "eval", "ema": 0.9}),
        ({"ldifs": 1.0}, {"bn": "train"}),
        ({"ldifs": 1.0}, {"bn": "train", "precision": "bf16"}),
        ({"l2": 0.1, "project": "spd:1", "mixup": 0.7}, {"bn": "train"}),
    ],
)
def test_runs_are_the_same(folder: Path, name: str, plan: dict[str, Any], options: dict[str, Any]) -> None:
    """Losses, history and weights, to the last bit; blocks did run again."""
    expected, _ = fitted(folder, name, plan, False, **options)
    with mock.patch.object(
        torch.utils.checkpoint, "checkpoint", side_effect=torch.utils.checkpoint.checkpoint
    ) as counted:
        found, model = fitted(folder, name, plan, True, **options)
    assert counted.call_count > 0
    assert [(e.loss, e.id_val) for e in found.history] == [(e.loss, e.id_val) for e in expected.history]
    assert all(torch.equal(found.candidate.state[key], tensor) for key, tensor in expected.candidate.state.items())
    assert not any(getattr(module, "grad_checkpointing", False) for module in model.modules())


def test_only_steps_run_blocks_again(folder: Path) -> None:
    """Neither evaluation nor the frozen part; what trains behind a frozen part does, where images stay the same too."""
    inputs, _ = world(folder, "finetune")
    plain = Surgical(train=str(folder), blocks=Words(("last",)), augment="none", batch_size=8, epochs=1, lr=ONE_RATE)
    again, network = replace(plain, grad_checkpointing=True), loaded("test_vit")
    with mock.patch.object(
        torch.utils.checkpoint, "checkpoint", side_effect=torch.utils.checkpoint.checkpoint
    ) as counted:
        found = method_of("surgical")(network, inputs, again, Log())
    assert inputs.train is not None
    depth = len(network.model.blocks)  # type: ignore[arg-type]
    assert counted.call_count == depth * inputs.train.steps(skip_single=False)
    expected = method_of("surgical")(loaded("test_vit"), inputs, plain, Log())
    for key, tensor in expected.best.state.items():
        torch.testing.assert_close(found.best.state[key], tensor, rtol=1e-5, atol=1e-6)


def test_networks_that_have_none_are_seen() -> None:
    with torch.device("meta"):
        assert not can_checkpoint(timm.create_model("vgg11"))
        assert not can_checkpoint(nn.Linear(2, 2))
        model = timm.create_model("densenet121")
    assert can_checkpoint(model)
    assert not any(getattr(module, "grad_checkpointing", False) for module in model.modules())


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_low_rank_changes_are_the_same(folder: Path, name: str) -> None:
    pytest.importorskip("peft")
    states = []
    for enabled in (False, True):
        inputs, asked = world(
            folder, "finetune", epochs=2, lr=ONE_RATE, tune="lora:2", ldifs=1.0, grad_checkpointing=enabled
        )
        states.append(method_of("finetune")(loaded(name), inputs, asked, Log()).best.state)
    assert all(torch.equal(states[1][key], tensor) for key, tensor in states[0].items())
