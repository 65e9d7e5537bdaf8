"""What one pass over a set leaves for all signals: every block's pooled output, the head's input and the logits."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ftcli.data.loader import Loader
from ftcli.engine.batchnorm import averaging, layers_with_statistics
from ftcli.engine.device import Machine
from ftcli.errors import RunError
from ftcli.log import Log
from ftcli.model.block_outputs import BlockEnd, find_block_ends, pool_moments, pooled_outputs
from ftcli.model.head import head_of
from ftcli.model.names import PENULTIMATE


@dataclass(frozen=True)
class SetFeatures:
    """N images of a set through the model, in the set's order.

    blocks: of every block of the body [N, 2C], the mean of each channel and then its standard deviation.
    """

    blocks: dict[str, np.ndarray]
    penultimate: Tensor  # [N, D] float32
    logits: np.ndarray  # [N, K] float32


def set_features(model: nn.Module, loader: Loader, machine: Machine, log: Log, label: str) -> SetFeatures:
    """One pass over a set, in eval mode. Raises RunError where an output is not finite."""
    model.eval()
    head, ends = head_of(model), list[BlockEnd]()
    outputs: dict[str, list[Tensor]] = {}
    logits: list[Tensor] = []
    for batch in log.track(loader.ordered(), label, loader.steps(skip_single=False)):
        with torch.inference_mode():
            with machine.autocast():
                ends = ends or find_block_ends(model, batch.images[:2])
                of_batch = pooled_outputs(model, ends, batch.images, pool_moments)
            phi = of_batch[PENULTIMATE].float()
            logits.append(head(phi).cpu())
        for name, values in of_batch.items():
            outputs.setdefault(name, []).append(values.float().cpu())
    whole = {name: torch.cat(parts) for name, parts in outputs.items()}
    if bad := next((name for name, values in whole.items() if not values.isfinite().all()), None):
        raise RunError(f"what {bad} makes of {label} is not finite.", "give a model that has not diverged")
    phi = whole.pop(PENULTIMATE)
    return SetFeatures({name: v.numpy() for name, v in whole.items()}, phi, torch.cat(logits).numpy())


def batch_statistics_logits(
    model: nn.Module, loader: Loader, machine: Machine, seed: int, log: Log
) -> np.ndarray | None:
    """The logits [N, K] where every BatchNorm uses the statistics of its batch: one pass, in an order drawn by `seed`.

    NaN for a last batch of one image. None where no layer keeps statistics. The model is left as it was.
    """
    layers = layers_with_statistics(model)
    if not layers:
        return None
    kept = [(layer.running_mean.clone(), layer.running_var.clone()) for layer in layers]  # type: ignore[union-attr]
    model.eval()
    logits = np.full((loader.n, len(head_of(model).bias)), np.nan, np.float32)
    batches = loader.shuffled(seed, 0, skip_single=True)
    with averaging(layers), torch.no_grad():
        for batch in log.track(batches, "target, its own BatchNorm statistics", loader.steps(skip_single=True)):
            assert batch.rows is not None
            with machine.autocast():
                logits[batch.rows.numpy()] = model(batch.images).float().cpu().numpy()
    for layer, (mean, variance) in zip(layers, kept, strict=True):
        layer.running_mean.copy_(mean)  # type: ignore[union-attr]
        layer.running_var.copy_(variance)  # type: ignore[union-attr]
    return logits
