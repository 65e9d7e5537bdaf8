"""Several networks along the same batches: what their blocks put out for the same images, a batch at a time."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ftcli.data.loaders import Batch, Loader
from ftcli.engine.device import Machine
from ftcli.engine.predict import rounds
from ftcli.log import Log
from ftcli.model.block_outputs import BlockEnd, find_block_ends, pooled_outputs
from ftcli.seeds import derive_seed

PROBED = 2  # images on which the ends of the blocks are found


def paired_block_outputs(
    models: Sequence[nn.Module], loader: Loader, machine: Machine, log: Log, label: str, *, seed: int | None = None
) -> Iterator[list[dict[str, Tensor]]]:
    """For every batch, what each model's blocks put out: float32 {block: [B, C], "penultimate": [B, D]}.

    Every example comes once, over all processes, in the set's order, or with `seed` in a random one. The models are in
    eval behaviour and run one after the other on the images of a batch, which are made once.
    """
    for model in models:
        model.eval()
    batches = loader.ordered(None if seed is None else torch.randperm(loader.n, generator=generator(seed)))
    counts = rounds(loader.n, loader.batch_size, machine.processes)
    places: list[list[BlockEnd]] = []
    for sizes in log.track(counts, label, len(counts)):
        here = sizes[machine.rank]
        batch = next(batches) if here else None
        found = []
        for i, model in enumerate(models):
            with torch.inference_mode(), machine.autocast():
                if len(places) == i:
                    places.append(find_block_ends(model, images_to_probe(batch, loader)))
                outputs = pooled_outputs(model, places[i], batch.images if batch else images_to_probe(None, loader))
            found.append({name: machine.gather(values.float()[:here], sizes) for name, values in outputs.items()})
        yield found


def images_to_probe(batch: Batch | None, loader: Loader) -> Tensor:
    """A few images; blank ones for a process that has no batch."""
    if batch is not None:
        return batch.images[:PROBED]
    height, width = loader.transform.size
    return torch.zeros(PROBED, 3, height, width, device=loader.device)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed("order of a measure", seed))
