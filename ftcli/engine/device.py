"""Where the numbers are computed and in which format."""

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ftcli.config import Running
from ftcli.errors import RequestError

FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Machine:
    """One device, and the number format of the body there; losses, and in every evaluation the head, are float32."""

    device: torch.device
    precision: str
    workers: int

    def autocast(self) -> AbstractContextManager[None]:
        """Inside, matrix products and convolutions run in the machine's format."""
        return torch.autocast(self.device.type, FORMATS[self.precision], enabled=self.precision != "fp32")

    def place(self, model: nn.Module) -> nn.Module:
        """Move a model here. Channels-last: convolutions run about 1.5 times faster in it, on CPU and on GPU."""
        return model.to(self.device).to(memory_format=torch.channels_last)

    def send(self, images: Tensor) -> Tensor:
        """Move images [B, C, H, W] here, in the memory format of the models."""
        return images.to(self.device, memory_format=torch.channels_last, non_blocking=True)


def machine_of(config: Running) -> Machine:
    """The machine that the options ask for. Sets the process's threads and deterministic kernels.

    Raises RequestError for a device or a format that is not there.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    device = best_device() if config.device == "auto" else named_device(config.device)
    workers = config.workers
    if workers is None:
        workers = 0 if device.type == "cpu" else min(8, os.cpu_count() or 1)
    return Machine(device, precision_on(device, config.precision), workers)


def best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def named_device(name: str) -> torch.device:
    """The device of that name. Raises RequestError, listing what there is, where it is not here."""
    here = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.cuda.is_available():
        here.append("cuda")
    if torch.backends.mps.is_available():
        here.append("mps")
    if name not in here:
        raise RequestError(
            f"--device {name!r} is not here.", f"this machine has {', '.join(here)}; auto takes the best"
        )
    return torch.device(name)


def precision_on(device: torch.device, asked: str) -> str:
    has_bf16 = device.type == "cpu" or (device.type == "cuda" and torch.cuda.is_bf16_supported())
    if asked == "auto":
        return "bf16" if device.type == "cuda" and has_bf16 else "fp32"
    if (asked == "bf16" and not has_bf16) or (asked == "fp16" and device.type == "cpu"):
        raise RequestError(f"--precision {asked} does not work on {device.type}.", "leave it at auto, or take fp32")
    return asked
