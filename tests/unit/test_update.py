"""What is done in a step - loss, penalties, clipping, running mean, what is drawn - against a plain loop."""

import math
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from ftcli.commands import method_of
from ftcli.config.declare import Numbers
from ftcli.engine.training.loss import balanced_class_weights
from ftcli.log import Log
from ftcli.methods.initial_head import copy_with_fresh_head
from tests.helpers.plain_loop import (
    check_against_plain_loop,
    difference,
    figures,
    plain_loop,
    precise,
    small,
    tuned,
    unbalanced,
)
from tests.helpers.worlds import loaded


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unbalanced(tmp_path_factory.mktemp("update") / "set")


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
@pytest.mark.parametrize("option", [{"l2_sp": 0.1}, {"clip_norm": 0.1}, {"ema": 0.9}], ids=str)
def test_with_and_without_batch_norm(folder: Path, name: str, option: dict[str, Any]) -> None:
    check_against_plain_loop(name, folder, **option)


@pytest.mark.parametrize(
    "options",
    [
        {"l1_sp": 0.01},
        {"class_weights": "balanced", "label_smoothing": 0.1},
        {"sampling": "balanced"},
        {"schedule": "step:1,2"},
        {"mixup": 0.7},
        {"mixup": 2.0, "class_weights": "balanced", "label_smoothing": 0.1, "sampling": "balanced"},
        {"l2_sp": 10.0, "l1_sp": 0.01, "clip_norm": 1.0},
        {"l2_sp": 10.0, "optimizer": "adam", "lr": Numbers((1e-3,))},
        {"ldifs": 10.0},
        {"ldifs": 10.0, "mixup": 0.7, "bn": "eval"},
        {"ldifs": 10.0, "sampling": "balanced", "clip_norm": 0.5},
        {"ma": True},
        {"ma": True, "bn": "eval"},
        {"ma": True, "optimizer": "adam", "lr": Numbers((1e-3,))},
    ],
    ids=str,
)
def test_equals_the_plain_loop(folder: Path, options: dict[str, Any]) -> None:
    check_against_plain_loop("test_resnet", folder, **options)


def test_outputs_of_a_frozen_body_are_not_mixed(folder: Path) -> None:
    """With mixup and without, the weights are those of a run in which no output of the frozen body is kept."""

    def state(**options: Any) -> dict[str, torch.Tensor]:
        inputs, config = small("test_resnet", folder, layer_decay=0.0, bn="eval", **options)
        return method_of("finetune")(loaded("test_resnet"), inputs, config, Log()).best.state

    kept, mixed = state(), state(mixup=0.7)
    with mock.patch("ftcli.engine.train.frozen_prefix_of", return_value=None):
        assert difference(kept, state()) < 1e-5
        assert difference(mixed, state(mixup=0.7)) < 1e-5
    assert difference(kept, mixed) > 1e-3


def test_figures_and_pick_are_those_of_the_running_mean(folder: Path) -> None:
    options = {"ema": 0.9, "pick": "best", "epochs": 4}
    trained, (inputs, config) = tuned("test_resnet", folder, **options), small("test_resnet", folder, **options)
    model = copy_with_fresh_head(precise("test_resnet").model, inputs, seed=0)
    states = plain_loop(model, inputs, config)
    for epoch, state in zip(trained.runs[0]["history"], states, strict=True):
        assert epoch["id_val"] == pytest.approx(figures(model, state, inputs.sets["id_val"]), rel=1e-5)
    assert trained.best.epoch is not None
    assert difference(trained.best.state, states[trained.best.epoch - 1]) < 1e-6


def test_the_running_mean_of_what_is_frozen_is_the_same_to_the_bit(folder: Path) -> None:
    inputs, config = small("test_resnet", folder, ema=0.9, tune="no-embedding")
    before = loaded("test_resnet").model.state_dict()
    state = method_of("finetune")(loaded("test_resnet"), inputs, config, Log()).best.state
    stem = [name for name in before if name.startswith(("conv1.", "bn1."))]
    assert stem and all(state[name].equal(before[name]) for name in stem)


@pytest.mark.parametrize("option", [{"head_rate": 0.0}, {"unfreeze": "last-to-first"}], ids=str)
def test_the_norm_is_that_of_what_moves(folder: Path, option: dict[str, Any]) -> None:
    check_against_plain_loop("test_resnet", folder, clip_norm=0.1, **option)


@pytest.mark.parametrize("options", [{"clip_norm": 0.1}, {"ema": 0.9999}], ids=str)
@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_divergence_shows_through_clipping_and_mean(folder: Path, name: str, options: dict[str, Any]) -> None:
    """The largest rate takes the weights out of the range of float32."""
    inputs, config = small(name, folder, epochs=2, lr=Numbers((1e-3, 1e38)), **options)
    trained = method_of("finetune")(loaded(name), inputs, config, Log())
    assert [run["diverged"] for run in trained.runs] == [False, True]
    assert trained.best.lr == 1e-3 and all(tensor.isfinite().all() for tensor in trained.best.state.values())


def test_balanced_sampling_draws_every_class_and_every_image_of_a_class_alike(folder: Path) -> None:
    inputs, _ = small("test_resnet", folder)
    assert inputs.train is not None and inputs.task.train is not None
    counts = torch.bincount(torch.from_numpy(inputs.task.train.labels)).tolist()  # [K]
    assert min(counts) < 0.6 * max(counts)
    of_class, of_image = [0] * len(counts), dict[tuple[int, float], int]()
    for epoch in range(100):
        for batch in inputs.train.shuffled(0, epoch, skip_single=False, balanced=True):
            for label, image in zip(batch.labels.tolist(), batch.images.flatten(1).sum(1).tolist(), strict=True):
                of_class[label] += 1
                of_image[label, image] = of_image.get((label, image), 0) + 1
    n, K = sum(of_class), len(counts)
    assert n == 100 * len(inputs.task.train) and len(of_image) == len(inputs.task.train)
    for count in of_class:
        assert abs(count - n / K) < 4 * binomial_std(n, 1 / K)
    for (label, _), count in of_image.items():
        p = 1 / K / counts[label]
        assert abs(count - n * p) < 4 * binomial_std(n, p)


def binomial_std(n: int, p: float) -> float:
    return math.sqrt(n * p * (1 - p))


def test_class_weights_leave_out_a_class_without_examples(folder: Path) -> None:
    train = small("test_resnet", folder)[0].task.train
    assert train is not None
    labels = train.labels.copy()
    labels[labels == 1] = 0
    n = [int((labels == k).sum()) for k in range(3)]
    weights = balanced_class_weights(labels, 3)
    assert weights.tolist() == pytest.approx([len(labels) / (2 * n[0]), 0, len(labels) / (2 * n[2])])
