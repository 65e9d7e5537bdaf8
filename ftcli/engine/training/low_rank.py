"""LoRA (Hu et al. 2022, arXiv 2106.09685) through PEFT: layers whose weights W + BA train by A and B alone."""

import re
from collections.abc import Collection
from copy import deepcopy
from itertools import chain
from typing import Any

import torch
from torch import nn

from ftcli.config.loop import INSTALL_PEFT
from ftcli.errors import RequestError
from ftcli.model.classifier import Linear
from ftcli.safe_text import reason
from ftcli.seeds import derive_seed

ADAPTER = "default"  # PEFT's name for a set of A and B


class LowRankNetwork:
    """A network that trains by A and B, and the plain one that it stands for.

    A is drawn by PEFT's rule, uniform in ±1/√(numbers in a row of W), from a generator seeded for it alone; B is 0.

    Attributes:
        plain: the network that was given. Its chosen weights are W + BA as of the last `merge`.
        module: a copy with PEFT's layers in place of the chosen ones, W frozen. It shares all other tensors with
            `plain`, and with it the training of the head.
    """

    def __init__(self, plain: nn.Module, paths: Collection[str], rank: int, seed: int) -> None:
        """paths: of the chosen layers. Raises RequestError where PEFT cannot be imported."""
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ImportError as error:
            raise RequestError(f"--tune lora:{rank} needs PEFT: {reason(error)}.", INSTALL_PEFT) from error
        self.plain = plain
        tensors = chain(plain.parameters(), plain.buffers())
        copy = deepcopy(plain, {id(tensor): tensor for tensor in tensors})
        # As a list, PEFT would take the paths for endings of paths too.
        exactly = "|".join(map(re.escape, sorted(paths)))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed("low-rank matrices", seed))
            self.module = inject_adapter_in_model(
                LoraConfig(r=rank, lora_alpha=rank, target_modules=exactly), copy, ADAPTER
            )
        self.layers: dict[str, tuple[Any, Linear]] = {}  # by path: PEFT's layer, and the plain one
        for path in paths:
            layer = plain.get_submodule(path)
            assert isinstance(layer, Linear)
            layer.weight = nn.Parameter(layer.weight.detach().clone(), requires_grad=False)
            self.layers[path] = self.module.get_submodule(path), layer

    def names(self, name: str) -> list[str]:
        """The names in `module` of the parameters that move a parameter of `plain`."""
        path, _, kind = name.rpartition(".")
        if path in self.layers and kind == "weight":
            return [f"{path}.lora_{matrix}.{ADAPTER}.weight" for matrix in "AB"]
        return [name]

    @torch.no_grad()
    def merge(self) -> None:
        """Give the plain network the present W + BA, in place; while B is 0, the bits of W."""
        for trained, plain in self.layers.values():
            plain.weight.copy_(trained.base_layer.weight + trained.get_delta_weight(ADAPTER))
