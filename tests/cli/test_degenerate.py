"""Models that answer, and whose answer means nothing: one output, the same answer to everything, no finite answer."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ftcli.engine.predict import score
from ftcli.model.loading.save import save_model
from tests.cli.test_requests import refused
from tests.helpers.program import SMALL, inside
from tests.helpers.worlds import coloured, loaded

TWO = ("layer2.0.conv1.weight", "layer3.0.conv1.weight")  # large in both, images overflow
COMMANDS = ["predict", "evaluate", "adapt", "agreement", "interpolate", "criticality", "distortion"]


def saved(folder: Path, name: str, classes: int, **changes: Any) -> Path:
    """A tiny network; changes: tensor -> what is done to it in place."""
    network = loaded(name, classes)
    save_model(folder, network, network.model, None)
    tensors = load_file(folder / "model.safetensors")
    for key, change in changes.items():
        change(tensors[key])
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of three classes, most of them broken in one way, and pictures."""
    root = tmp_path_factory.mktemp("degenerate")
    saved(root / "good", "test_resnet", 3)
    for name in ("test_resnet", "test_vit"):
        saved(root / f"one-{name}", name, 1)
    var = "layer1.0.bn1.running_var"
    saved(root / "negative", "test_resnet", 3, **{var: lambda t: t.fill_(-1.0)})
    saved(root / "one-channel", "test_resnet", 3, **{"bn1.running_var": lambda t: t[2:3].fill_(-1e-3)})
    saved(root / "overflow", "test_resnet", 3, **dict.fromkeys(TWO, lambda t: t.mul_(1e30)))
    zero = {"fc.weight": torch.Tensor.zero_, "fc.bias": torch.Tensor.zero_}
    saved(root / "zero-head", "test_resnet", 3, **zero)
    saved(root / "equal-rows", "test_resnet", 3, **{"fc.weight": lambda t: t.copy_(t[:1].clone().expand_as(t))})
    last = [key for key in load_file(root / "good" / "model.safetensors") if key.startswith("layer4.0.")]
    dead = {key: torch.Tensor.zero_ for key in last if key.endswith(("weight", "bias"))}
    saved(root / "dead-body", "test_resnet", 3, **dead)
    coloured(root / "train", each=12, noise=200)
    coloured(root / "test", each=4, seed=1, noise=200)
    return root


def words(place: Path, command: str, model: str) -> list[Any]:
    """The command on a model; where it takes two, behind a good one."""
    sizes = [*SMALL[:4], "--threads", 1]
    if command == "predict":
        return [command, place / model, place / "test", *sizes]
    alone = {"evaluate": [place / model], "adapt": ["--checkpoint", place / model]}
    models = alone.get(command, [place / "good", place / model])
    grid = ["--train", place / "train", "--alphas", 1, "--sigmas", 0.01, "--draws", 1]
    more = {"criticality": grid, "interpolate": ["--points", 2], "adapt": ["--method", "memo", "--blocks", "first"]}
    sets = [] if command == "criticality" else ["--id-test", place / "test"]
    return [command, *models, *sets, *more.get(command, []), *sizes]


# ---- one output


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "distortion"])
def test_one_output_is_refused(place: Path, tmp_path: Path, command: str) -> None:
    said = refused(*words(place, command, "one-test_resnet"), out=tmp_path / "o.csv")
    assert "one output" in said and "ftcli probe --checkpoint" in said


def test_one_output_of_another_family_with_a_map_onto_it(place: Path, tmp_path: Path) -> None:
    """Which would be right every time."""
    (tmp_path / "map.json").write_text('{"class0": "0", "class1": "0", "class2": null}')
    far = ["--ood", f"far={place / 'test'}?classes={tmp_path / 'map.json'}"]
    assert "one output" in refused("evaluate", place / "one-test_vit", *far, "--image-size", 64, out=tmp_path / "o.csv")


def test_its_body_may_be_trained_and_measured(place: Path, tmp_path: Path) -> None:
    probe = ["probe", "--checkpoint", place / "one-test_resnet", "--train", place / "train", *SMALL, "--dry-run"]
    assert inside(*probe).returncode == 0
    distortion = ["distortion", place / "one-test_resnet", place / "one-test_resnet", "--id-test", place / "test"]
    assert inside(*distortion, *SMALL[:4], "--out", tmp_path / "o").returncode == 0


# ---- a variance below 0, and outputs that are not finite


@pytest.mark.parametrize("model", ["negative", "one-channel"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_negative_variance_is_refused(place: Path, tmp_path: Path, command: str, model: str) -> None:
    said = refused(*words(place, command, model), out=tmp_path / "o.csv")
    assert "running_var" in said and "-" in said


def test_a_negative_variance_is_refused_where_it_would_be_trained(place: Path, tmp_path: Path) -> None:
    start = ["--checkpoint", place / "negative", "--train", place / "train", *SMALL]
    for command in (["probe"], ["finetune", "--lr", 1e-3, "--epochs", 1]):
        assert "running_var" in refused(*command, *start, out=tmp_path / "o.csv")
    behind = [*words(place, "interpolate", "good"), "--soup", place / "negative"]
    assert "running_var" in refused(*behind, out=tmp_path / "o.csv")


@pytest.mark.parametrize("command", COMMANDS)
def test_finite_weights_with_outputs_that_are_not(place: Path, tmp_path: Path, command: str) -> None:
    done = inside(*words(place, command, "overflow"), *([] if command == "predict" else ["--out", tmp_path / "o"]))
    assert done.returncode == 1 and "finite" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "o" / "report.json").exists()


def test_a_start_whose_outputs_are_not_finite(place: Path, tmp_path: Path) -> None:
    """Its weights, 1e30 times too large, would make a μ of every block."""
    asked = [str(one) for one in words(place, "criticality", "good")]
    asked[asked.index(str(place / "good"))] = str(place / "overflow")
    done = inside(*asked, "--out", tmp_path / "o")
    assert done.returncode == 1 and "outputs of A" in done.stderr and not (tmp_path / "o" / "report.json").exists()


def test_an_overflow_beyond_two_models_is_said(place: Path, tmp_path: Path) -> None:
    """A bias of B that float32 holds once, and not two or three times."""
    saved(tmp_path / "b", "test_resnet", 3, **{"fc.bias": lambda t: t[:1].fill_(2e38)})
    line = ["--from", 0, "--to", 3, "--points", 4, "--id-test", place / "test", *SMALL[:4], "--json"]
    found = inside("interpolate", place / "good", tmp_path / "b", *line, "--out", tmp_path / "o").report
    points = [one["raw"]["id_test"] for one in found["interpolation"]["points"]]
    assert points[2:] == [{"accuracy": 0.0, "loss": None}] * 2 and points[1]["accuracy"] == pytest.approx(1 / 3)
    (said,) = [one["text"] for one in found["warnings"] if one["code"] == "not-finite"]
    assert "id_test" in said and "λ = 2, 3" in said


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_an_example_without_finite_outputs_is_not_right(bad: float) -> None:
    logits = torch.tensor([[2.0, 1.0], [bad, 1.0], [0.0, bad], [1.0, 2.0]])
    assert score(logits, torch.tensor([0, 0, 1, 1]))[0] == 0.5
    assert score(logits, torch.tensor([0, 1, 0, 1]))[0] == 0.5


# ---- the same answer to everything


@pytest.mark.parametrize("command", ["predict", "evaluate", "agreement", "interpolate", "criticality"])
@pytest.mark.parametrize("model", ["zero-head", "equal-rows"])
def test_a_head_that_tells_nothing_apart_is_said(place: Path, tmp_path: Path, command: str, model: str) -> None:
    done = inside(*words(place, command, model), *([] if command == "predict" else ["--out", tmp_path / "o"]))
    assert done.returncode == 0 and "same weights for every class" in done.stderr


@pytest.mark.parametrize("command", ["predict", "evaluate", "agreement"])
def test_a_body_that_tells_nothing_apart_is_said(place: Path, tmp_path: Path, command: str) -> None:
    more = [] if command == "predict" else ["--out", tmp_path / "o"]
    done = inside(*words(place, command, "dead-body"), *more)
    assert done.returncode == 0 and "puts out the same for all of its 12 images" in done.stderr
    good = inside(*words(place, command, "good"), *more, "--overwrite")
    assert good.returncode == 0 and "puts out the same" not in good.stderr and "same weights" not in good.stderr
