"""Commands that can be resumed, the data and checkpoints that they use, and what of their reports must stay equal."""

from pathlib import Path
from typing import Any

import torch

from ftcli.model.loading.save import save_model
from tests.helpers.program import SMALL, checkpoint
from tests.helpers.worlds import coloured, loaded

TIMES = ("created", "argv", "timing", "seconds", "out", "workers", "resume", "overwrite", "save_every")
COMMANDS: dict[str, list[Any]] = {
    "finetune": ["finetune", "--epochs", 2, "--lr", "1e-3,1e-2"],
    "adam": [
        "lpft",
        "--epochs",
        2,
        "--lr",
        "1e-2",
        "--optimizer",
        "adamw",
        "--ema",
        "0.9",
        "--warmup",
        1,
        "--seeds",
        2,
    ],
    "mixup": [
        "finetune",
        "--epochs",
        2,
        "--lr",
        "1e-3,1e-2",
        "--mixup",
        0.7,
        "--schedule",
        "step:1",
        "--augment",
        "flip",
    ],
    "halving": ["finetune", "--epochs", 4, "--lr", "1e-6,1e-5,1e-4,1e-3,1e-2", "--budget", "halving", "--ema", "0.9"],
    "audit": ["lpft", "--epochs", 2, "--lr", "1e-5,1e-3,1e-1", "--budget", "audit", "--optimizer", "adam"],
    "ftp": ["lpft", "--epochs", 3, "--lr", "1e-2", "--project", "ftp:0.5", "--ma", "--bn", "train"],
    "ldifs": ["finetune", "--epochs", 2, "--lr", "1e-3,1e-2", "--ldifs", 1, "--project", "spd"],
    "policy": ["finetune", "--epochs", 2, "--lr", "1e-2", "--augment", "randaugment", "--grad-checkpointing"],
    "averages": [
        "finetune",
        "--epochs",
        2,
        "--lr",
        "1e-3,3e-3",
        "--seeds",
        2,
        "--average",
        "wise,uniform,greedy,stock",
        "--lines",
        "0.5",
        "--save",
        "average:wise-0.5",
    ],
    "lora": ["finetune", "--epochs", 2, "--lr", "1e-2,1e-1", "--tune", "lora:2", "--average", "wise,uniform"],
    "lora-ma": ["lpft", "--epochs", 3, "--lr", "1e-2", "--tune", "lora:2", "--ma", "--optimizer", "adamw"],
    "rgn": ["surgical", "--blocks", "last,none", "--auto", "rgn,gradual-last", "--epochs", 2, "--lr", "1e-2"],
    "tent": ["adapt", "--blocks", "all,first,none", "--steps", 2, "--lr", "1e-2"],
    "memo": ["adapt", "--method", "memo", "--blocks", "all", "--augmentations", 2, "--mode", "online"],
    "episodic": ["adapt", "--mode", "episodic", "--lr", "1e-2"],
    "criticality": ["criticality", "--alphas", "0,0.5", "--sigmas", "0.01,0.1", "--draws", 2, "--images", 20],
}
FILES = {"model.safetensors", "predictions.parquet", "logits.safetensors", "config.json", "README.md"}


def words(place: Path, name: str, out: Path, *more: Any) -> list[Any]:
    command, *given = COMMANDS[name]
    models = [place / "start", place / "other"] if command == "criticality" else ["--checkpoint", place / "start"]
    sets = ["--ood", f"far={place / 'far'}"] + (["--train", place / "train"] if command != "adapt" else [])
    plain = name in ("adam", "mixup", "criticality") or command == "adapt"
    options = [one for one in SMALL if one not in ("--augment", "none")] if plain else SMALL
    return [
        command,
        *models,
        *given,
        *sets,
        *options,
        "--batch-size",
        2 if command == "adapt" else 8,
        "--out",
        out,
        *more,
    ]


def lasting(value: Any) -> Any:
    """A report without what may differ between two runs of one command."""
    if isinstance(value, dict):
        return {key: lasting(one) for key, one in value.items() if key not in TIMES}
    return [lasting(one) for one in value] if isinstance(value, list) else value


def make_place(root: Path) -> Path:
    """The sets and the two checkpoints that the commands use."""
    coloured(root / "train", each=16, noise=150)
    coloured(root / "far", each=4, seed=2, noise=200)
    checkpoint(root / "start", classes=3)
    other = loaded("test_resnet", 3)
    generator = torch.Generator().manual_seed(1)
    for parameter in other.model.parameters():
        parameter.data.add_(torch.randn(parameter.shape, generator=generator), alpha=0.02)
    save_model(root / "other", other, other.model, None)
    return root
