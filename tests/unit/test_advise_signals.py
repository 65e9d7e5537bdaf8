"""The other signals of `ftcli advise`: loss of accuracy, divergence, interventions, gradients; one pass for all."""

import math
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import cross_entropy

from ftcli.engine.device import machine_of
from ftcli.engine.predict import predict
from ftcli.explain.advise.block_features import batch_statistics_logits, set_features
from ftcli.explain.advise.divergence import channel_moments, divergence, excess_divergence
from ftcli.explain.advise.drop import detectable_drop, drop_between
from ftcli.explain.advise.gradients import balanced_batches, block_gradients, relative_norm
from ftcli.explain.advise.interventions import fresh_head_correct, probe_predictions, regained, stratified_folds
from ftcli.log import Log
from ftcli.model.block_outputs import find_block_ends, hooked
from ftcli.model.blocks import blocks_of
from tests.helpers.tiny import tiny
from tests.helpers.worlds import coloured, world


def test_the_loss_by_hand() -> None:
    found = drop_between(0.9, 300, 0.8, 200, 0.01)
    pooled = (270 + 160) / 500
    z = 0.1 / math.sqrt(pooled * (1 - pooled) * (1 / 300 + 1 / 200))
    assert found.z == pytest.approx(z) and found.p == pytest.approx(norm.sf(z))
    assert drop_between(1.0, 50, 1.0, 50, 0.01).p == pytest.approx(0.5)


@pytest.mark.parametrize(("accuracy", "n", "m"), [(0.9, 300, 300), (0.6, 1000, 200)])
def test_the_detectable_loss_is_found_in_four_of_five_cases(accuracy: float, n: int, m: int) -> None:
    delta = detectable_drop(accuracy, n, m, 0.01)
    rng = np.random.default_rng(0)
    first, second = rng.binomial(n, accuracy, 4000) / n, rng.binomial(m, accuracy - delta, 4000) / m
    found = [drop_between(a, n, b, m, 0.01).p <= 0.01 for a, b in zip(first, second, strict=True)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)


def test_channel_moments_are_those_of_all_positions() -> None:
    maps = np.random.default_rng(0).normal(size=(7, 3, 4, 4)) * 2 + 1
    pooled = np.concatenate([maps.mean((2, 3)), maps.std((2, 3))], axis=1)
    mean, variance = channel_moments(pooled)
    assert mean == pytest.approx(maps.mean((0, 2, 3))) and variance == pytest.approx(maps.var((0, 2, 3)))


def test_the_divergence_by_hand() -> None:
    """Half of both directions of KL between N(0, 1) and N(1, 4), and of two equal channels."""

    def kl(m1: float, v1: float, m2: float, v2: float) -> float:
        return math.log(math.sqrt(v2 / v1)) + (v1 + (m1 - m2) ** 2) / (2 * v2) - 0.5

    first, second = (np.array([0.0, 5.0]), np.array([1.0, 2.0])), (np.array([1.0, 5.0]), np.array([4.0, 2.0]))
    assert divergence(first, second) == pytest.approx((kl(0, 1, 1, 4) + kl(1, 4, 0, 1)) / 2 / 2)
    constant = np.zeros(2), np.zeros(2)
    assert divergence(constant, constant) == 0


def test_noise_is_taken_off() -> None:
    rng = np.random.default_rng(0)
    source, same, moved = (np.abs(rng.normal(size=(200, 10))) + shift for shift in (0, 0, 1))
    assert abs(excess_divergence(source, same)[0]) < 0.02 < 0.3 < excess_divergence(source, moved)[0]


def test_a_fresh_head_is_judged_on_what_it_has_not_seen() -> None:
    """Labels by chance are not learned; classes that the features separate are."""
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=90)
    chance = torch.from_numpy(rng.normal(size=(90, 60))).float()
    of_classes = chance + 4 * torch.eye(60)[labels]
    wrong, right = fresh_head_correct(chance, labels, 4, 0), fresh_head_correct(of_classes, labels, 4, 0)
    assert wrong is not None and right is not None
    assert wrong.mean() < 0.55 and right.mean() > 0.8
    assert fresh_head_correct(chance[:9], labels[:9], 4, 0) is None
    assert fresh_head_correct(chance, np.zeros(90, np.int64), 4, 0) is None


def test_the_probe_is_a_logistic_regression() -> None:
    rng = np.random.default_rng(1)
    X, labels = rng.normal(size=(80, 5)), rng.integers(3, size=80)
    predicted = probe_predictions(torch.from_numpy(X).float(), labels, torch.from_numpy(X).float(), 3, 0.1)
    plain = LogisticRegression(C=0.1, tol=1e-8, max_iter=1000).fit((X - X.mean()) / X.std(), labels)
    assert (predicted == plain.predict((X - X.mean()) / X.std())).mean() > 0.98


def test_folds_are_stratified() -> None:
    labels = np.repeat([0, 1, 2], [50, 25, 10])
    fold = stratified_folds(labels, 5, 0)
    assert all((np.bincount(fold[labels == k], minlength=5) == n).all() for k, n in enumerate([10, 5, 2]))
    assert not np.array_equal(fold, stratified_folds(labels, 5, 1))


def test_what_is_regained() -> None:
    before, after = np.array([0, 0, 1, 1], bool), np.array([1, 1, 1, 0], bool)
    found = regained(after, before, 0)
    assert (found.accuracy, found.gain) == (0.75, 0.25) and found.ci95[0] <= 0.25 <= found.ci95[1]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coloured(tmp_path_factory.mktemp("signals") / "train", each=20)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_one_pass_gives_blocks_and_logits(place: Path, name: str) -> None:
    """Means and deviations of the maps of every block, and the logits of the prediction pass."""
    inputs, _ = world(place, "probe", id_val=str(place), id_test=str(place))
    model, loader = tiny(name, num_classes=3), inputs.sets["id_val"]
    found = set_features(model, loader, inputs.machine, Log(), "id_val")
    plain = predict(model, loader, inputs.machine, Log(), "")
    assert np.array_equal(found.logits, plain.logits.numpy()) and found.penultimate.equal(plain.features)
    images = torch.cat([batch.images for batch in loader.ordered()])
    seen: list[torch.Tensor] = []
    ends = find_block_ends(model, images[:2])
    with hooked([ends[1].module], lambda _, __, output: seen.append(output)), torch.inference_mode():
        model(images)
    axes = (2, 3) if ends[1].channels == 1 else (1,)
    expected = np.concatenate([seen[0].numpy().mean(axes), seen[0].numpy().std(axes)], axis=1)
    assert list(found.blocks) == [end.block for end in ends]
    assert np.allclose(found.blocks[ends[1].block], expected, atol=1e-4)


def test_batch_statistics_leave_the_model_as_it_was(place: Path) -> None:
    inputs, _ = world(place, "probe", id_val=str(place), id_test=str(place))
    model = tiny("test_resnet", num_classes=3)
    before = deepcopy(model.state_dict())
    logits = batch_statistics_logits(model, inputs.sets["id_val"], inputs.machine, 0, Log())
    assert logits is not None and np.isfinite(logits[:, 0]).sum() >= len(logits) - 1
    assert all(tensor.equal(before[key]) for key, tensor in model.state_dict().items()) and not model.training
    batch = next(inputs.sets["id_val"].shuffled(0, 0, skip_single=True))
    assert batch.rows is not None
    training = deepcopy(model).train()
    with torch.no_grad():
        assert np.allclose(training(batch.images).numpy(), logits[batch.rows.numpy()], atol=1e-5)
    assert (
        batch_statistics_logits(tiny("test_vit", num_classes=3), inputs.sets["id_val"], inputs.machine, 0, Log())
        is None
    )


def test_gradients_by_block_against_a_plain_loop(place: Path) -> None:
    inputs, config = world(place, "probe", id_val=str(place), id_test=str(place))
    model, loader = tiny("test_resnet", num_classes=3), inputs.sets["id_val"]
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    found = block_gradients(model, loader, None, machine_of(config), 0, Log())
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in model.parameters())
    batches = balanced_batches(loader, 0)
    plain = deepcopy(model).requires_grad_(True)
    tensors, ratios, signs = dict(plain.named_parameters()), [], []
    block = blocks_of(plain)[0][2]
    for _ in range(5):
        batch = next(batches)
        plain.zero_grad()
        cross_entropy(plain(batch.images), batch.labels).backward()
        of_block = torch.cat([tensors[name].grad.flatten() for name in block.tensors])  # type: ignore[union-attr]
        weights = torch.cat([tensors[name].detach().flatten() for name in block.tensors])
        ratios.append(float(of_block.norm() / weights.norm()))
        signs.append(of_block.sign())
    assert found[block.name].norm == pytest.approx(np.mean(ratios), rel=1e-4)
    agreement = torch.stack(signs).mean(0).abs().mean()
    assert found[block.name].sign_agreement == pytest.approx(float(agreement), abs=1e-3)
    assert list(found) == [one.name for one in [*blocks_of(plain)[0], blocks_of(plain)[1]]]


def test_a_block_of_zeros_has_no_relative_norm() -> None:
    zeros = {"w": torch.nn.Parameter(torch.zeros(3))}
    assert relative_norm({"w": torch.ones(3)}, zeros, ("w",)) == 0
