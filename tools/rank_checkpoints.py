"""Make the checkpoints of the study of `ftcli rank` in docs/results.md: random ones, early ones, and results of LP-FT.

    python -m tools.rank_checkpoints DATA --out FOLDER

DATA holds `plugins/cifar_resnet.py` and `checkpoints/resnet20-cifar10`. FOLDER gets one folder for each checkpoint, and
`runs/` with what made them. A checkpoint that is there is not made again.
"""

import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Annotated

import timm
import torch
import typer
from timm.models import save_for_hf

from tools.digits.pretrain import RECIPE, SEED, render

GLYPHS = 8000  # rendered digits on which the early checkpoints were trained
AGES = (1, 3)  # their epochs
SIDE = {"random-resnet": 32, "random-resnet20": 32, "random-mobilenet": 224}
RANDOM = {"random-resnet": "test_resnet", "random-resnet20": "cifar_resnet20", "random-mobilenet": "mobilenetv2_100"}
PLAIN = ["--preset", "digits", "--lr", "1e-3", "--seed", "0"]  # LP-FT on the demo's training set


def make(
    data: Annotated[Path, typer.Argument(help="Folder with the checkpoints and the architecture of ResNet-20.")],
    out: Annotated[Path, typer.Option(help="Folder for the checkpoints.")] = Path("runs/rank-checkpoints"),
) -> None:
    """Make every checkpoint that is not there; about two minutes on one core."""
    plugin = data / "plugins" / "cifar_resnet.py"
    resnet20 = ["--checkpoint", str(data / "checkpoints" / "resnet20-cifar10"), "--import", str(plugin)]
    save_random(plugin, out)
    table = out / "runs" / "glyphs.parquet"
    if not table.exists():
        table.parent.mkdir(parents=True, exist_ok=True)
        render(GLYPHS, SEED).to_parquet(table)
    recipe = [str(word) for option in RECIPE.items() for word in option]
    for epochs in AGES:
        words = ["finetune", "--train", str(table), *recipe, "--epochs", str(epochs)]
        train(f"glyphs-{epochs}", words, out)
    train("lpft-digits", ["lpft", *PLAIN], out)
    train("lpft-resnet20", ["lpft", *PLAIN, *resnet20], out)


def save_random(plugin: Path, out: Path) -> None:
    """The random weights of each architecture, as a folder that timm opens."""
    spec = spec_from_file_location("cifar_resnet", plugin)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    for name, architecture in RANDOM.items():
        if not (out / name).exists():
            torch.manual_seed(0)
            size = {"input_size": (3, SIDE[name], SIDE[name]), "mean": (0.5,) * 3, "std": (0.5,) * 3}
            model = timm.create_model(architecture, pretrained=False, num_classes=10, pretrained_cfg_overlay=size)
            save_for_hf(model, str(out / name), safe_serialization=True)


def train(name: str, words: list[str], out: Path) -> None:
    """Run one command of ftcli, and keep its model under a name."""
    if (out / name).exists():
        return
    run = out / "runs" / name
    command = [sys.executable, "-m", "ftcli", *words, "--threads", "1", "--out", str(run)]
    if code := subprocess.run(command, check=False).returncode:
        sys.exit(code)
    (out / name).mkdir(parents=True)
    for file in ("model.safetensors", "config.json"):
        shutil.copy(run / file, out / name / file)


if __name__ == "__main__":
    typer.run(make)
