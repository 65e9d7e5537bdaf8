"""The variants of fine-tuning: exactly the right tensors move, when they should and as far as a plain loop says."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from ftcli.commands import method_of
from ftcli.config.declare import Numbers
from ftcli.config.tuning import Finetune
from ftcli.engine.grid import Trained
from ftcli.engine.training_run import snapshot
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.methods.initial_head import copy_with_fresh_head
from ftcli.methods.probe import linear_probe
from ftcli.model.loading.load import Loaded
from tests.helpers.plain_loop import State, check_against_plain_loop, difference, plain_loop, precise, small, unbalanced
from tests.helpers.worlds import loaded, moved

RESNET = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc")  # block 0 is conv1 and bn1
VIT = ("cls_token", "pos_embed", "patch_embed", *(f"blocks.{i}" for i in range(6)), "norm", "head")
NORMS = ("conv1.1", "conv1.4", "bn1", ".bn1", ".bn2", ".bn3", "downsample.2")
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
ADAM: dict[str, Any] = {"optimizer": "adam", "lr": Numbers((1e-3,))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unbalanced(tmp_path_factory.mktemp("variants") / "set")


# The parts that move, by the names that open theirs.
MOVES: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("test_resnet", {"head_rate": 10.0}, RESNET),
    ("test_resnet", {"head_rate": 0.0}, RESNET[:-1]),
    ("test_vit", {"head_rate": 0.0}, VIT[:-1]),
    ("test_resnet", {"layer_decay": 0.5}, RESNET),
    ("test_resnet", {"layer_decay": 0.0}, ("fc",)),
    ("test_resnet", {"l2_sp": 0.1, "l1_sp": 0.01, "clip_norm": 0.1}, RESNET),
    ("test_resnet", {"tune": "no-embedding"}, RESNET[2:]),
    ("test_resnet", {"tune": "no-embedding", "ema": 0.9}, RESNET[2:]),
    ("test_vit", {"tune": "no-embedding"}, VIT[3:]),
    ("test_resnet", {"unfreeze": "first-to-last"}, ("conv1", "bn1", "fc")),
    ("test_resnet", {"unfreeze": "first-to-last", "epochs": 2}, ("conv1", "bn1", "layer1", "layer2", "fc")),
    ("test_resnet", {"unfreeze": "first-to-last", "epochs": 5}, RESNET),
    ("test_resnet", {"unfreeze": "last-to-first"}, ("layer4", "fc")),
    ("test_resnet", {"unfreeze": "last-to-first", "epochs": 2, **ADAM}, ("layer2", "layer3", "layer4", "fc")),
    ("test_resnet", {"unfreeze": "last-to-first", "bn": "eval"}, ("layer4", "fc")),
    ("test_resnet", {"tune": "no-embedding", "bn": "eval"}, RESNET[2:]),
    ("test_vit", {"unfreeze": "first-to-last"}, (*VIT[:3], "head")),
    ("test_vit", {"unfreeze": "last-to-first", "epochs": 2}, ("blocks.2", *VIT[6:])),
]


@pytest.mark.parametrize(("name", "options", "parts"), MOVES, ids=str)
def test_moves_exactly_what_it_should(folder: Path, name: str, options: dict[str, Any], parts: tuple[str, ...]) -> None:
    changed, before = changes(name, folder, **options)
    own = {key for key in before if key.split(".")[0] in parts or ".".join(key.split(".")[:2]) in parts}
    statistics = {key for key in before if key.endswith(STATISTICS)}
    assert changed == (own - statistics if options.get("bn") == "eval" else own)


@pytest.mark.parametrize("bn", ["train", "eval"])
def test_batch_norm_alone(folder: Path, bn: str) -> None:
    changed, before = changes("test_resnet", folder, bn=bn, tune="bn-affine")
    kinds = ["weight", "bias", *(STATISTICS if bn == "train" else ())]
    norms = {key for key in before for kind in kinds if key.endswith(tuple(f"{norm}.{kind}" for norm in NORMS))}
    assert changed == norms | {"fc.weight", "fc.bias"}


def changes(name: str, folder: Path, **options: Any) -> tuple[set[str], dict[str, Any]]:
    """The tensors that a run has moved from where it started, and all that there were."""
    setting, config = small(name, folder, **{"epochs": 1, **options})
    network = loaded(name)
    before = snapshot(copy_with_fresh_head(network.model, setting, seed=0))
    trained = method_of("finetune")(network, setting, config, Log())
    network.model.load_state_dict(trained.best.state)
    changed = moved(before, network.model)
    parameters = {key for key, _ in network.model.named_parameters()}
    assert set(trained.trained_parameters) == changed & parameters  # what the report counts as trainable
    return changed, before


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
@pytest.mark.parametrize(
    "option",
    [{"head_rate": 10.0}, {"layer_decay": 0.5}, {"tune": "no-embedding"}, {"unfreeze": "first-to-last"}],
    ids=str,
)
def test_with_and_without_batch_norm(folder: Path, name: str, option: dict[str, Any]) -> None:
    check_against_plain_loop(name, folder, **option)


@pytest.mark.parametrize(
    "options",
    [
        {"head_rate": 0.0},
        {"tune": "bn-affine"},
        {"unfreeze": "last-to-first"},
        {"layer_decay": 0.5, **ADAM},
        {"unfreeze": "last-to-first", **ADAM},
        {"l2_sp": 10.0, "clip_norm": 1.0, "layer_decay": 0.5},
        {"unfreeze": "last-to-first", "l1_sp": 0.01, "ema": 0.9, "bn": "eval"},
    ],
    ids=str,
)
def test_equals_the_plain_loop(folder: Path, options: dict[str, Any]) -> None:
    check_against_plain_loop("test_resnet", folder, **options)


def test_lpft_has_the_same_options_from_the_probed_head_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"l2_sp": 30.0, "clip_norm": 3.0, "layer_decay": 0.5, "unfreeze": "last-to-first", "ema": 0.9}
    setting, config = small("test_resnet", folder, "lpft", **options)
    assert config.bn == "eval"

    def probe_then_float64(network: Loaded, *rest: Any) -> Trained:
        probed = linear_probe(network, *rest)
        network.model.double()
        monkeypatch.setattr(Tensor, "float", Tensor.double)
        return probed

    monkeypatch.setattr(import_module("ftcli.methods.lpft"), "linear_probe", probe_then_float64)
    trained = method_of("lpft")(loaded("test_resnet"), setting, config, Log())

    def plain(**options: Any) -> State:
        setting, config = small("test_resnet", folder, "lpft", **options)
        probed = precise("test_resnet").model
        probed.load_state_dict(trained.earlier_stages["probe"].best.state)
        return plain_loop(probed, setting, config)[-1]

    assert difference(trained.best.state, plain(**options)) < 1e-6
    for option in options:
        assert difference(trained.best.state, plain(**{k: v for k, v in options.items() if k != option})) > 1e-5, option


def test_batch_norm_alone_needs_batch_norm(folder: Path) -> None:
    setting, config = small("test_vit", folder, tune="bn-affine")
    with pytest.raises(RequestError, match="bn-affine") as refused:
        method_of("finetune")(loaded("test_vit"), setting, config, Log())
    assert "--tune" in refused.value.fix


def test_an_epoch_in_which_nothing_would_train(folder: Path) -> None:
    setting, config = small("test_resnet", folder, tune="no-embedding", unfreeze="first-to-last", head_rate=0.0)
    with pytest.raises(RequestError, match="epoch") as refused:
        method_of("finetune")(loaded("test_resnet"), setting, config, Log())
    assert "--head-rate" in refused.value.fix


@pytest.mark.parametrize(
    ("options", "problem", "fix"),
    [
        ({"init": "random", "l2_sp": 0.1}, "--l2-sp", "leave"),
        ({"init": "random", "l1_sp": 0.1}, "--l1-sp", "leave"),
        ({"ema": 1.0}, "--ema 1", "below 1"),
        ({"clip_norm": 0.0}, "--clip-norm 0", "above 0"),
        ({"ood_every_epoch": True}, "--ood-every-epoch", "--ood NAME=SPEC"),
    ],
    ids=str,
)
def test_refused(options: dict[str, Any], problem: str, fix: str) -> None:
    with pytest.raises(RequestError) as refused:
        Finetune(train="somewhere", **options)
    assert problem in refused.value.problem and fix in refused.value.fix
    Finetune(train="somewhere", **{name: value for name, value in options.items() if name == "init"})
