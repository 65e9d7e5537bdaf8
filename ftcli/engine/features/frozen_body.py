"""Features of a body that does not change: computed once per (weights, images, transform, machine)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from ftcli.data.loader import Loader
from ftcli.engine.features.feature_cache import FeatureCache, feature_key, network_digest
from ftcli.engine.features.feature_matrix import FeatureMatrix
from ftcli.engine.predict import passes
from ftcli.log import Log
from ftcli.model.head import head_of


@dataclass(frozen=True)
class FrozenBody:
    """A model whose body stays as it is while this object lives; its head may change."""

    model: nn.Module
    cache: FeatureCache
    log: Log
    by_loader: dict[Loader, FeatureMatrix] = field(default_factory=dict)

    def features(self, loader: Loader, label: str) -> FeatureMatrix:
        """The features [N, D] of a whole set, in its order."""
        if loader not in self.by_loader:
            shape = (loader.n, head_of(self.model).width)

            def blocks() -> Iterator[Tensor]:
                return (outputs.features for outputs in passes(self.model, loader, self.cache.machine, self.log, label))

            stored = self.cache.from_disk(self.key(loader), shape, blocks) if self.on_disk else None
            self.by_loader[loader] = stored or self.cache.compute(shape, blocks)
        return self.by_loader[loader]

    @cached_property
    def on_disk(self) -> bool:
        return self.cache.stores(self.model)

    def whole(self, loader: Loader, label: str) -> Tensor:
        """The features of a set in memory, float32 [N, D] on the CPU."""
        return torch.cat([block.to("cpu", copy=True) for _, block in self.features(loader, label).blocks()])

    def logits(self, loader: Loader, label: str) -> Tensor:
        """The logits [N, K] of a whole set under the head of now, float32 on the CPU."""
        head = head_of(self.model)
        blocks = (block for _, block in self.features(loader, label).blocks())  # [n, D]
        return torch.cat([head(batch).cpu() for block in blocks for batch in block.split(loader.batch_size)])

    def key(self, loader: Loader) -> str:
        """The key of a set's features on the disk."""
        return feature_key(self.body_digest, loader, self.cache.machine)

    @cached_property
    def body_digest(self) -> str:
        return network_digest(self.model, without=head_of(self.model).names)
