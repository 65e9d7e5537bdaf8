"""Last-layer retraining: the head against the plain rule, the balanced subsets, the halves of ID-val."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from ftcli.cli.main import configuration_of
from ftcli.commands import method_of
from ftcli.config.heads.dfr import Dfr
from ftcli.engine.features.feature_matrix import FeatureMatrix
from ftcli.engine.features.standard_scale import StandardScale, rows_of
from ftcli.engine.grid import Trained
from ftcli.engine.run_inputs import RunInputs, run_inputs_of
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.methods.balance import balanced, halves
from ftcli.methods.dfr import CS, arrange
from ftcli.model.head import features
from ftcli.model.loading.load import Loaded
from ftcli.seeds import derive_seed
from tests.helpers.program import PAINT, checkpoint, inside, read, work
from tests.helpers.worlds import CONFIG_OF, DATA_CONFIG, coloured, loaded, world

DRAWS = 3


@pytest.fixture(scope="module", params=[2, 3])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coloured(tmp_path_factory.mktemp("dfr") / f"set{request.param}", classes=request.param, each=40, noise=300)


def prepared(folder: Path, *, grouped: bool = True, **options: Any) -> tuple[RunInputs, Dfr]:
    """A setting; `grouped`: every class in two groups, of which the second is about a third."""
    with mock.patch.dict(CONFIG_OF, dfr=Dfr):
        inputs, config = world(folder, "dfr", draws=DRAWS, split_seed=0, **options)
    assert isinstance(config, Dfr)
    task = inputs.task
    if grouped:
        sets = {name: getattr(task, name) for name in ("train", "id_val", "id_test")}
        task = replace(task, **{name: replace(data, groups=groups(data)) for name, data in sets.items()})
    task = arrange(task, config)
    return run_inputs_of(task, DATA_CONFIG, inputs.machine, config, Log()), config


def groups(data: Any) -> np.ndarray:
    numbers = [int(Path(name).stem) % 3 == 0 for name in data.ids]
    return np.array([f"{label} {second}" for label, second in zip(data.labels, numbers, strict=True)])


def features_of(network: Loaded, loader: Any) -> np.ndarray:
    with torch.inference_mode():
        pixels = [batch.images for batch in loader.ordered()]
        return torch.cat([features(network.model, images) for images in pixels]).numpy()


def check_against_plain_rule(folder: Path, grouped: bool, on: str) -> Trained:
    pytest.importorskip("sklearn")
    from tests.helpers.plain_rules.heads import dfr as plain

    inputs, config = prepared(folder, grouped=grouped, on=on)
    network, untouched = (
        loaded("test_resnet", len(inputs.task.classes)),
        loaded("test_resnet", len(inputs.task.classes)),
    )
    trained = method_of("dfr")(network, inputs, config, Log())
    train, id_val = (features_of(untouched, loader) for loader in (inputs.plain, inputs.sets["id_val"]))
    fitted, data = (train, inputs.task.train) if on == "train" else (
        features_of(untouched, inputs.retrain), inputs.task.retrain
    )  # fmt: skip
    assert data is not None and inputs.task.id_val is not None
    of_fitted, of_id_val = (one.groups if grouped else one.labels.astype(str) for one in (data, inputs.task.id_val))
    draws = [balanced(of_fitted, derive_seed("dfr", 0, draw)).tolist() for draw in range(DRAWS)]
    numbers = np.unique(of_fitted, return_inverse=True)[1]
    picking = halves(inputs.task.id_val, 0)[1] if on == "train" else np.arange(len(id_val))
    worst = {}
    for run in trained.runs:
        W, b = plain(fitted, data.labels, numbers, run.C, draws, scale_from=train)
        correct = (id_val.astype(float) @ W.T + b).argmax(axis=1) == inputs.task.id_val.labels
        assert run.id_val.accuracy == pytest.approx(correct.mean())
        names = of_id_val[picking]
        worst[run.C] = min(correct[picking][names == name].mean() for name in np.unique(names))
        assert run.worst_group_accuracy == pytest.approx(worst[run.C])
        if run.C == trained.best.C:
            state = trained.best.state
            np.testing.assert_allclose(state["fc.weight"].numpy(), W, atol=2e-3 * np.abs(W).max())
            np.testing.assert_allclose(state["fc.bias"].numpy(), b, atol=2e-3 * max(1, np.abs(b).max()))
    assert list(worst) == list(CS) and worst[trained.best.C] == max(worst.values())
    return trained


@pytest.mark.parametrize(("grouped", "on"), [(True, "train"), (False, "train"), (True, "id-val")])
def test_equals_the_plain_rule(folder: Path, grouped: bool, on: str) -> None:
    trained = check_against_plain_rule(folder, grouped, on)
    moved = {
        name for name, tensor in trained.best.state.items()
        if not tensor.equal(loaded("test_resnet", len(trained.best.state["fc.bias"])).model.state_dict()[name])
    }  # fmt: skip
    assert moved == {"fc.weight", "fc.bias"}


def test_another_seed_has_other_subsets_and_the_same_halves(folder: Path) -> None:
    inputs, config = prepared(folder, seeds=2)
    trained = method_of("dfr")(loaded("test_resnet", len(inputs.task.classes)), inputs, config, Log())
    first, second = trained.picks
    assert [pick.seed for pick in trained.picks] == [0, 1]
    assert not first.state["fc.weight"].equal(second.state["fc.weight"])


def test_subsets_are_balanced() -> None:
    groups = np.array(["a"] * 5 + ["b"] * 9 + ["c"] * 30)
    rows = [balanced(groups, seed) for seed in range(40)]
    assert all(np.unique(groups[one], return_counts=True)[1].tolist() == [5, 5, 5] for one in rows)
    assert set(np.concatenate(rows).tolist()) == set(range(44)) and all(len(set(one)) == 15 for one in rows)


def test_the_halves_part_every_group(folder: Path) -> None:
    inputs, _ = prepared(folder)
    data = inputs.task.train
    assert data is not None
    first, second = halves(data, 3)
    assert sorted([*first, *second]) == list(range(len(data)))
    names, counts = np.unique(data.groups, return_counts=True)
    for name, count in zip(names, counts, strict=True):
        assert (data.groups[first] == name).sum() == count // 2
    assert not np.array_equal(first, halves(data, 4)[0])


def test_the_scale_is_that_of_numpy(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(3, 2, (300, 7)).astype(np.float32)
    X[:, 2] = 0.1
    np.save(tmp_path / "x.npy", X)
    for matrix in (FeatureMatrix.of(torch.from_numpy(X)), FeatureMatrix.open(tmp_path / "x.npy")):
        with mock.patch.dict("ftcli.engine.features.feature_matrix.BLOCK_BYTES", cpu=64 * 28):
            scale, rows = StandardScale.of(matrix), rows_of(matrix, np.array([0, 63, 64, 200]))
        deviation = X.astype(float).std(axis=0)
        deviation[2] = 1.0
        np.testing.assert_allclose(scale.mean.numpy(), X.astype(float).mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(scale.deviation.numpy(), deviation, rtol=1e-12)
        assert np.array_equal(rows.numpy(), X[[0, 63, 64, 200]])
        W, b = torch.randn(3, 7, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
        weight, bias = scale.undone(W, b)
        plain = torch.from_numpy(X).double()
        torch.testing.assert_close(plain @ weight.T + bias, scale(plain) @ W.T + b)


def test_a_class_without_images_is_never_predicted(folder: Path) -> None:
    inputs, config = prepared(folder, grouped=False)
    train = inputs.task.train
    assert train is not None
    if len(inputs.task.classes) == 2:
        inputs = replace(inputs, task=replace(inputs.task, train=replace(train, labels=np.zeros_like(train.labels))))
        with pytest.raises(RequestError, match="one class"):
            method_of("dfr")(loaded("test_resnet", 2), inputs, config, Log())
        return
    labels = np.where(train.labels == 2, 1, train.labels)
    log = Log()
    inputs = replace(inputs, task=replace(inputs.task, train=replace(train, labels=labels)))
    state = method_of("dfr")(loaded("test_resnet", 3), inputs, config, log).best.state
    assert not state["fc.weight"][2].any() and float(state["fc.bias"][2]) == -1e4
    torch.testing.assert_close(state["fc.weight"][0], -state["fc.weight"][1])
    assert "other-groups" in [warning["code"] for warning in log.warnings]


def test_dfr_on_id_val_has_a_name_of_its_own_and_the_figures_of_the_other_half(tmp_path: Path) -> None:
    made = work(tmp_path)
    whole = coloured(tmp_path / "val", seed=5, each=30, noise=250)
    (whole / "class1").rename(whole / PAINT)
    words = ["dfr", *made.words, "--id-val", whole, "--draws", 2, "--lr", "1e-3"]
    done = inside(*words, "--on", "id-val", "--out", tmp_path / "out", "--html")
    assert done.returncode == 0, done.stderr
    report = read(tmp_path / "out")
    assert done.stdout.splitlines()[3].startswith("dfr_val") and "picked on ID-val: dfr_val: C =" in done.stdout
    assert "makes no use of --lr" in done.stdout and "dfr_val" in (tmp_path / "out" / "report.html").read_text()
    assert report["data"]["retrain"]["n"] == report["data"]["id_val"]["n"] == report["results"]["id_val"]["n"] == 45
    predicted = pq.read_table(tmp_path / "out" / "predictions.parquet").to_pylist()
    assert len({row["example"] for row in predicted if row["set"] == "id_val"}) == 45
    assert (tmp_path / "out" / "model.safetensors").exists()
    again = inside("evaluate", tmp_path / "out", "--id-test", whole, "--out", tmp_path / "whole")
    assert again.returncode == 0 and read(tmp_path / "whole")["results"]["id_test"]["n"] == 90
    usual = inside(*words, "--out", tmp_path / "usual")
    assert usual.returncode == 0 and usual.stdout.splitlines()[3].startswith("DFR")
    assert (
        read(tmp_path / "usual")["results"]["id_val"]["n"] == 90 and "retrain" not in read(tmp_path / "usual")["data"]
    )
    planned = inside(*words, "--dry-run")
    assert "test_resnet; 1 run\n" in planned.stdout and "is not estimated" in planned.stdout
    both = inside("compare", tmp_path / "out", tmp_path / "usual")
    assert [line.split()[0] for line in both.stdout.splitlines() if line.startswith("dfr")][:2] == ["dfr_val", "dfr"]


def test_a_budget_is_refused() -> None:
    with pytest.raises(RequestError, match="no epochs"):
        configuration_of(["dfr", "--checkpoint=x", "--train=y", "--budget=halving"])


@pytest.mark.parametrize("on", ["train", "id-val"])
def test_few_that_pick_and_the_edge_of_the_grid_are_said(tmp_path: Path, on: str) -> None:
    train, start = coloured(tmp_path / "train", each=360, noise=300), checkpoint(tmp_path / "checkpoint")
    words = ["--checkpoint", start, "--train", train, "--on", on, "--draws", 2, "--device", "cpu"]
    ended = inside("dfr", *words, "--out", tmp_path / "run")
    report = read(tmp_path / "run")
    codes = {warning["code"]: warning["text"] for warning in report["warnings"]}
    n = report["data"]["id_val"]["n"] // (2 if on == "train" else 1)
    assert 40 < n < 100 and f"has {n} examples" in codes["few-to-pick"] and "half of ID-val" in codes["few-to-pick"]
    at_edge = report["selected"]["C"] in (CS[0], CS[-1])
    assert report["selected"]["edge_of_grid"] == at_edge == ("edge-of-grid" in codes), ended.stderr
