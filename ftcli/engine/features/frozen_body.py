"""A body that does not change: its features are computed once per (weights, pictures, transform, machine) and kept."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from ftcli.cache import Cache
from ftcli.data.loaders import Loader
from ftcli.engine.device import Machine
from ftcli.engine.experiment import Experiment
from ftcli.engine.features.feature_cache import Keeper, digest_of, known_code, name_of
from ftcli.engine.features.feature_matrix import FeatureMatrix
from ftcli.engine.predict import passes, predict
from ftcli.log import Log
from ftcli.model.head import head_of


@dataclass(frozen=True)
class FrozenBody:
    """A model whose body stays as it is while this object lives; its head may change.

    Features come from the cache where they are there, and go into it where they are not.
    """

    model: nn.Module
    machine: Machine
    cache: Cache | None
    log: Log
    known: dict[Loader, FeatureMatrix] = field(default_factory=dict)

    def features(self, loader: Loader, label: str) -> FeatureMatrix:
        """The features [N, D] of a whole set, in its order."""
        if loader not in self.known:
            self.known[loader] = self.found_or_made(loader, label)
        return self.known[loader]

    def found_or_made(self, loader: Loader, label: str) -> FeatureMatrix:
        """From the cache, into which they are put first where they are not there yet; else computed for this object."""
        shape = (loader.n, head_of(self.model).weight.shape[1])

        def blocks() -> Iterator[Tensor]:
            return (part.features for part in passes(self.model, loader, self.machine, self.log, label))

        found = self.keeper.from_cache(self.name_of(loader), shape, blocks) if self.keeper.cache else None
        return found or self.keeper.for_this_run(shape, blocks)

    @cached_property
    def keeper(self) -> Keeper:
        return Keeper(self.machine, self.cache if known_code(self.model) else None)

    def whole(self, loader: Loader, label: str) -> Tensor:
        """The same in memory, on the CPU."""
        return torch.cat([block.to("cpu", copy=True) for _, block in self.features(loader, label).blocks()])

    def logits(self, loader: Loader, label: str) -> Tensor:
        """The logits [N, K] of a whole set under the head of now, float32 on the CPU."""
        head = head_of(self.model)
        blocks = (block for _, block in self.features(loader, label).blocks())  # [n, D]
        return torch.cat([head(batch).cpu() for block in blocks for batch in block.split(loader.batch_size)])

    def name_of(self, loader: Loader) -> str:
        """The key of the features of a set."""
        return name_of(self.weights, loader, self.machine)

    @cached_property
    def weights(self) -> str:
        """Digest of the body."""
        return digest_of(self.model, besides=head_of(self.model).name)


def all_logits(model: nn.Module, experiment: Experiment, log: Log, frozen: bool) -> dict[str, Tensor]:
    """The logits [N, K] of every set of a task. `frozen`: this body may come again, so its features are kept."""
    if frozen:
        body = FrozenBody(model, experiment.machine, experiment.cache, log)
        found = {name: body.logits(loader, name) for name, loader in experiment.sets.items()}
    else:
        found = {
            name: predict(model, loader, experiment.machine, log, name).logits
            for name, loader in experiment.sets.items()
        }
    for name, logits in found.items():
        if (logits == logits[0]).all() and len(set(experiment.sets[name].data.pixel_digests)) > 1:
            log.warn("constant-outputs", f"{name}: the model puts out the same for all of its {len(logits)} images")
    return found
