"""Module criticality: the grid of a plain loop over whole networks, μ by hand, and a model left as it was."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ftcli.config.declare import Numbers
from ftcli.engine.predict import predict
from ftcli.engine.run_inputs import RunInputs
from ftcli.explain.criticality.measure import Cell, images_for, measure_criticality, smallest_mu
from ftcli.explain.criticality.options import Criticality
from ftcli.explain.criticality.perturbation import Perturbed
from ftcli.log import Log
from ftcli.model.blocks import blocks_of
from ftcli.model.head import set_head
from ftcli.seeds import derive_seed
from tests.helpers.tiny import tiny
from tests.helpers.worlds import coloured, world

Usual = Callable[[str], dict[str, Any]]
FAMILIES = ("test_resnet", "test_vit", "test_convnext", "test_efficientnet")
ALPHAS, SIGMAS, IMAGES = (0.0, 0.4, 1.0), (1e-9, 0.3), 10


def options(**more: Any) -> Criticality:
    grid: dict[str, Any] = {"alphas": Numbers(ALPHAS), "sigmas": Numbers(SIGMAS), "draws": 2, "images": IMAGES}
    return Criticality(**{"models": ["A", "B"], "train": "here", "batch_size": 8, "threads": 1, **grid, **more})


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> RunInputs:
    return world(coloured(tmp_path_factory.mktemp("criticality")), "finetune")[0]


def tuned(name: str, inputs: RunInputs) -> nn.Module:
    """A network of random weights with the head that fits the training images best, by least squares."""
    model = tiny(name, num_classes=3, seed=1).to(memory_format=torch.channels_last)
    assert inputs.plain is not None
    phi = predict(model, inputs.plain, inputs.machine, Log(), "").features.double()
    targets = nn.functional.one_hot(torch.from_numpy(inputs.plain.data.labels), 3).double()
    centre = phi.mean(0)
    weight = torch.linalg.lstsq(phi - centre, targets, driver="gelsd").solution.T  # [K, D]
    set_head(model, weight.float(), (-weight @ centre).float())
    return model


def pair(name: str, inputs: RunInputs) -> tuple[nn.Module, dict[str, Tensor]]:
    """A tuned network, and a start near to it."""
    model, other = tuned(name, inputs), dict(tiny(name, num_classes=3, seed=2).named_parameters())
    return model, {key: own.detach().lerp(other[key].detach(), 0.3) for key, own in model.named_parameters()}


def measured(name: str, inputs: RunInputs, log: Log | None = None, **more: Any) -> dict[str, Any]:
    model, start = pair(name, inputs)
    config = options(**more)
    images = images_for(inputs, config.images, config.seed)
    return measure_criticality(model, start, images, inputs, config, log or Log())


def error_of(model: nn.Module, inputs: RunInputs) -> float:
    """By the pass that every command predicts with."""
    loader = images_for(inputs, IMAGES, 0)
    logits = predict(model, loader, inputs.machine, Log(), "").logits
    return float((logits.argmax(1) != torch.from_numpy(loader.data.labels)).double().mean())


def naive(name: str, inputs: RunInputs, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Whole networks, one after the other, each put together from its state."""
    model, start = pair(name, inputs)
    batches = [(batch.images, batch.labels) for batch in images_for(inputs, IMAGES, 0).ordered()]

    def error(state: dict[str, Tensor]) -> float:
        network.load_state_dict(state)
        with torch.no_grad():
            wrong = [(network(images).argmax(1) != labels).sum().item() for images, labels in batches]
        return sum(wrong) / IMAGES

    found, network = {}, deepcopy(model).eval()
    end = {key: value.clone() for key, value in model.state_dict().items()}
    for block in blocks_of(model)[0]:
        between = [
            end | {key: (1 - alpha) * start[key] + alpha * end[key] for key in block.tensors} for alpha in ALPHAS
        ]
        grid = torch.zeros(len(ALPHAS), len(SIGMAS), dtype=torch.float64)
        for draw in range(2):
            generator = torch.Generator().manual_seed(derive_seed("criticality", seed, block.name, draw))
            z = {key: torch.randn(end[key].shape, generator=generator) for key in block.tensors}
            for a, state in enumerate(between):
                for s, sigma in enumerate(SIGMAS):
                    grid[a, s] += error(state | {key: state[key] + sigma * z[key] for key in z}) / 2
        squares = [(end[key].double() - start[key].double()).square().sum() for key in block.tensors]
        plain = [error(state) for state in between]
        found[block.name] = {"grid": grid.tolist(), "plain": plain, "distance": float(sum(squares)) ** 0.5}
    return found


@pytest.fixture(scope="module")
def usual(inputs: RunInputs) -> Usual:
    """What is measured of a network's pair with the usual options."""
    return cache(lambda name: measured(name, inputs))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_grid_of_a_plain_loop(name: str, inputs: RunInputs, usual: Usual) -> None:
    expected, found = naive(name, inputs), usual(name)
    assert list(found["blocks"]) == list(expected)
    moves = set()
    for block, one in found["blocks"].items():
        assert one["plain"] == pytest.approx(expected[block]["plain"], abs=1e-12)
        for row, wanted in zip(one["grid"], expected[block]["grid"], strict=True):
            assert row == pytest.approx(wanted, abs=1e-12)
        assert one["distance"] == pytest.approx(expected[block]["distance"], rel=1e-6)
        moves |= {error for row in one["grid"] for error in row}
    assert len(moves) > 3  # the grid is no plateau


@pytest.mark.parametrize("name", FAMILIES)
def test_the_ends_of_the_line(name: str, inputs: RunInputs, usual: Usual) -> None:
    """α = 1 without noise, and with next to none, is B; α = 0 is B with one block of A."""
    model, start = pair(name, inputs)
    own = error_of(deepcopy(model), inputs)
    found = usual(name)
    assert found["error"] == own
    for block in blocks_of(model)[0]:
        one = found["blocks"][block.name]
        assert one["plain"][-1] == own and one["grid"][-1][0] == own
        rewound = deepcopy(model)
        rewound.load_state_dict(model.state_dict() | {key: start[key] for key in block.tensors})
        assert one["rewind"] == pytest.approx(error_of(rewound, inputs) - own, abs=1e-12)
        assert one["plain"][0] == pytest.approx(own + one["rewind"], abs=1e-12)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_the_same_without_the_cut(name: str, inputs: RunInputs, usual: Usual, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftcli.engine.frozen_prefix.cut_network", lambda *_: None)
    assert measured(name, inputs) == usual(name)


def test_the_same_where_nothing_is_kept(inputs: RunInputs, usual: Usual, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images are made anew in every pass, and come in the batches of --batch-size."""
    monkeypatch.setattr("ftcli.engine.frozen_prefix.cut_network", lambda *_: None)
    monkeypatch.setattr("ftcli.explain.criticality.suffix.IN_MEMORY", 0)
    assert measured("test_resnet", inputs) == usual("test_resnet")


def test_what_lies_in_front_of_a_block_runs_once(inputs: RunInputs, calls: list[int]) -> None:
    """Only the stem has nothing in front of it: for the four other blocks its convolution runs once, and on probes."""
    measured("test_resnet", inputs, sigmas=Numbers((0.1,)), alphas=Numbers((1.0,)), draws=24)
    passes = 24 + 2  # the draws, the plain row, the rewind
    for_others = calls[0] - (passes + 1)  # with B's own error
    assert 0 < for_others < 4 * passes / 2, calls


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the first convolution of a network has run."""
    counted = [0]
    forward = nn.Conv2d.forward

    def counting(self: nn.Conv2d, images: Tensor) -> Tensor:
        counted[0] += images.shape[1] == 3
        return forward(self, images)

    monkeypatch.setattr(nn.Conv2d, "forward", counting)
    return counted


@pytest.mark.parametrize("name", FAMILIES)
def test_the_model_is_left_as_it_was(name: str, inputs: RunInputs) -> None:
    model, start = pair(name, inputs)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    small = options(draws=1, alphas=Numbers((0.3,)), sigmas=Numbers((0.5,)))
    measure_criticality(model, start, images_for(inputs, IMAGES, 0), inputs, small, Log())
    assert all(value.equal(before[key]) for key, value in model.state_dict().items())


def test_left_as_it_was_after_an_error(inputs: RunInputs) -> None:
    model, start = pair("test_resnet", inputs)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    block = blocks_of(model)[0][1]
    with pytest.raises(KeyboardInterrupt), Perturbed(model, block.tensors, start) as moved:
        moved.move_to(0.3, 0.5, moved.noise(0, block.name, 0))
        assert {key for key, value in model.state_dict().items() if not value.equal(before[key])} == set(block.tensors)
        raise KeyboardInterrupt
    assert all(value.equal(before[key]) for key, value in model.state_dict().items())


def test_noise_is_a_blocks_own(inputs: RunInputs) -> None:
    """It has unit variance, and depends on seed, block and draw, not on what was drawn before or where it lies."""
    model, start = pair("test_resnet", inputs)
    moved = Perturbed(model, blocks_of(model)[0][-1].tensors, start)
    first = torch.cat([z.flatten() for z in moved.noise(0, "layer4", 1)])
    assert abs(float(first.mean())) < 4 / len(first) ** 0.5
    assert float(first.var()) == pytest.approx(1, abs=6 / len(first) ** 0.5)
    for other in ((1, "layer4", 1), (0, "layer3", 1), (0, "layer4", 2)):
        assert not torch.cat([z.flatten() for z in moved.noise(*other)]).equal(first)
    plain = Perturbed(model.to(memory_format=torch.contiguous_format), blocks_of(model)[0][-1].tensors, start)
    assert torch.cat([z.flatten() for z in plain.noise(0, "layer4", 1)]).equal(first)


def test_what_a_layer_keeps_in_eval_behaviour_is_made_anew() -> None:
    """LeViT's attention keeps its biases between passes."""
    import timm

    model = timm.create_model("levit_128s", num_classes=3).eval()
    names = [name for name, _ in model.named_parameters() if "attention_biases" in name]
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    start = {
        name: torch.randn(p.shape, generator=torch.Generator().manual_seed(1)) for name, p in model.named_parameters()
    }
    with torch.inference_mode():
        own = model(images)
        with Perturbed(model, names, start) as moved:
            moved.move_to(0.0)
            there = model(images)
        again = model(images)
    fresh = deepcopy(model)
    fresh.load_state_dict(model.state_dict() | {name: start[name] for name in names})
    with torch.inference_mode():
        assert there.equal(fresh.train().eval()(images)) and not there.equal(own)
    assert again.equal(own)


def test_mu_by_hand() -> None:
    alphas, sigmas = (0.0, 0.5, 1.0), (0.1, 1.0)
    found = smallest_mu([[0.9, 0.9], [0.2, 0.9], [0.1, 0.3]], alphas, sigmas, 2.0, 0.3)
    assert found == Cell(4.0, 1.0, 1.0)  # 1² 2² / 1²; the other cells give 0.5² 2² / 0.1² = 100 and 400
    nearer = smallest_mu([[0.9, 0.9], [0.2, 0.9], [0.1, 0.31]], alphas, sigmas, 2.0, 0.3)
    assert nearer and (round(nearer.mu, 9), nearer.alpha, nearer.sigma) == (100, 0.5, 0.1)
    assert smallest_mu([[0.3, 0.3], [0.2, 0.9], [0.1, 0.3]], alphas, sigmas, 2.0, 0.3) == Cell(0.0, 0.0, 1.0)
    assert smallest_mu([[0.9] * 2] * 3, alphas, sigmas, 2.0, 0.3) is None
    assert smallest_mu([[0.1 + 0.2]], (1.0,), (1.0,), 1.0, 0.3) == Cell(1.0, 1.0, 1.0)  # 0.30000000000000004
    assert smallest_mu([[0.5], [0.1]], (0.0, 1.0), (0.5,), 0.0, 0.2) == Cell(0.0, 1.0, 0.5)  # a block that never moved


def test_mu_of_the_grid_and_the_sum(inputs: RunInputs) -> None:
    found = measured("test_resnet", inputs, epsilon=1.0, draws=1)  # every cell will do
    assert {one["mu"] for one in found["blocks"].values()} == {0.0} and found["sum"] == 0.0
    away = measured("test_resnet", inputs, epsilon=1.0, draws=1, alphas=Numbers((0.5, 1.0)))
    for one in away["blocks"].values():
        assert (one["alpha"], one["sigma"]) == (0.5, 0.3)
        assert one["mu"] == pytest.approx((0.5 * one["distance"] / 0.3) ** 2)
    assert away["sum"] == pytest.approx(sum(one["mu"] for one in away["blocks"].values()))


def test_no_cell_will_do(inputs: RunInputs) -> None:
    log = Log()
    found = measured("test_resnet", inputs, log, epsilon=0.0, draws=1, sigmas=Numbers((1e6,)))
    assert found["sum"] is None
    assert any(one["mu"] is None and one["alpha"] is None for one in found["blocks"].values())
    assert [warning["code"] for warning in log.warnings] == ["criticality-open"]


def test_logits_that_are_not_finite_are_mistakes(inputs: RunInputs) -> None:
    found = measured("test_convnext", inputs, sigmas=Numbers((1e38,)), draws=1)
    errors = [error for one in found["blocks"].values() for row in one["grid"] for error in row]
    assert max(errors) == 1.0


def test_images_are_a_fixed_stratified_part(inputs: RunInputs) -> None:
    chosen = images_for(inputs, 9, 0)
    assert sorted(chosen.data.labels.tolist()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert chosen.data.ids == images_for(inputs, 9, 0).data.ids != images_for(inputs, 9, 1).data.ids
    assert inputs.plain is not None
    assert images_for(inputs, 10**6, 0).data.ids == inputs.plain.data.ids


def test_a_compiled_network_is_not_cut(inputs: RunInputs, usual: Usual, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftcli.engine.predict.torch.compile", lambda function: function)
    compiled = replace(inputs, machine=replace(inputs.machine, compiled=True))
    assert measured("test_resnet", compiled) == usual("test_resnet")
