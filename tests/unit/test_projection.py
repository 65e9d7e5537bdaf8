"""SPD and FTP: a run of the engine against the plain rules, given the gradients and the rates of its steps."""

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from torch import Tensor

from ftcli.cli.main import configuration_of
from ftcli.config.declare import Numbers
from ftcli.engine.train import train_step
from ftcli.errors import RequestError
from ftcli.methods.initial_head import copy_with_fresh_head
from tests.helpers.plain_loop import precise, small, tuned, unbalanced
from tests.helpers.plain_rules.optimisers import ftp_steps, spd_steps

HEAD = ("fc.weight", "fc.bias", "head.weight", "head.bias")
SGD: dict[str, Any] = {"optimizer": "sgd", "lr": Numbers((3e-2,))}
ADAM: dict[str, Any] = {"optimizer": "adam", "lr": Numbers((1e-3,))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unbalanced(tmp_path_factory.mktemp("projection") / "set")


def run(name: str, folder: Path, **options: Any) -> tuple[dict[str, Tensor], list[dict[str, Tensor]], list[float]]:
    """The last weights of a run and, of each of its steps, the gradients and the rate."""
    gradients: list[dict[str, Tensor]] = []
    rates: list[float] = []

    def recorded(state: Any, network: Any, batch: Any) -> None:
        rates.append(state.optimizer.param_groups[0]["lr"])
        train_step(state, network, batch)
        found = {name: parameter.grad for name, parameter in state.parameters.items()}
        gradients.append({name: gradient.clone() for name, gradient in found.items() if gradient is not None})

    with mock.patch("ftcli.engine.train.train_step", recorded):
        return tuned(name, folder, **options).best.state, gradients, rates


@pytest.mark.parametrize("bn", ["train", "eval"])
@pytest.mark.parametrize("optimizer", [SGD, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize(
    ("rule", "strength"), [("spd", 1.0), ("spd", 0.3), ("spd", 2.0), ("ftp", 1.0), ("ftp", 0.25), ("ftp", 0.0)]
)
def test_equals_the_plain_rule(folder: Path, rule: str, strength: float, optimizer: dict[str, Any], bn: str) -> None:
    options = {"epochs": 4, "bn": bn, "project": f"{rule}:{strength:g}", **optimizer}
    state, gradients, rates = run("test_resnet", folder, **options)
    inputs, _ = small("test_resnet", folder, **options)
    model = copy_with_fresh_head(precise("test_resnet").model, inputs, seed=0)
    start = dict(model.named_parameters())
    steps = {"spd": spd_steps, "ftp": ftp_steps}[rule]
    plain = steps(start, gradients, rates, optimizer["optimizer"], strength, momentum=0.9, free=HEAD)[-1]
    free = steps(start, gradients, rates, optimizer["optimizer"], strength, momentum=0.9, free=list(start))[-1]
    away = {
        name: np.linalg.norm(values - state[name].numpy()) / np.linalg.norm(values) for name, values in plain.items()
    }
    assert max(away.values()) < 1e-6
    assert max(np.abs(plain[name] - free[name]).max() for name in plain) > 1e-4  # the projection does something
    assert all(np.array_equal(plain[name], free[name]) for name in plain if name in HEAD)


def test_a_tensor_that_does_not_train_stays(folder: Path) -> None:
    options: dict[str, Any] = {"project": "ftp:1", "unfreeze": "last-to-first", "epochs": 2}
    state, _, _ = run("test_resnet", folder, **options)
    before = precise("test_resnet").model.state_dict()
    assert state["layer1.0.conv1.weight"].equal(before["layer1.0.conv1.weight"])
    assert not state["layer4.0.conv1.weight"].equal(before["layer4.0.conv1.weight"])


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--project=spd", "--weight-decay=0.1"], "takes the place of --weight-decay"),
        (["--project=spd:-1"], "at least 0"),
        (["--project=ftp:2"], "from 0 to 1"),
        (["--project=ftp:x"], "is not a number"),
        (["--project=tpgm"], "type spd, ftp"),
        (["--project=spd:nan"], "at least 0"),
        (["--ma", "--ema=0.9"], "two means"),
        (["--ma", "--epochs=1"], "from the second epoch on"),
        (["--init=random", "--model=resnet18", "--project=spd"], "--project pulls towards pretrained weights"),
    ],
)
def test_what_cannot_be(words: list[str], problem: str) -> None:
    with pytest.raises(RequestError, match=problem):
        configuration_of(["finetune", "--checkpoint=x", "--train=y", *words])


def test_a_rule_without_a_strength_has_1() -> None:
    for typed, resolved in {"spd": "spd:1", "ftp:0.50": "ftp:0.5", "none": None}.items():
        config = configuration_of(["lpft", "--checkpoint=x", "--train=y", f"--project={typed}"])
        assert getattr(config, "project", "") == resolved
