"""Surgical runs on a tiny task, for tests: the setting, a network that knows the classes, and what has moved."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ftcli.commands import method_of
from ftcli.config.declare import Words
from ftcli.config.surgical import Surgical
from ftcli.engine.grid import Trained
from ftcli.engine.run_inputs import RunInputs
from ftcli.engine.training_run import snapshot
from ftcli.log import Log
from ftcli.model.loading.load import Loaded
from tests.helpers.plain_loop import USUAL, State
from tests.helpers.tiny import SIDE
from tests.helpers.worlds import CONFIG_OF, DATA_CONFIG, loaded, world

CLASSES = ("class0", "class1", "class2")
NORM = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)


def setting_for(name: str, folder: Path, **options: Any) -> tuple[RunInputs, Surgical]:
    """A setting of small images; one rate, one seed, and the last epoch counts."""
    side = SIDE if name in ("test_vit", "swin_tiny_patch4_window7_224") else 32
    with (
        mock.patch.dict(DATA_CONFIG, input_size=(3, side, side)),
        mock.patch.dict(CONFIG_OF, surgical=Surgical),
    ):
        inputs, config = world(folder, "surgical", **USUAL | options)
    assert isinstance(config, Surgical)
    return inputs, config


def knowing(network: Loaded, names: tuple[str, ...] = CLASSES) -> Loaded:
    """The network with a head of its own for these classes."""
    return replace(network, head_loaded=True, label_names=names)


def operated(name: str, folder: Path, blocks: Collection[str] = (), **options: Any) -> tuple[Trained, State]:
    """What every choice has found, and the state that all of them started from, which no run may touch."""
    inputs, config = setting_for(name, folder, blocks=Words(blocks), **options)
    network = knowing(loaded(name))
    before = snapshot(network.model)
    trained = method_of("surgical")(network, inputs, config, Log())
    assert all(tensor.equal(before[key]) for key, tensor in network.model.state_dict().items())
    return trained, before


def changes(trained: Trained, before: State) -> set[str]:
    """Names of the tensors, buffers too, that are not what they were."""
    return {key for key, tensor in trained.best.state.items() if not tensor.cpu().equal(before[key])}


def norm_parameters(model: nn.Module) -> set[str]:
    """Scale and shift of every normalisation layer, by torch's classes."""
    modules = [(path, module) for path, module in model.named_modules() if isinstance(module, NORM)]
    return {f"{path}.{name}" for path, module in modules for name, _ in module.named_parameters(recurse=False)}
