"""Surgical fine-tuning: exactly the chosen tensors move, whoever calls train() meanwhile, from the right head."""

from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ftcli.commands import method_of
from ftcli.config.declare import Words
from ftcli.config.surgical import AUTOMATIC
from ftcli.engine import train
from ftcli.engine.run_inputs import RunInputs
from ftcli.engine.training_run import snapshot
from ftcli.engine.training_state import TrainingState
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.methods.initial_head import match_head_to_task
from ftcli.model.blocks import blocks_of
from tests.helpers.plain_loop import unbalanced
from tests.helpers.surgical_runs import CLASSES, changes, knowing, norm_parameters, operated, setting_for
from tests.helpers.tiny import SIX
from tests.helpers.worlds import DATA_CONFIG, loaded, world

EVERY_BLOCK = ("each", "embed", "all", "none")
PLACES = (*EVERY_BLOCK, "middle", "last", "0..1")  # further words for blocks that `each` has tried
QUICK: dict[str, Any] = {"epochs": 1, "batch_size": 20}
WITH_BATCH_NORM = ("test_resnet", "test_efficientnet", "mobilenetv3_small_050")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unbalanced(tmp_path_factory.mktemp("surgical") / "set")


@pytest.fixture
def meddling(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """Before every update somebody calls train(); the models of whom that was."""
    calls: list[nn.Module] = []
    step = train.train_step

    def meddle(state: TrainingState, *arguments: Any) -> None:
        calls.append(state.model.train())
        step(state, *arguments)

    monkeypatch.setattr(train, "train_step", meddle)
    return calls


def statistics_of(model: nn.Module, tensors: set[str]) -> set[str]:
    """The buffers of the BatchNorms whose own parameters are among these tensors."""
    norms = [(path, module) for path, module in model.named_modules() if isinstance(module, _BatchNorm)]
    return {f"{path}.{n}" for path, m in norms if f"{path}.weight" in tensors for n, _ in m.named_buffers()}


def chosen_tensors(model: nn.Module) -> dict[str, set[str]]:
    """By choice: the parameters that it names."""
    body, head = blocks_of(model)
    L = len(body)
    parts = {
        "embed": body[:1], "first": body[:2], "middle": [body[L // 2]], "last": body[-1:], "head": [head],
        "all": [*body, head], "none": [], "0..1": body[:2], "l1": [*body, head],
        "gradual-first": body[:1], "gradual-last": [head],  # of one epoch
        **{block.name: [block] for block in body[2:]},
    }  # fmt: skip
    return {choice: {name for block in blocks for name in block.tensors} for choice, blocks in parts.items()}


def check_moves(name: str, folder: Path, blocks: tuple[str, ...], auto: tuple[str, ...], bn: str) -> None:
    """Of every choice just its tensors move, and of the buffers, with bn="train", those of its BatchNorms."""
    trained, before = operated(name, folder, blocks, auto=Words(auto), bn=bn, **QUICK)
    model = loaded(name).model
    expected = chosen_tensors(model)
    free = {key for key, _ in model.named_parameters()} - norm_parameters(model)
    for choice, part in trained.choices.items():
        if choice in expected:
            tensors = expected[choice]
            assert set(part.trained_parameters) == tensors
        else:
            [epoch] = part.scores[0]["epochs"]
            assert set(epoch["tensors"]) == free == set(part.trained_parameters)
            least = {"rgn": 1e-300, "snr": 0.5, "snr-code": 0.95}[choice]
            tensors = {key for key, score in epoch["tensors"].items() if score >= least}
        assert changes(part, before) == tensors | (statistics_of(model, tensors) if bn == "train" else set()), choice
    if blocks == PLACES:
        assert set(trained.choices) == set(expected) | {"rgn", "snr", "snr-code"}


@pytest.mark.parametrize("name", SIX)
def test_exactly_what_is_chosen_moves(folder: Path, name: str, meddling: list[nn.Module]) -> None:
    check_moves(name, folder, PLACES if name == "test_resnet" else EVERY_BLOCK, AUTOMATIC, "eval")
    assert len(meddling) > len(AUTOMATIC)


@pytest.mark.parametrize("name", WITH_BATCH_NORM)
def test_statistics_move_with_the_tensors_they_serve(folder: Path, name: str, meddling: list[nn.Module]) -> None:
    check_moves(name, folder, ("first", "last", "head", "all"), ("rgn", "gradual-first"), "train")
    assert meddling


@pytest.mark.parametrize("bn", ["eval", "train"])
def test_a_call_of_train_makes_no_difference(folder: Path, bn: str, request: pytest.FixtureRequest) -> None:
    options: dict[str, Any] = {"blocks": ("first", "last", "head"), "auto": Words(["rgn"]), "bn": bn, **QUICK}
    quiet, _ = operated("test_resnet", folder, **options)
    request.getfixturevalue("meddling")
    meddled, _ = operated("test_resnet", folder, **options)
    for choice, part in quiet.choices.items():
        assert not changes(meddled.choices[choice], part.best.state)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_dropout_is_off_where_all_is_in_eval_behaviour(folder: Path, name: str) -> None:
    inputs, config = setting_for(name, folder, blocks=Words(["last", "all"]), **QUICK)
    found = []
    for rate in (0.0, 0.9):
        network = knowing(loaded(name))
        network.model.drop_rate = rate  # what a ResNet reads
        for module in network.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = rate
        found.append(method_of("surgical")(network, inputs, config, Log()))
    for choice, part in found[0].choices.items():
        assert not changes(found[1].choices[choice], part.best.state)


@pytest.mark.parametrize("epochs", [1, 2, 3, 6, 8])
@pytest.mark.parametrize("order", ["gradual-first", "gradual-last"])
def test_one_more_block_at_a_time(folder: Path, epochs: int, order: str) -> None:
    """Six parts, the head the last of them: in epoch e of E, 1 + (e - 1) · 6 // E of them train."""
    trained, before = operated("test_resnet", folder, auto=Words([order]), epochs=epochs)
    body, head = blocks_of(loaded("test_resnet").model)
    parts = [*body, head] if order == "gradual-first" else [head, *reversed(body)]
    count = {1: 1, 2: 4, 3: 5, 6: 6, 8: 6}[epochs]
    assert changes(trained, before) == {name for block in parts[:count] for name in block.tensors}


def test_nothing_chosen_is_the_checkpoint(folder: Path) -> None:
    trained, before = operated("test_resnet", folder, ["none", "head"])
    none = trained.choices["none"]
    assert not changes(none, before) and not none.trained_parameters
    (run,) = none.runs
    assert [entry["epoch"] for entry in run["history"]] == [run["epoch"]] == [0]


def test_merged_blocks(folder: Path) -> None:
    trained, before = operated("test_resnet", folder, ["each"], merge=3, epochs=1)
    first, _, head = trained.choices
    assert (first, head) == ("first", "head")
    moved = [changes(part, before) for part in trained.choices.values()]
    assert set.union(*moved) == {name for name, _ in loaded("test_resnet").model.named_parameters()}
    assert sum(map(len, moved)) == len(set.union(*moved))


# The head that runs start from.
@pytest.mark.parametrize("names", [("class2", "class0", "class1"), ("class1", "class0", "class2"), CLASSES])
def test_a_head_whose_classes_are_the_targets_is_kept_in_their_order(folder: Path, names: tuple[str, ...]) -> None:
    inputs, config = setting_for("test_resnet", folder, blocks=Words(["none"]))
    network, images = knowing(loaded("test_resnet"), names), torch.randn(7, 3, 32, 32)
    before = dict(zip(names, network.model(images).T, strict=True))  # logits of each class
    kept = match_head_to_task(network, inputs.task, config.head, Log())
    assert kept.head_loaded and kept.label_names == CLASSES
    for name, logits in zip(CLASSES, kept.model(images).T, strict=True):
        assert logits.equal(before[name])
        assert not any(logits.equal(others) for other, others in before.items() if other != name)


@pytest.mark.parametrize(
    ("names", "wish"), [(("class0", "class1", "other"), "auto"), (CLASSES, "probe"), (None, "auto")], ids=str
)
def test_otherwise_the_head_is_probed_first(folder: Path, names: tuple[str, ...] | None, wish: str) -> None:
    inputs, config = setting_for("test_resnet", folder, blocks=Words(["none", "embed", "all"]), head=wish, epochs=1)
    network = knowing(loaded("test_resnet"), names) if names else loaded("test_resnet")
    before = snapshot(network.model)
    network = match_head_to_task(network, inputs.task, wish, Log())
    trained = method_of("surgical")(network, inputs, config, Log())
    probed = trained.earlier_stages["probe"].best.state
    assert changes(trained.earlier_stages["probe"], before) == {"fc.weight", "fc.bias"}
    assert not changes(trained.choices["none"], probed)
    assert changes(trained.choices["embed"], probed) == chosen_tensors(network.model)["embed"]
    assert {"fc.weight", "fc.bias"} < changes(trained.choices["all"], probed)
    probe = method_of("probe")(loaded("test_resnet"), *setting_and_probe(folder), Log())
    assert all(probed[key].equal(probe.best.state[key]) for key in ("fc.weight", "fc.bias"))


def setting_and_probe(folder: Path) -> tuple[RunInputs, Any]:
    with mock.patch.dict(DATA_CONFIG, input_size=(3, 32, 32)):
        return world(folder, "probe", batch_size=9)


def test_a_head_of_other_classes_cannot_be_kept(folder: Path) -> None:
    inputs, _ = setting_for("test_resnet", folder, blocks=Words(["none"]))
    with pytest.raises(RequestError, match="other") as refusal:
        match_head_to_task(knowing(loaded("test_resnet"), ("a", "b", "other")), inputs.task, "keep", Log())
    assert "--head probe" in refusal.value.fix
    assert match_head_to_task(knowing(loaded("test_resnet")), inputs.task, "keep", Log()).head_loaded
