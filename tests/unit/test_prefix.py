"""Training from what is computed ahead: the same weights as through the whole network, and no picture twice."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ftcli.cache.cache import Cache
from ftcli.data.loader import Loader
from ftcli.engine.features.feature_cache import FeatureCache
from ftcli.engine.frozen_prefix import FrozenPrefix, RowLoader, frozen_prefix_of
from ftcli.engine.gradient_scores import SCORINGS
from ftcli.engine.plan import Plan, always
from ftcli.engine.run_inputs import RunInputs
from ftcli.engine.train import fit
from ftcli.engine.training_run import Run
from ftcli.log import Log
from ftcli.methods.initial_head import copy_with_fresh_head
from ftcli.model.block_names import model_blocks
from tests.helpers.tiny import SIX
from tests.helpers.worlds import coloured, loaded, world


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coloured(tmp_path_factory.mktemp("train"))


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for every batch of pictures, with the number of its pictures."""
    seen: list[int] = []
    send = Loader._send

    def counted(self: Loader, pixels: Tensor) -> Tensor:
        seen.append(len(pixels))
        return send(self, pixels)

    monkeypatch.setattr(Loader, "_send", counted)
    return seen


@pytest.fixture
def the_whole_way(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr("ftcli.engine.train.frozen_prefix_of", lambda *_: None)


def trained(inputs: RunInputs, config: Any, name: str = "test_resnet", choice: str = "last", lr: float = 1e-2) -> Run:
    model = copy_with_fresh_head(loaded(name).model, inputs, seed=3)
    tuned = [tensor for block in model_blocks(model).select(choice) for tensor in block.tensors]
    return fit(model, always(tuned), lr, config, inputs, 3, Log())


def empty_cache(inputs: RunInputs, disk: Cache | None = None) -> RunInputs:
    """As a new command would see it: nothing in memory, and what `disk` holds."""
    return replace(inputs, feature_cache=FeatureCache(inputs.machine, disk))


def prefix_of(model: nn.Module, plan: Plan, config: Any, inputs: RunInputs) -> FrozenPrefix | None:
    return frozen_prefix_of(model, plan, config, inputs, Log())


def state(run: Run) -> dict[str, Tensor]:
    assert run.candidate is not None and run.candidate.state
    return run.candidate.state


@pytest.mark.parametrize(("choice", "bn"), [("middle", "train"), ("head", "eval")])
@pytest.mark.parametrize("name", SIX)
def test_as_through_the_whole_network(
    folder: Path, name: str, choice: str, bn: str, looks: list[int], the_whole_way: Callable[[], None]
) -> None:
    inputs, config = world(folder, "finetune", bn=bn, epochs=2, pick="last", optimizer="sgd")
    runs = [trained(empty_cache(inputs), config, name, choice) for _ in range(2)]
    assert all(state(runs[0])[key].equal(value) for key, value in state(runs[1]).items())
    assert runs[0].history[-1]["loss"] == runs[1].history[-1]["loss"]
    ahead = len(looks) / 2
    the_whole_way()
    whole = trained(inputs, config, name, choice)
    assert len(looks) - 2 * ahead > ahead
    for key, value in state(whole).items():
        if value.is_floating_point():
            size = value.abs().max().item()
            torch.testing.assert_close(state(runs[0])[key], value, rtol=1e-5, atol=1e-5 * size, msg=key)
    for one, other in zip(runs[0].history, whole.history, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert one.id_val.to_dict() == pytest.approx(other.id_val.to_dict(), rel=1e-5)


def test_a_picture_is_looked_at_once(folder: Path, tmp_path: Path, looks: list[int]) -> None:
    inputs, config = world(folder, "finetune", epochs=3)
    assert inputs.train is not None
    inputs = empty_cache(inputs, disk := Cache(tmp_path / "cache", 10**8, Log()))
    trained(inputs, config)
    once = inputs.train.n + inputs.sets["id_val"].n + min(inputs.train.batch_size, inputs.train.n)  # and a probe
    assert sum(looks) == once
    looks.clear()
    trained(inputs, config, lr=1e-3)  # another point of the grid
    assert len(looks) == 1
    trained(empty_cache(inputs, disk), config)  # another command
    assert len(looks) == 2
    trained(inputs, config, choice="middle")  # another cut
    assert sum(looks) > once


def test_random_pictures_are_new_in_every_epoch(folder: Path, looks: list[int]) -> None:
    inputs, config = world(folder, "finetune", epochs=3, augment="light")
    assert inputs.train is not None
    trained(inputs, config)
    probe = min(inputs.train.batch_size, inputs.train.n)
    assert sum(looks) == 3 * inputs.train.n + inputs.sets["id_val"].n + probe


def test_rows_come_in_the_loaders_order(folder: Path) -> None:
    inputs, _ = world(folder, "finetune")
    loader = inputs.train
    assert loader is not None
    rows = RowLoader(loader, torch.cat([batch.images.flatten(1) for batch in loader.ordered()]))
    ways: list[dict[str, Any]] = [{"skip_single": True}, {"skip_single": False, "balanced": True}]
    for way in ways:
        pairs = list(zip(loader.shuffled(5, 2, **way), rows.shuffled(5, 2, **way), strict=True))
        for images, kept in pairs:
            assert images.images.flatten(1).equal(kept.images) and images.labels.equal(kept.labels)
            assert images.whole.equal(kept.whole) and images.counted == kept.counted
    first = next(iter(rows.ordered())).images
    first.zero_()  # as a network may that works in place
    assert rows.rows[: len(first)].count_nonzero()


def test_without_room_nothing_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch, looks: list[int]) -> None:
    inputs, config = world(folder, "finetune", epochs=2, pick="last")
    kept = trained(inputs, config)
    looks.clear()
    monkeypatch.setattr("ftcli.engine.frozen_prefix.IN_MEMORY", 10)
    whole = trained(empty_cache(inputs), config)
    assert inputs.train is not None
    assert sum(looks) >= 2 * (inputs.train.n + inputs.sets["id_val"].n)
    for key, value in state(whole).items():
        torch.testing.assert_close(state(kept)[key], value, rtol=1e-5, atol=1e-6)


def test_where_nothing_is_computed_ahead(folder: Path) -> None:
    inputs, config = world(folder, "finetune")
    model = copy_with_fresh_head(loaded("test_resnet").model, inputs, seed=0)
    head = always(["fc.weight", "fc.bias"])
    assert prefix_of(model, head, config, inputs) is not None
    scored = replace(head, scoring=SCORINGS["rgn"](0.5))
    assert prefix_of(model, scored, config, inputs) is None
    assert prefix_of(model, always([name for name, _ in model.named_parameters()]), config, inputs) is None
    _, averaged = world(folder, "finetune", ema=0.9)
    assert prefix_of(model, head, averaged, inputs) is None
    for machine in ({"processes": 2}, {"compiled": True}):
        other = replace(inputs, machine=replace(inputs.machine, **machine))
        assert prefix_of(model, head, config, other) is None


def test_other_frozen_weights_are_another_key(folder: Path, tmp_path: Path, looks: list[int]) -> None:
    inputs, config = world(folder, "finetune", epochs=1)
    inputs = empty_cache(inputs, Cache(tmp_path / "cache", 10**8, Log()))
    rows = []
    for shift in (0.0, 1e-3):
        model = copy_with_fresh_head(loaded("test_resnet").model, inputs, seed=0)
        with torch.no_grad():
            next(model.parameters()).add_(shift)
        prefix = prefix_of(model, always(["fc.weight", "fc.bias"]), config, inputs)
        assert prefix is not None
        forward = prefix.evaluation_forward("id_val")
        assert forward is not None and isinstance(forward.loader, RowLoader)
        rows.append(forward.loader.rows.numpy())
    assert not np.array_equal(*rows)
