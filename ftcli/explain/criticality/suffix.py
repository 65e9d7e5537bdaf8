"""The mistakes of a network of which one block moves: what lies in front of the block is computed once."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
from torch import nn

from ftcli.data.loaders import Loader
from ftcli.engine.device import Machine
from ftcli.engine.experiment import Experiment
from ftcli.engine.features.feature_cache import IN_MEMORY, Shelf, bytes_of
from ftcli.engine.frozen_prefix import Ahead, Rows
from ftcli.engine.predict import Way, compiled_features, passes, right
from ftcli.errors import RunError
from ftcli.log import Log
from ftcli.model.head import features, head_of
from ftcli.model.prefix import Form

TOGETHER = 2**24  # bytes of what is kept that make a batch where --batch-size makes less


@dataclass(frozen=True)
class Behind:
    """The shortest way from what is kept of a set to its logits, through a model in eval behaviour."""

    model: nn.Module
    loader: Loader
    machine: Machine
    way: Way

    def mistakes(self, finite: bool = False) -> int:
        """Examples whose class is not predicted with the weights of now; one without finite logits is a mistake.

        `finite`: raises RunError where there is such a one.
        """
        labels = torch.from_numpy(self.loader.data.labels).to(self.machine.device)
        wrong = torch.zeros((), dtype=torch.int64, device=labels.device)
        seen = 0
        for part in passes(self.model, self.loader, self.machine, Log(), "", self.way):
            if finite and not part.logits.isfinite().all():
                raise RunError("the outputs of B are not all finite numbers.", "give a model that has not diverged")
            wrong += (~right(part.logits, labels[seen : seen + len(part.logits)])).sum()
            seen += len(part.logits)
        return int(wrong)


def behind(model: nn.Module, tensors: Collection[str], loader: Loader, experiment: Experiment, log: Log) -> Behind:
    """The way of a model whose `tensors` move, over `loader`'s images as evaluation sees them.

    Where the network cannot be cut in front of them, or is compiled, the way is the whole one, from images that are
    kept. What is kept is in memory, and there is at most IN_MEMORY of it.
    """
    machine = experiment.machine
    alone = replace(experiment, sets={"images": loader}, train=loader, cache=None, shelf=Shelf())
    model.eval()
    short = None if machine.compiled else Ahead(model, tensors, alone, log).evaluating("images")
    kept, way = (short.loader, short.way) if short else whole(model, loader, machine)
    return Behind(model, in_large_batches(kept) if isinstance(kept, Rows) else kept, machine, way)


def whole(model: nn.Module, loader: Loader, machine: Machine) -> tuple[Loader, Way]:
    """The whole way, from images in memory where there is room for them."""
    body, head = compiled_features() if machine.compiled else features, head_of(model)
    form = Form.of(next(iter(loader.ordered())).images)
    if bytes_of((loader.n, form.width)) > IN_MEMORY:
        return loader, Way(body, head)
    images = Rows(loader, torch.cat([form.rows(batch.images) for batch in loader.ordered()]))
    return images, Way(lambda model, rows: body(model, form.value(rows)), head)


def in_large_batches(rows: Rows) -> Rows:
    """The same rows, more of them at once: convolutions lay out their weights anew for every batch, which behind a late
    block takes as long as the images do.
    """
    together = max(rows.batch_size, TOGETHER // bytes_of((1, rows.rows.shape[1])))
    return Rows(Loader(rows.data, rows.transform, batch_size=together, device=rows.device), rows.rows)
