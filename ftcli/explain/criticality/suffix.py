"""The mistakes of a network of which one block changes: what comes before the block is computed once."""

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from ftcli.data.loader import Loader
from ftcli.engine.device import Machine
from ftcli.engine.features.feature_cache import IN_MEMORY, FeatureCache, bytes_of
from ftcli.engine.frozen_prefix import FrozenPrefix, RowLoader
from ftcli.engine.predict import SuffixForward, compiled_features, correct, passes
from ftcli.engine.run_inputs import RunInputs
from ftcli.errors import RunError
from ftcli.log import Log
from ftcli.model.head import features, head_of
from ftcli.model.prefix import Layout

BATCH_BYTES = 2**24  # of rows, in a batch where --batch-size makes less


def mistake_counter(
    model: nn.Module, tensors: Collection[str], loader: Loader, inputs: RunInputs, log: Log
) -> Callable[..., int]:
    """`count_mistakes` of a model of which only `tensors` change, over `loader`'s images, as often as wanted.

    Where the network cannot be cut before these tensors, or is compiled, the whole network runs on stored images. At
    most IN_MEMORY bytes are stored.
    """
    machine = inputs.machine
    alone = replace(inputs, sets={"images": loader}, train=loader, feature_cache=FeatureCache(machine, None))
    model.eval()
    forward = None if machine.compiled else FrozenPrefix(model, tensors, alone, log).evaluation_forward("images")
    forward = forward or whole_forward(model, loader, machine)
    if isinstance(forward.loader, RowLoader):
        forward = replace(forward, loader=in_large_batches(forward.loader))
    return partial(count_mistakes, model, forward, machine)


def count_mistakes(model: nn.Module, forward: SuffixForward, machine: Machine, *, finite: bool = False) -> int:
    """Examples that are not predicted correctly with the weights of now; one without finite logits is a mistake.

    finite: raises RunError where there is such an example.
    """
    labels = torch.from_numpy(forward.loader.data.labels).to(machine.device)
    wrong = torch.zeros((), dtype=torch.int64, device=labels.device)
    done = 0
    for outputs in passes(model, forward, machine, Log(), ""):
        logits = outputs.logits
        if finite and not logits.isfinite().all():
            raise RunError("the outputs of B are not all finite numbers.", "give a model that has not diverged")
        wrong += (~correct(logits, labels[done : done + len(logits)])).sum()
        done += len(logits)
    return int(wrong)


def whole_forward(model: nn.Module, loader: Loader, machine: Machine) -> SuffixForward:
    """The whole network, on images in memory where there is room for them."""
    body, head = partial(compiled_features() if machine.compiled else features, model), head_of(model)
    layout = Layout.of(next(iter(loader.ordered())).images)
    if bytes_of((loader.n, layout.width)) > IN_MEMORY:
        return SuffixForward(loader, body, head)
    images = RowLoader(loader, torch.cat([layout.to_rows(batch.images) for batch in loader.ordered()]))
    return SuffixForward(images, lambda rows: body(layout.from_rows(rows)), head)


def in_large_batches(rows: RowLoader) -> RowLoader:
    """The same rows, more of them in a batch: convolutions arrange their weights anew for every batch, which late in a
    network takes as long as the images do.
    """
    size = max(rows.batch_size, BATCH_BYTES // bytes_of((1, rows.rows.shape[1])))
    return RowLoader(Loader(rows.data, rows.transform, batch_size=size, device=rows.device), rows.rows)
