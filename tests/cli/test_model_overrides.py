"""Weights that do not state how images are prepared, or how their network is built: the request states it, or a warning
names what is assumed.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import nn

from ftcli.run_folder.request import difference, request_of
from tests.helpers.program import SMALL, inside
from tests.helpers.tiny import images
from tests.helpers.worlds import coloured, loaded, world

ODD = {"mean": (0.31, 0.42, 0.53), "std": (0.21, 0.37, 0.48)}
TYPED = ["--mean", "0.31,0.42,0.53", "--std", "0.21,0.37,0.48"]
CODE = "assumed-preprocessing"


def network(name: str, **args: Any) -> nn.Module:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=3, **args)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.add_(torch.randn_like(tensor) * 0.05)
    return model.eval()


def stated(folder: Path, model: nn.Module, name: str, args: dict[str, Any]) -> Path:
    """The folder that says all of it, written by hand."""
    folder.mkdir()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    listed = timm.models.get_pretrained_cfg(name)
    cfg = {"input_size": [3, 64, 64], "interpolation": listed.interpolation, "crop_pct": listed.crop_pct, **ODD}
    content = {"architecture": name, "num_classes": 3, "model_args": args, "pretrained_cfg": cfg}
    (folder / "config.json").write_text(json.dumps(content))
    return folder


def probabilities(where: Path, data: Path, *words: Any) -> list[float]:
    done = inside("predict", where, data, "--image-size", 32, "--threads", 1, "--json", *words)
    assert done.returncode == 0, done.stderr
    return [row["probability"] for row in json.loads(done.stdout)]


@pytest.mark.parametrize(
    ("name", "args", "typed"),
    [
        ("test_efficientnet", {"pad_type": "same", "bn_eps": 0.25}, ["pad_type=same", "bn_eps=0.25"]),
        ("test_vit", {"global_pool": "avg", "qkv_bias": False}, ["global_pool=avg", "qkv_bias=False"]),
    ],
)
def test_what_is_typed_makes_the_model_that_a_folder_states(
    tmp_path: Path, name: str, args: dict[str, Any], typed: list[str]
) -> None:
    data = coloured(tmp_path / "data", each=3)
    side = {"img_size": 32} if name == "test_vit" else {}
    model = network(name, **args, **side)
    folder = stated(tmp_path / "folder", model, name, {**args, **side})
    bare = tmp_path / "bare.th"
    torch.save({"state_dict": model.state_dict()}, bare)
    words = [*TYPED, "--model", name, *(word for one in typed for word in ("--model-arg", one))]
    wanted = probabilities(folder, data)
    assert probabilities(bare, data, *words) == wanted
    assert probabilities(bare, data, "--model-config", folder / "config.json") == wanted


def test_timm_alone_rebuilds_what_was_typed(tmp_path: Path) -> None:
    data, bare, out = coloured(tmp_path / "data", each=8), tmp_path / "bare.pt", tmp_path / "out"
    model = network("test_efficientnet", pad_type="same")
    torch.save(model.state_dict(), bare)
    words = ["--train", data, *SMALL, "--out", out, "--json", *TYPED, "--model-arg", "pad_type=same"]
    report = inside("probe", "--checkpoint", bare, "--model", "test_efficientnet", *words).report
    assert report["config"]["mean"] == [0.31, 0.42, 0.53] and report["config"]["model_arg"] == ["pad_type=same"]
    assert CODE not in {warning["code"] for warning in report["warnings"]}
    theirs = timm.create_model(f"local-dir:{out}", pretrained=True).eval()
    config = timm.data.resolve_model_data_config(theirs)
    assert {name: tuple(config[name]) for name in ODD} == ODD
    with torch.inference_mode():
        assert torch.equal(theirs.forward_features(images(2, 31)), model.forward_features(images(2, 31)))


def test_the_warning_names_what_is_assumed_and_goes_where_it_is_stated(tmp_path: Path) -> None:
    data, bare = coloured(tmp_path / "data", each=3), tmp_path / "bare.pth"
    torch.save(network("test_efficientnet").state_dict(), bare)
    folder = stated(tmp_path / "folder", network("test_efficientnet"), "test_efficientnet", {})

    def warned(where: Path, *words: Any) -> str:
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        done = inside(
            "evaluate", where, "--ood", f"far={data}", *SMALL[:4], "--threads", 1, "--out", out, "--json", *words
        )
        return " ".join(warning["text"] for warning in done.report["warnings"] if warning["code"] == CODE)

    said = warned(bare, "--model", "test_efficientnet")
    assert all(
        part in said
        for part in ("mean 0.485,0.456,0.406", "symmetric padding", "--mean", "--std", "pad_type", "--model-config")
    )
    assert "mean" in warned(bare, "--model", "test_efficientnet", *TYPED[2:], "--model-arg", "pad_type=")
    assert warned(bare, "--model", "test_efficientnet", *TYPED, "--model-arg", "pad_type=") == ""
    assert warned(bare, "--model", "test_efficientnet.r160_in1k") == ""
    assert warned(folder) == ""


def test_of_several_models_the_bare_ones_get_it(tmp_path: Path) -> None:
    """Each model alone, as `predict` sees it, is the judge of what `agreement` sees."""
    data, model = coloured(tmp_path / "data", each=4), network("test_efficientnet", pad_type="same")
    folder = stated(tmp_path / "a", model, "test_efficientnet", {"pad_type": "same"})
    bare = tmp_path / "b.pth"
    torch.save(model.state_dict(), bare)
    words = ["--ood", f"far={data}", "--image-size", 32, "--threads", 1, "--json", "--out", tmp_path / "out"]
    named = ["--model", "test_efficientnet", "--model-arg", "pad_type=same"]
    report = inside("agreement", folder, bare, *words, *TYPED, *named).report
    assert report["agreement"]["pairs"][0]["sets"]["far"]["agreement"] == 1.0
    assert [one["input"]["mean"] for one in report["models"]] == [[0.31, 0.42, 0.53]] * 2
    refused = inside("agreement", folder, folder, *words[:-1], tmp_path / "no", *TYPED)
    assert refused.returncode == 2 and "--mean" in refused.stderr and str(folder / "config.json") in refused.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model-arg", "pad_typ=same"], "pad_typ"),
        (["--model-arg", "no_such=1"], "no_such"),
        (["--model-arg", "pad_type"], "NAME=VALUE"),
        (["--model-arg", "num_classes=7"], "num_classes"),
        (["--model-arg", "pretrained=True"], "pretrained"),
        (["--mean", "0.5"], "three numbers"),
        (["--mean", "0.5,0.5,nan"], "three numbers"),
        (["--std", "0,0,0"], "std"),
        (["--mean", "123.675,116.28,103.53"], "by 255"),
        (["--mean", "0.485,0.456,0.406", "--std", "58.395,57.12,57.375"], "by 255"),
        (["--model-config", "nowhere.json"], "nowhere.json"),
    ],
)
def test_what_no_model_takes_is_refused_before_any_picture(tmp_path: Path, words: list[str], said: str) -> None:
    bare = tmp_path / "bare.pth"
    torch.save(network("test_efficientnet").state_dict(), bare)
    command = ["probe", "--checkpoint", bare, "--model", "test_efficientnet", "--train", tmp_path / "no-pictures"]
    done = inside(*command, *words)
    assert done.returncode == 2 and said in done.stderr and "no-pictures" not in done.stderr


def test_a_run_goes_on_only_with_the_same_description(tmp_path: Path) -> None:
    setting, config = world(coloured(tmp_path), "finetune")
    model = loaded("test_resnet")
    first = request_of(config, setting.task, [model], setting.machine)
    for change in (
        {"data_config": {**model.data_config, "std": (0.5, 0.5, 0.4)}},
        {"create_args": {**model.create_args, "output_stride": 16}},
        {"label_names": ("class1", "class0", "class2")},
    ):
        assert difference(first, request_of(config, setting.task, [replace(model, **change)], setting.machine)) != ""
    assert difference(first, request_of(config, setting.task, [model], setting.machine)) == ""


def test_what_is_typed_stands_above_the_file_that_describes(tmp_path: Path) -> None:
    bare, data = tmp_path / "bare.pth", coloured(tmp_path / "i", each=2)
    torch.save(network("test_resnet").state_dict(), bare)
    cfg = {"input_size": [3, 64, 64], "mean": [0.2] * 3, "std": [0.3] * 3}
    described = {"architecture": "test_resnet", "num_classes": 3, "pretrained_cfg": cfg}
    (tmp_path / "d.json").write_text(json.dumps(described))
    same = {**cfg, "mean": ODD["mean"], "std": ODD["std"]}
    (tmp_path / "e.json").write_text(json.dumps({**described, "pretrained_cfg": same}))
    typed = probabilities(bare, data, "--model-config", tmp_path / "d.json", *TYPED)
    assert typed == probabilities(bare, data, "--model-config", tmp_path / "e.json")
    assert typed != probabilities(bare, data, "--model-config", tmp_path / "d.json")


@pytest.mark.real
def test_a_bare_file_of_real_weights_gives_the_figures_of_its_folder(tmp_path: Path, data_dir: Path) -> None:
    folder, bare = data_dir / "checkpoints" / "mobilenetv2-imagenet", tmp_path / "net.pth"
    torch.save(load_file(folder / "model.safetensors"), bare)
    pictures = Path(f"{data_dir}/tiny100/train.parquet?limit=100:0")
    wanted = probabilities(folder, pictures)
    half = ["--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5", "--model", "mobilenetv2_100"]
    assert probabilities(bare, pictures, *half, "--model-arg", "pad_type=same") == wanted
    assert probabilities(bare, pictures, "--model", "mobilenetv2_100") != wanted
