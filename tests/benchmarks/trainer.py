"""Hugging Face's Trainer in a process of its own, as a user meets it: nothing of ftcli has set up torch there."""

import json
import subprocess
import sys
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tests.benchmarks.peers import Pictures, trainer_epoch


def export(folder: Path, model: nn.Module, create_args: dict[str, object], pictures: Pictures) -> None:
    """Write what the other process needs: pixels, labels, weights, and how to build the network."""
    tensors = {"pixels": pictures.pixels, "labels": pictures.labels, "mean": pictures.mean, "std": pictures.std}
    save_file(tensors, folder / "pictures.safetensors")
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "model.safetensors")
    described = {"size": pictures.size, "create": create_args | {"num_classes": int(pictures.labels.max()) + 1}}
    (folder / "meta.json").write_text(json.dumps(described, default=str))


def own_process(folder: Path, lr: float) -> float:
    """Seconds of an epoch there, its start-up and a first epoch left out."""
    command = [sys.executable, "-m", "tests.benchmarks.trainer", str(folder), str(lr), str(torch.get_num_threads())]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    folder, lr, threads = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(threads)
    meta, tensors = json.loads((folder / "meta.json").read_text()), load_file(folder / "pictures.safetensors")
    meta["create"].pop("pretrained_cfg", None)
    model = timm.create_model(**meta["create"], pretrained=False)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    pictures = Pictures(tensors["pixels"], tensors["labels"], tuple(meta["size"]), tensors["mean"], tensors["std"])
    trainer_epoch(model, pictures, lr)
    print(trainer_epoch(model, pictures, lr))


if __name__ == "__main__":
    main()
