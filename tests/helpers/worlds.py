"""A tiny learnable task on disk, and the setting it makes with a tiny network: what the tests of training share."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import nn

from ftcli.config.training import Probe, Training
from ftcli.config.tuning import Finetune, Lpft
from ftcli.data.task import build_task
from ftcli.engine.device import machine_of
from ftcli.engine.run_inputs import RunInputs, run_inputs_of
from ftcli.log import Log
from ftcli.model.loading.load import Loaded
from tests.helpers.families import FAMILIES, family, side_of
from tests.helpers.tiny import SIDE, tiny

CONFIG_OF = {"probe": Probe, "finetune": Finetune, "lpft": Lpft}
DATA_CONFIG = {
    "input_size": (3, SIDE, SIDE),
    "interpolation": "bilinear",
    "mean": (0.5,) * 3,
    "std": (0.5,) * 3,
    "crop_pct": 1.0,
    "crop_mode": "center",
}


def coloured(root: Path, classes: int = 3, each: int = 14, seed: int = 0, noise: float = 60.0, start: int = 0) -> Path:
    """An image folder whose classes differ in colour, with noise: easy to learn, not trivial."""
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(99).uniform(60, 200, (classes, 3))
    for label in range(classes):
        folder = root / f"class{label}"
        folder.mkdir(parents=True)
        for i in range(start, start + each):
            pixels = base[label] + rng.normal(0, noise, (24, 24, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i}.png")
    return root


def loaded(name: str, classes: int = 3) -> Loaded:
    """A tiny network as `load_model` would give it."""
    model = (family if name in FAMILIES else tiny)(name, num_classes=classes)
    size = {"input_size": (3, side_of(name), side_of(name))} if name in FAMILIES else {}
    return Loaded(
        model=model, name=name, checkpoint=None, head_loaded=False, label_names=None, data_config=DATA_CONFIG | size,
        create_args={"model_name": name, "num_classes": classes},
    )  # fmt: skip


def world(root: Path, command: str, **options: Any) -> tuple[RunInputs, Training]:
    """A setting over a tiny task, and the configuration that goes with it."""
    config = CONFIG_OF[command](**{"train": str(root), "batch_size": 8, "augment": "none", "threads": 1, **options})
    task = build_task(
        train=config.train, id_val=config.id_val, id_test=config.id_test, ood=config.ood_sets(), split_seed=0,
        damaged="stop", log=Log(),
    )  # fmt: skip
    return run_inputs_of(task, DATA_CONFIG, machine_of(config), config, Log()), config


def moved(before: dict[str, Any], model: nn.Module) -> set[str]:
    """Names of the tensors, buffers too, that are not what they were."""
    return {name for name, tensor in model.state_dict().items() if not tensor.cpu().equal(before[name])}
