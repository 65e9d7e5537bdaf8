"""Other ways to train the same network on the same pixels: a bare PyTorch loop, and Hugging Face's Trainer."""

import tempfile
import time
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset

from ftcli.data.transforms import augmentation
from tests.benchmarks.common import BATCH, World, as_torch_comes


@dataclass(frozen=True)
class Pictures:
    """A training set in memory, decoded and resized as ftcli keeps it, with the crop and flip of "light" for all."""

    pixels: Tensor  # uint8 [N, h, w, 3]
    labels: Tensor  # int64 [N]
    size: tuple[int, int]  # (H, W) of the crop
    mean: Tensor  # [3]
    std: Tensor  # [3]

    @classmethod
    def of(cls, world: World) -> "Pictures":
        data, light = world.inputs.task.train, augmentation(world.loaded.data_config, "light")
        assert data is not None
        pixels = np.stack([light.prepare(data.image(i)) for i in range(len(data))])
        mean, std = torch.tensor(light.mean), torch.tensor(light.std)
        return cls(torch.from_numpy(pixels), torch.from_numpy(data.labels), light.size, mean, std)

    def crop_and_flip(self, i: int) -> Tensor:
        """Example i at a random place, every second time mirrored: uint8 [H, W, 3]."""
        (h, w), (H, W) = self.pixels.shape[1:3], self.size
        top, left = int(torch.randint(h - H + 1, ())), int(torch.randint(w - W + 1, ()))
        crop = self.pixels[i, top : top + H, left : left + W]
        return crop.flip(1) if torch.rand(()) < 0.5 else crop

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] to float32 [B, 3, H, W], channels-last in memory."""
        return pixels.float().div_(255).sub_(self.mean).div_(self.std).permute(0, 3, 1, 2)


@as_torch_comes()
def bare_epoch(model: nn.Module, pictures: Pictures, lr: float) -> float:
    """Seconds of one epoch of SGD on a copy of the model, in the memory format that the model is in."""
    started = time.perf_counter()
    model = deepcopy(model).train()
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9)
    for rows in torch.randperm(len(pictures.labels)).split(BATCH):
        images = pictures.normalise(torch.stack([pictures.crop_and_flip(i) for i in rows.tolist()]))
        loss = cross_entropy(model(images), pictures.labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.perf_counter() - started


class Examples(Dataset[dict[str, Tensor]]):
    """The pictures one by one, as a Trainer takes them."""

    def __init__(self, pictures: Pictures) -> None:
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures.labels)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        image = self.pictures.normalise(self.pictures.crop_and_flip(i)[None])[0]  # [3, H, W]
        return {"images": image.contiguous(), "labels": self.pictures.labels[i]}


class WithLoss(nn.Module):
    """A classifier that gives its loss too, as a Trainer wants it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.model(images)  # [B, K]
        return {"loss": cross_entropy(logits, labels), "logits": logits}


@as_torch_comes()
def trainer_epoch(model: nn.Module, pictures: Pictures, lr: float) -> float:
    """Seconds of `Trainer.train` for one epoch: its defaults, but the batch, the rate, float32 on the CPU, no files."""
    from transformers import PrinterCallback, Trainer, TrainingArguments

    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            folder, num_train_epochs=1, per_device_train_batch_size=BATCH, learning_rate=lr, use_cpu=True,
            save_strategy="no", report_to="none", disable_tqdm=True,
        )  # fmt: skip
        trainer = Trainer(WithLoss(deepcopy(model)), settings, train_dataset=Examples(pictures))
        trainer.remove_callback(PrinterCallback)
        started = time.perf_counter()
        trainer.train()
        return time.perf_counter() - started
