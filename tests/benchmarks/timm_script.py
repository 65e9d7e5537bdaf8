"""timm's own training script, train.py of its repository, on the same pixels: a process of its own, its own figures."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from tests.benchmarks.common import BATCH
from tests.benchmarks.peers import Pictures

RATE = re.compile(r"Train: 1 \[.*\( *[\d.]+s, +([\d.]+)/s\)")  # of the second epoch so far


@dataclass(frozen=True)
class Script:
    """How to call it: `data` holds a folder per class, `weights` a safetensors file."""

    path: Path
    data: Path
    weights: Path
    architecture: str
    model_args: dict[str, str]
    pictures: Pictures
    lr: float

    def export(self) -> None:
        """Write the pixels as image files that need no decompression."""
        names = sorted(f"{label:04}" for label in self.pictures.labels.unique().tolist())
        for name in names:
            (self.data / "train" / name).mkdir(parents=True)
        for i, (pixels, label) in enumerate(zip(self.pictures.pixels, self.pictures.labels.tolist(), strict=True)):
            Image.fromarray(pixels.numpy()).save(self.data / f"train/{label:04}/{i}.png", compress_level=0)

    def epoch(self, workers: int) -> float:
        """Seconds of an epoch at the rate that it states for its second one, its start-up and first epoch left out."""
        environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
        done = subprocess.run(self.command(workers), capture_output=True, text=True, env=environment)
        rates = RATE.findall(done.stdout + done.stderr)
        if done.returncode or not rates:
            sys.exit(f"{self.path} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return len(self.pictures.labels) / float(rates[-1])

    def command(self, workers: int) -> list[str]:
        """Crop and flip alone, plain momentum, float32, channels-last, no evaluation."""
        (h, w), (H, W) = self.pictures.pixels.shape[1:3], self.pictures.size
        share = H * W / (h * w)  # of the area: with the ratio 1, a crop of exactly H x W
        model_args = [f"{name}={value}" for name, value in self.model_args.items()]
        K = len(self.pictures.labels.unique())
        flags = {
            "data-dir": self.data, "val-split": "", "eval-metric": "loss", "output": self.data / "output",
            "model": self.architecture, "pretrained-path": self.weights, "num-classes": K,
            "img-size": H, "batch-size": BATCH, "device": "cpu", "workers": workers, "epochs": 2, "warmup-epochs": 0,
            "opt": "momentum", "lr": self.lr, "momentum": 0.9, "weight-decay": 0, "smoothing": 0,
            "hflip": 0.5, "color-jitter": 0, "log-interval": 1000, "checkpoint-hist": 1,
        }  # fmt: skip
        words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
        words += ["--scale", f"{share}", f"{share}", "--ratio", "1", "1", "--pretrained", "--channels-last"]
        words += ["--mean", *map(str, self.pictures.mean.tolist()), "--std", *map(str, self.pictures.std.tolist())]
        return [sys.executable, str(self.path), *words, *(["--model-kwargs", *model_args] if model_args else [])]
