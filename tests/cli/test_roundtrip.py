"""A saved folder is a timm model: another program, without ftcli, computes the same logits from it, bit for bit."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from ftcli.config.training import Probe
from ftcli.data.loader import Loader
from ftcli.data.task import without_labels
from ftcli.data.transforms import evaluation
from ftcli.engine.device import machine_of
from ftcli.engine.predict import predict
from ftcli.log import Log
from ftcli.model.checkpoints.checkpoint import open_checkpoint
from ftcli.model.loading.load import load_model
from tests.helpers.families import FAMILIES, side_of
from tests.helpers.program import checkpoint, inside
from tests.helpers.worlds import coloured

ALONE = """
import sys
import numpy, timm, torch
torch.set_num_threads(1)
for folder in sys.argv[1:]:
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval().to(memory_format=torch.channels_last)
    images = torch.from_numpy(numpy.load(f"{folder}/images.npy")).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        logits = model(images)
    expected = (3, images.shape[-1], ["class0", "class1", "class2"])
    assert (model.num_classes, model.pretrained_cfg["input_size"][1], model.pretrained_cfg["label_names"]) == expected
    numpy.save(f"{folder}/alone.npy", logits.numpy())
assert not any(name.split(".")[0] == "ftcli" for name in sys.modules)
"""
COMMANDS = {  # each network through one of the methods
    "test_resnet": ["finetune", "--lr", "1e-2", "--bn", "train"],
    "test_vit": ["finetune", "--lr", "1e-2"],
    "test_convnext": ["lpft", "--lr", "1e-3"],
    "test_efficientnet": ["lpft", "--lr", "1e-3", "--bn", "train"],
    "mobilenetv3_small_050": ["probe"],
    "swin_tiny_patch4_window7_224": ["probe", "--solver", "sgd", "--lr", "0.1"],
}
TRAINED = {**COMMANDS, **{name: ["lpft", "--lr", "1e-3", "--bn", "train"] for name in FAMILIES}}


@pytest.fixture(scope="module")
def logits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each network: logits [B, K] by ftcli and by timm alone, from one folder and one batch."""
    root = tmp_path_factory.mktemp("roundtrip")
    train = coloured(root / "train", each=10)
    mine, log = {}, Log()
    machine = machine_of(Probe(train=str(train), threads=1))
    for name, words in TRAINED.items():
        saved = checkpoint(root / "start" / name, name)
        done = inside(
            *words, "--checkpoint", saved, "--train", train, "--epochs", 1, "--image-size", side_of(name),
            "--batch-size", 16, "--threads", 1, "--out", root / name,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        opened = open_checkpoint(str(root / name), strip_prefix=None, log=log)
        loaded = load_model(name=None, checkpoint=opened, num_classes=None, image_size=None, log=log)
        images = without_labels(f"{train}?limit=9", damaged="stop", log=log)
        loader = Loader(images, evaluation(loaded.data_config), batch_size=16)
        (batch,) = [images for images, *_ in loader.ordered()]
        np.save(root / name / "images.npy", batch.numpy())
        mine[name] = predict(machine.place(loaded.model), loader, machine, log, name).logits.numpy()
    command = [sys.executable, "-c", ALONE, *(str(root / name) for name in TRAINED)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=120)
    assert done.returncode == 0, done.stderr
    return {name: (mine[name], np.load(root / name / "alone.npy")) for name in TRAINED}


@pytest.mark.parametrize("name", TRAINED)
def test_timm_alone_gives_the_same_bits(logits: dict[str, tuple[np.ndarray, np.ndarray]], name: str) -> None:
    mine, alone = logits[name]
    assert mine.shape == (9, 3) and mine.dtype == np.float32 and np.ptp(mine) > 0
    assert torch.equal(torch.from_numpy(mine).view(torch.int32), torch.from_numpy(alone).view(torch.int32))
