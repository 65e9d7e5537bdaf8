"""The probed head as a start: `--probe-c`, `--head-scale`, and the norms in the report."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ftcli.cli.main import configuration_of
from ftcli.commands import method_of
from ftcli.config.declare import Numbers, Words
from ftcli.engine.grid import Trained
from ftcli.engine.run_inputs import RunInputs
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.model.head import head_of
from ftcli.model.loading.load import Loaded
from tests.helpers.plain_loop import unbalanced
from tests.helpers.program import inside, read, work
from tests.helpers.surgical_runs import setting_for
from tests.helpers.worlds import loaded, world


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unbalanced(tmp_path_factory.mktemp("heads") / "set")


def trained(folder: Path, **options: Any) -> tuple[Trained, Loaded, RunInputs]:
    """LP-FT with the initial state (epoch 0) in the history; the model's head is what training started from."""
    inputs, config = world(folder, "lpft", **{"epochs": 1, "lr": Numbers((1e-3,)), "epoch_zero": True, **options})
    network = loaded("test_resnet")
    return method_of("lpft")(network, inputs, config, Log()), network, inputs


def norms(state: dict[str, torch.Tensor]) -> tuple[float, float]:
    return float(np.linalg.norm(state["fc.weight"].numpy())), float(np.linalg.norm(state["fc.bias"].numpy()))


@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_training_starts_from_the_scaled_head(folder: Path, scale: float) -> None:
    run, network, _ = trained(folder, head_scale=scale)
    probe = run.earlier_stages["probe"].best
    head = head_of(network.model)
    torch.testing.assert_close(head.weight, scale * probe.state["fc.weight"])
    torch.testing.assert_close(head.bias, scale * probe.state["fc.bias"])
    start = run.runs[0].epochs()[0].id_val
    assert start.accuracy == probe.accuracy
    assert (start.loss == pytest.approx(probe.loss, rel=1e-4)) is (scale == 1.0)
    weight, bias = norms(probe.state)
    assert (run.heads["probe"].weight, run.heads["probe"].bias) == pytest.approx((weight, bias), rel=1e-5)
    if scale == 1.0:
        assert "start" not in run.heads
    else:
        start_norms = run.heads["start"]
        assert (start_norms.weight, start_norms.bias) == pytest.approx((scale * weight, scale * bias), rel=1e-5)


def test_the_values_of_c_take_the_place_of_the_path(folder: Path) -> None:
    run, _, _ = trained(folder, probe_c=Numbers((1e-4, 0.1)))
    probe = run.earlier_stages["probe"]
    assert [one.C for one in probe.runs] == [1e-4, 0.1]
    best = min(probe.runs, key=lambda one: (-one.id_val.accuracy, one.id_val.loss))  # type: ignore[union-attr]
    assert probe.best.C == best.C
    whole, _, _ = trained(folder, path_points=10)
    assert len(whole.earlier_stages["probe"].runs) == 10
    weaker, _, _ = trained(folder, probe_c=Numbers((1e-4,)))
    assert len(weaker.earlier_stages["probe"].runs) == 1 and not weaker.earlier_stages["probe"].best.edge_of_grid
    stronger, _, _ = trained(folder, probe_c=Numbers((10.0,)))
    assert weaker.heads["probe"].weight < 0.1 * stronger.heads["probe"].weight


def test_surgical_probes_by_the_same_values(folder: Path) -> None:
    network = loaded("test_resnet")
    inputs, config = setting_for("test_resnet", folder, blocks=Words(("none",)), probe_c=Numbers((0.1,)))
    run = method_of("surgical")(network, inputs, config, Log())
    assert [one.C for one in run.earlier_stages["probe"].runs] == [0.1] and "probe" in run.heads


def test_the_report_says_norms_calibration_and_change(tmp_path: Path) -> None:
    words = [
        "lpft",
        *work(tmp_path).words,
        "--epochs",
        1,
        "--lr",
        "1e-3",
        "--probe-c",
        "1e-3,1",
        "--out",
        tmp_path / "out",
    ]
    done = inside(*words, "--head-scale", 0.5, "--measure", "distortion")
    assert done.returncode == 0, done.stderr
    report = read(tmp_path / "out")
    heads = report["heads"]
    assert list(heads) == ["probe", "start", "saved"]
    assert heads["start"]["weight"] == pytest.approx(heads["probe"]["weight"] / 2)
    lines = [line.split() for line in done.stdout.splitlines()]
    probe = next(line for line in lines if line[:1] == ["probe"] and len(line) > 4)
    ece = report["stages"]["probe"]["results"]["id_test"]["ece"]
    assert probe[1] == f"{report['stages']['probe']['selected']['C']:.3g}" and probe[4] == f"{100 * ece:.1f}"
    saved = next(line for line in lines if line[:1] == ["saved"] and len(line) > 3)
    relative = report["distortion"]["id_test"]["penultimate"]["relative"]
    assert saved[1] == f"{heads['saved']['weight']:.4g}" and saved[-1] == f"{100 * relative:.1f}"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["lpft", "--head-scale=0"], "--head-scale 0"),
        (["lpft", "--head-scale=nan"], "--head-scale nan"),
        (["lpft", "--probe-c=1", "--path-points=10"], "takes the place of the path"),
        (["lpft", "--probe-c=0"], "not allowed"),
        (["surgical", "--blocks=all", "--head=keep", "--probe-c=1"], "trains no probe"),
    ],
)
def test_wrong_requests(words: list[str], problem: str) -> None:
    with pytest.raises(RequestError) as refused:
        configuration_of([words[0], "--checkpoint=x", "--train=y", *words[1:]])
    assert problem in refused.value.problem
