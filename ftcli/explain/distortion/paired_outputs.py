"""The outputs of the blocks of several networks for the same images, a batch at a time."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ftcli.data.loader import Batch, Loader
from ftcli.engine.device import Machine
from ftcli.engine.predict import batch_sizes
from ftcli.log import Log
from ftcli.model.block_outputs import BlockEnd, find_block_ends, pooled_outputs
from ftcli.seeds import derive_seed

TRIAL_IMAGES = 2  # on which the ends of the blocks are found


def paired_block_outputs(
    models: Sequence[nn.Module], loader: Loader, machine: Machine, log: Log, label: str, *, seed: int | None = None
) -> Iterator[list[dict[str, Tensor]]]:
    """For every batch and model, the pooled outputs of its blocks: float32 {block: [B, C], "penultimate": [B, D]}.

    Every example comes once, over all processes, in the set's order, or with `seed` in a random one. The models are in
    eval mode and run one after the other on the same images.
    """
    for model in models:
        model.eval()
    batches = loader.ordered(None if seed is None else torch.randperm(loader.n, generator=generator(seed)))
    rounds = batch_sizes(loader.n, loader.batch_size, machine.processes)
    places: list[list[BlockEnd]] = []
    for sizes in log.track(rounds, label, len(rounds)):
        size = sizes[machine.rank]
        batch = next(batches) if size else None
        by_model = []
        for i, model in enumerate(models):
            with torch.inference_mode(), machine.autocast():
                if len(places) == i:
                    places.append(find_block_ends(model, trial_images(batch, loader)))
                outputs = pooled_outputs(model, places[i], batch.images if batch else trial_images(None, loader))
            by_model.append({name: machine.gather(values.float()[:size], sizes) for name, values in outputs.items()})
        yield by_model


def trial_images(batch: Batch | None, loader: Loader) -> Tensor:
    """A few images; blank ones for a process that has no batch."""
    if batch is not None:
        return batch.images[:TRIAL_IMAGES]
    height, width = loader.transform.size
    return torch.zeros(TRIAL_IMAGES, 3, height, width, device=loader.device)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed("order of a measure", seed))
