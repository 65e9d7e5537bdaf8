"""`--tune lora:R` as a user types it: the report, the saved folder without PEFT, and wrong values."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import jsonschema
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ftcli.engine.training.low_rank import LowRankNetwork
from ftcli.model.loading.save import save_model
from ftcli.report.schema import report_schema
from tests.cli.test_requests import refused
from tests.helpers.program import inside, read
from tests.helpers.tiny import SIDE, images
from tests.helpers.worlds import coloured, loaded

WITHOUT_PEFT = """
import sys
sys.modules["peft"] = None  # an import of it fails
import timm, torch
try:
    import peft
except ImportError:
    model = timm.create_model("local-dir:" + sys.argv[1], pretrained=True).eval()
    with torch.inference_mode():
        torch.save(model(torch.load(sys.argv[2])), sys.argv[3])
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("low-rank")
    coloured(root / "train", each=16, noise=150)
    for name in ("test_vit", "test_convnext", "test_resnet"):
        start = loaded(name, 3)
        save_model(root / name, start, start.model, None)
    return root


def asked(place: Path, command: str, name: str, out: Path, *more: Any) -> list[Any]:
    return [
        command, "--checkpoint", place / name, "--train", place / "train", "--image-size", SIDE, "--batch-size", 8,
        "--epochs", 2, "--threads", 1, "--out", out, *more,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "name", "more"),
    [
        ("finetune", "test_vit", ["--lr", "0.3", "--optimizer", "sgd"]),
        ("lpft", "test_convnext", ["--lr", "1e-2", "--optimizer", "adam"]),
    ],
)
def test_the_saved_folder_answers_as_the_network_that_trained(
    command: str, name: str, more: list[Any], place: Path, tmp_path: Path
) -> None:
    networks: list[LowRankNetwork] = []

    class Kept(LowRankNetwork):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            networks.append(self)

    options = ["--tune", "lora:4", "--pick", "last", *more]
    with mock.patch("ftcli.engine.train.LowRankNetwork", Kept):
        done = inside(*asked(place, command, name, tmp_path / "o", *options))
    assert done.returncode == 0, done.stderr
    x = images(8)
    torch.save(x, tmp_path / "x.pt")
    words = [sys.executable, "-c", WITHOUT_PEFT, str(tmp_path / "o"), str(tmp_path / "x.pt"), str(tmp_path / "y.pt")]
    subprocess.run(words, check=True, timeout=300)
    y: Tensor = torch.load(tmp_path / "y.pt")
    (network,) = networks
    before = load_file(place / name / "model.safetensors")
    with torch.inference_mode():
        tuned = network.module.eval()(x)
    assert (y - tuned).abs().max() < 1e-5 * tuned.abs().max().clamp_min(1)
    saved = load_file(tmp_path / "o" / "model.safetensors")
    assert saved.keys() == before.keys()
    check_report(read(tmp_path / "o"), saved, before, done.stdout)
    assert inside("report", tmp_path / "o", "--html", tmp_path / "page.html").returncode == 0
    assert "LoRA of rank 4" in (tmp_path / "page.html").read_text(encoding="utf-8")


def check_report(report: dict[str, Any], saved: dict[str, Tensor], before: dict[str, Tensor], table: str) -> None:
    jsonschema.validate(report, json.loads(json.dumps(report_schema())))
    part = report["lora"]
    changed = {name for name in saved if not saved[name].equal(before[name])}
    head = {name for name in changed if name.startswith("head.")}
    assert {f"{path}.weight" for path in part["layers"]} == changed - head
    assert (part["rank"], part["alpha"]) == (4, 4)
    sizes = [4 * (len(saved[f"{path}.weight"]) + saved[f"{path}.weight"][0].numel()) for path in part["layers"]]
    assert part["parameters"] == sum(sizes)
    assert report["model"]["trainable"] == sum(sizes) + sum(saved[name].numel() for name in head)
    assert report["environment"]["peft"]
    (line,) = [line for line in table.splitlines() if line.startswith("LoRA of rank 4")]
    assert f"{len(sizes)} layers" in line
    if part["left_out"]:
        assert "left out: 9 (a grouped convolution)" in line
        assert any("conv_dw" in path for path in part["left_out"]["a grouped convolution"])
        assert any(warning["code"] == "lora-left-out" for warning in report["warnings"])


@pytest.mark.parametrize("value", ["lora", "lora:", "lora:0", "lora:-1", "lora:1025", "lora:2.5", "lora:²", "dora:4"])
def test_wrong_values(value: str, place: Path, tmp_path: Path) -> None:
    told = refused("finetune", "--train", place / "train", "--tune", value, out=tmp_path / "o")
    assert repr(value) in told and "lora:R" in told


def test_averages_are_those_of_the_merged_weights(place: Path, tmp_path: Path) -> None:
    """BatchNorm is frozen, so its statistics are those of the start in every member, and in the average."""
    rates = ["--lr", "0.03,0.1", "--tune", "lora:2", "--pick", "last"]
    average = ["--average", "uniform", "--save", "average:uniform"]
    done = inside(*asked(place, "finetune", "test_resnet", tmp_path / "o", *rates, *average))
    assert done.returncode == 0, done.stderr
    report = read(tmp_path / "o")
    members = []
    for rate in ("0.03", "0.1"):
        single = ["--lr", rate, *rates[2:]]
        assert inside(*asked(place, "finetune", "test_resnet", tmp_path / rate, *single)).returncode == 0
        members.append(load_file(tmp_path / rate / "model.safetensors"))
    assert len(report["averages"]["members"]) == 2 and report["averages"]["statistics"] == "raw"
    for name, tensor in load_file(tmp_path / "o" / "model.safetensors").items():
        mean = sum(member[name].double() for member in members) / 2
        torch.testing.assert_close(tensor.double(), mean, rtol=1e-6, atol=1e-7)
