"""What no hand chooses in surgical fine-tuning, against plain loops: scores, gradual orders and L1, in float64."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ftcli.commands import method_of
from ftcli.config.declare import Numbers, Words
from ftcli.config.surgical import Surgical
from ftcli.engine.gradient_scores import SCORINGS, GradientSource, Scoring
from ftcli.engine.grid import Trained
from ftcli.engine.run_inputs import RunInputs
from ftcli.log import Log
from ftcli.model.blocks import blocks_of
from ftcli.model.loading.load import Loaded
from tests.helpers.plain_loop import State, difference, float64, precise, unbalanced
from tests.helpers.surgical_runs import knowing, norm_parameters, setting_for

Batches = list[Any]
Shares = dict[str, float]
Rule = Callable[[nn.Module, int, Batches], Shares]
SHORT: dict[str, Any] = {"batch_size": 3, "epochs": 2, "lr": Numbers((1e-2,))}  # six batches an epoch


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unbalanced(tmp_path_factory.mktemp("automatic") / "set")


def adam(tensor: Tensor, gradient: Tensor, rate: float, decay: float, moments: dict[str, Any]) -> None:
    """Kingma and Ba 2015, with weight decay added to the gradient."""
    gradient = gradient + decay * tensor
    moments["t"] = moments.get("t", 0) + 1
    moments["m"] = 0.9 * moments.get("m", 0.0) + 0.1 * gradient
    moments["v"] = 0.999 * moments.get("v", 0.0) + 0.001 * gradient**2
    m, v = moments["m"] / (1 - 0.9 ** moments["t"]), moments["v"] / (1 - 0.999 ** moments["t"])
    tensor -= rate * m / (v.sqrt() + 1e-8)


@float64
def plain(
    model: nn.Module, inputs: RunInputs, config: Surgical, rule: Rule, l1: float = 0.0, keep: bool = True
) -> State:
    """The last state. A tensor whose share is 0 is left alone, its moments too. `keep`: moments outlast an epoch."""
    tensors, moments = dict(model.named_parameters()), {name: {} for name, _ in model.named_parameters()}
    body = [name for block in blocks_of(model)[0] for name in block.tensors]
    start = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    model.eval()
    assert inputs.train is not None
    for epoch in range(1, config.epochs + 1):
        batches = list(inputs.train.shuffled(0, epoch, skip_single=False))
        shares = rule(model, epoch, batches)
        moments = moments if keep else {name: {} for name in tensors}
        for batch in batches:
            model.zero_grad()
            loss = cross_entropy(model(batch.images), batch.labels)
            (loss + l1 * sum((tensors[name] - start[name]).abs().sum() for name in body)).backward()
            with torch.no_grad():
                for name, tensor in tensors.items():
                    if share := shares.get(name, 0.0):
                        assert tensor.grad is not None
                        adam(tensor, tensor.grad, config.lr[0] * share, config.weight_decay, moments[name])
    return model.state_dict()


def gradients_of(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    cross_entropy(model(images), labels).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def scored(kind: str, model: nn.Module, batches: Batches) -> Shares:
    """The score of every tensor but the norms', by its definition."""
    tensors = {name: p for name, p in model.named_parameters() if name not in norm_parameters(model)}
    whole = [gradients_of(model, batch.images, batch.labels) for batch in batches]
    if kind == "snr-code":
        spread = [{name: g[name].var(0) + 1e-8 for name in tensors} for g in whole]
        ratios = [
            {name: float((g[name] ** 2 / v[name]).mean()) for name in v} for g, v in zip(whole, spread, strict=True)
        ]
        return {name: sum(ratio[name] for ratio in ratios) / len(ratios) for name in tensors}
    if kind == "snr":
        each = [
            (batch.images[i : i + 1], batch.labels[i : i + 1]) for batch in batches for i in range(len(batch.labels))
        ]
        single = [gradients_of(model, *one) for one in each]
        stacked = {name: torch.stack([g[name] for g in single]) for name in tensors}
        return {name: float((g.mean(0) ** 2 / (g.var(0) + 1e-8)).mean()) for name, g in stacked.items()}
    lengths = {name: float(p.detach().norm()) for name, p in tensors.items()}
    means = {name: sum(float(g[name].norm()) for g in whole) / len(whole) for name in tensors}
    of = {name: means[name] / lengths[name] for name in tensors if lengths[name]}
    return {name: of[name] if name in of else of[name.replace("bias", "weight")] for name in tensors}


def automatic(kind: str, first: int = 5, anew: bool = True, relative: bool = True, cut: float = 0.5) -> Rule:
    """Every epoch's shares, or with `anew` False the first one's; of the `first` batches."""
    kept: list[Shares] = []

    def rule(model: nn.Module, epoch: int, batches: Batches) -> Shares:
        if anew or not kept:
            scores = scored(kind, model, batches[:first])
            top = max(scores.values()) if relative else 1.0
            shares = {name: value / top for name, value in scores.items()}
            kept.append(shares if kind == "rgn" else {name: float(value >= cut) for name, value in shares.items()})
        return kept[-1]

    return rule


def start() -> Loaded:
    """In float64, with a fresh bias: zeros."""
    network = knowing(precise("test_resnet"))
    nn.init.zeros_(network.model.fc.bias)
    return network


def engine(folder: Path, **options: Any) -> Trained:
    with float64:
        return method_of("surgical")(start(), *setting_for("test_resnet", folder, **SHORT | options), Log())


def apart(folder: Path, trained: Trained, rule: Rule, **more: Any) -> float:
    """How far the engine's weights are from the plain loop's."""
    inputs, config = setting_for("test_resnet", folder, blocks=Words(["all"]), **SHORT)
    return difference(trained.best.state, plain(start().model, inputs, config, rule, **more))


def test_rgn_equals_the_plain_loop(folder: Path) -> None:
    trained = engine(folder, auto=Words(["rgn"]))
    assert apart(folder, trained, automatic("rgn")) < 1e-6
    for other in ({"first": 4}, {"first": 6}, {"anew": False}):
        assert apart(folder, trained, automatic("rgn", **other)) > 1e-5, other
    assert apart(folder, trained, automatic("rgn"), keep=False) > 1e-5


def test_the_first_step_of_rgn_is_the_share_of_the_rate(folder: Path) -> None:
    trained = engine(folder, auto=Words(["rgn"]), batch_size=64, epochs=1)
    [epoch], before = trained.scores[0]["epochs"], start().model.state_dict()
    assert max(epoch["tensors"].values()) == 1.0
    for name, share in epoch["tensors"].items():
        moved = (trained.best.state[name] - before[name]).abs()
        assert float(moved.max()) == pytest.approx(share * 1e-2, rel=1e-3), name
        assert float(moved.median()) == pytest.approx(share * 1e-2, rel=1e-2), name  # by its sign, not its size


@pytest.mark.parametrize(("kind", "more"), [("snr", {"cut": 0.2}), ("snr-code", {"cut": 0.95, "relative": False})])
def test_snr_equals_the_plain_loop(folder: Path, kind: str, more: dict[str, Any]) -> None:
    trained = engine(folder, auto=Words([kind]), snr_threshold=0.2)
    epochs = [{name for name, s in one["tensors"].items() if s >= more["cut"]} for one in trained.scores[0]["epochs"]]
    assert len(epochs) == 2 and all(0 < len(kept) < len(trained.trained_parameters) for kept in epochs)
    assert apart(folder, trained, automatic(kind, **more)) < 1e-6
    assert apart(folder, trained, automatic(kind, **more | {"cut": 1.9})) > 1e-5
    assert apart(folder, trained, automatic(kind, **more), keep=False) > 1e-5


@pytest.mark.parametrize("found", [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)], ids=str)
def test_an_epoch_in_which_nothing_reaches_the_cut_leaves_all_as_it_is(
    folder: Path, found: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_epoch = iter(found)

    def score(gradients: GradientSource) -> Shares:
        return dict.fromkeys(gradients.tensors, next(by_epoch))

    def rule(model: nn.Module, epoch: int, batches: Batches) -> Shares:
        return {name: found[epoch - 1] for name, _ in model.named_parameters() if name not in norm_parameters(model)}

    monkeypatch.setitem(SCORINGS, "snr-code", lambda threshold: Scoring(score, relative=False, threshold=0.95))
    assert apart(folder, engine(folder, auto=Words(["snr-code"])), rule) < 1e-6


def test_l1_equals_the_plain_loop(folder: Path) -> None:
    trained = engine(folder, auto=Words(["l1"]), l1_sp=0.01)

    def everything(model: nn.Module, epoch: int, batches: Batches) -> Shares:
        return dict.fromkeys(dict(model.named_parameters()), 1.0)

    assert apart(folder, trained, everything, l1=0.01) < 1e-6
    assert apart(folder, trained, everything) > 1e-5


@pytest.mark.parametrize("order", ["gradual-first", "gradual-last"])
def test_gradual_equals_the_plain_loop(folder: Path, order: str) -> None:
    """Of two epochs: one part of six in the first, four in the second."""

    def rule(model: nn.Module, epoch: int, batches: Batches, second: int = 4) -> Shares:
        body, head = blocks_of(model)
        parts = [*body, head] if order == "gradual-first" else [head, *reversed(body)]
        return {name: 1.0 for block in parts[: {1: 1, 2: second}[epoch]] for name in block.tensors}

    trained = engine(folder, auto=Words([order]))
    assert apart(folder, trained, rule) < 1e-6
    assert apart(folder, trained, lambda *seen: rule(*seen, second=3)) > 1e-5
