"""BatchNorm statistics of averaged weights, estimated anew from data: an average of weights has none of its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ftcli.data.loader import Loader
from ftcli.engine.device import Machine
from ftcli.log import Log
from ftcli.model.normalization import batch_norms


def has_statistics(model: nn.Module) -> bool:
    """Whether a layer of the model keeps running statistics of batches."""
    return bool(layers_with_statistics(model))


def layers_with_statistics(model: nn.Module) -> list[_BatchNorm]:
    return [layer for layer in batch_norms(model) if layer.running_mean is not None]


def reestimate(
    model: nn.Module, loader: Loader, machine: Machine, seed: int, log: Log, label: str,
    layers: Sequence[_BatchNorm] | None = None,
) -> None:  # fmt: skip
    """Give every BatchNorm, or the `layers` alone, the mean of the batch means and variances over one pass, in an order
    drawn by `seed`.

    Everything else is in eval behaviour. Layers see what the layers before them put out under batch statistics.
    """
    model.eval()
    layers = layers_with_statistics(model) if layers is None else list(layers)
    with averaging(layers), torch.no_grad():
        for batch in log.track(loader.shuffled(seed, 0, skip_single=True), label, loader.steps(skip_single=True)):
            with machine.autocast():
                model(batch.images)


@contextmanager
def averaging(layers: list[_BatchNorm]) -> Iterator[None]:
    """Inside, the layers forget their statistics and take the plain mean over all batches that they see."""
    momenta = [layer.momentum for layer in layers]
    counts = [None if layer.num_batches_tracked is None else layer.num_batches_tracked.clone() for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum, layer.training = None, True
    try:
        yield
    finally:
        for layer, momentum, count in zip(layers, momenta, counts, strict=True):
            layer.momentum, layer.training = momentum, False
            if count is not None and layer.num_batches_tracked is not None:
                layer.num_batches_tracked.copy_(count)
