"""What is frozen in front of everything that trains: computed once for each set, not again in every epoch."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import ceil

import torch
from torch import Tensor, nn

from ftcli.config.training import Training
from ftcli.data.loaders import Job, Loader
from ftcli.engine.experiment import Experiment
from ftcli.engine.features.feature_cache import IN_MEMORY, Keeper, bytes_of, digest_of, known_code, name_of
from ftcli.engine.micro_batches import MicroBatches
from ftcli.engine.plan import Plan
from ftcli.engine.predict import Way, fitting
from ftcli.log import Log
from ftcli.model.head import Head, features, head_of
from ftcli.model.prefix import Forward, Prefix, Split, split, whole

PROBED = 3  # images on which the two parts of a network are held against the whole


class Rows(Loader):
    """The batches of another loader in the same order, with the rows of a matrix [N, D] in place of its images."""

    def __init__(self, like: Loader, rows: Tensor) -> None:
        super().__init__(like.data, like.transform, batch_size=like.batch_size, device=like.device)
        self.rows = rows

    def _made(self, plans: list[Job]) -> Iterator[Tensor]:
        # Copies, even of neighbours: a network may change in place what it is given.
        return (self.rows.index_select(0, plan.indices.to(self.rows.device)) for plan in plans)

    def _send(self, pixels: Tensor) -> Tensor:
        return pixels.to(self.device)


@dataclass(frozen=True)
class Short:
    """The shorter way to what a network gives of a set: `network` takes the batches of `loader`."""

    network: nn.Module
    loader: Loader
    head: Head

    @property
    def way(self) -> Way:
        """The same, as a pass over a model takes it."""
        return Way(lambda model, rows: self.network(rows), self.head)


class Ahead:
    """What of a model's passes is computed ahead of a run in which only `tuned` tensors move.

    A set whose transform draws random numbers is another one in every epoch: then nothing of it is.
    """

    def __init__(self, model: nn.Module, tuned: Collection[str], experiment: Experiment, log: Log) -> None:
        self.model, self.tuned, self.experiment, self.log = model, tuned, experiment, log
        self.keeper = Keeper(experiment.machine, experiment.cache if known_code(model) else None)
        self._training: dict[frozenset[str], Short | None] = {}
        self._evaluating: dict[str, Short | None] = {}
        self._digests: dict[Prefix, str] = {}

    def training(self, moving: Collection[str]) -> Short | None:
        """The way of training, in the mode that the model has while `moving` tensors move; None for the whole one."""
        mode = frozenset(moving)
        if mode not in self._training:
            assert self.experiment.train is not None
            loader = self.experiment.train
            parts = None if loader.transform.numbers else self.parts(whole)
            self._training[mode] = self.short(parts, loader, "the frozen part, of train")
        return self._training[mode]

    def evaluating(self, name: str) -> Short | None:
        """The way to the features of a set, in eval behaviour; None for the whole one."""
        if name not in self._evaluating:
            loader = self.experiment.sets[name]
            self._evaluating[name] = self.short(self.evaluation, loader, f"the frozen part, of {name}")
        return self._evaluating[name]

    @cached_property
    def evaluation(self) -> Split | None:
        self.model.eval()
        return self.parts(features)

    def parts(self, forward: Forward) -> Split | None:
        """The model cut in two."""
        with self.experiment.machine.autocast():
            return split(self.model, self.tuned, self.images, forward)

    @cached_property
    def images(self) -> Tensor:
        """A few, to try the cut on."""
        assert self.experiment.train is not None
        return next(iter(self.experiment.train.ordered())).images[:PROBED]

    def short(self, parts: Split | None, loader: Loader, label: str) -> Short | None:
        if parts is None:
            return None
        rows = self.rows(parts, loader, label)
        return None if rows is None else Short(parts.suffix, Rows(loader, rows), head_of(self.model))

    def rows(self, parts: Split, loader: Loader, label: str) -> Tensor | None:
        """What the frozen part makes of a set, float32 [N, D]; None where there is no room for it."""
        shape, shelf = (loader.n, parts.width), self.experiment.shelf
        small = bytes_of(shape) <= IN_MEMORY
        if not small and self.experiment.machine.device.type != "cpu":
            return None  # to fetch so much would take longer than to compute it
        name = name_of(self.digest(parts.prefix), loader, self.experiment.machine)
        if (held := shelf.find(name)) is not None:
            return held
        found = self.keeper.from_cache(name, shape, lambda: self.blocks(parts.prefix, loader, label))
        if found is None and small:
            found = self.keeper.for_this_run(shape, lambda: self.blocks(parts.prefix, loader, label))
        return None if found is None else shelf.put(name, found)

    def blocks(self, prefix: Prefix, loader: Loader, label: str) -> Iterator[Tensor]:
        """[b, D] of one batch after the other."""
        parts = MicroBatches(label, min(loader.n, loader.batch_size), self.log)
        for batch in self.log.track(loader.ordered(), label, ceil(loader.n / loader.batch_size)):
            with torch.inference_mode():
                rows = fitting(prefix, batch.images, parts, self.experiment.machine)
            yield rows

    def digest(self, prefix: Prefix) -> str:
        """Of all that the frozen part depends on."""
        if prefix not in self._digests:
            self._digests[prefix] = f"{digest_of(prefix)} {prefix.forms} {prefix.graph.code}"
        return self._digests[prefix]


def ahead_of(model: nn.Module, plan: Plan, config: Training, experiment: Experiment, log: Log) -> Ahead | None:
    """What can be computed ahead of a run, or None where nothing can.

    Not with a running mean of the weights, which is a network of its own; not where gradients are scored, which looks
    at the whole network; not in several processes, which would need the rows of one another; and not compiled, because
    every part of every run would be compiled anew.
    """
    tuned, machine = plan.ever(config.epochs), experiment.machine
    apart = config.ema is not None or plan.scoring is not None or machine.processes > 1 or machine.compiled
    if apart or tuned >= {name for name, _ in model.named_parameters()}:
        return None
    return Ahead(model, tuned, experiment, log)
