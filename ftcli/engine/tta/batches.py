"""A set as a stream for test-time adaptation: its images in a seeded order, without their labels, in batches."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ftcli.cache.cache import Cache
from ftcli.config.adapting import Adapt
from ftcli.data.images import ImageSet
from ftcli.data.loader import Loader
from ftcli.data.transforms import DataConfig, Transform, augmentation, evaluation
from ftcli.engine.device import Machine
from ftcli.errors import RequestError
from ftcli.log import Log


class StreamBatch(NamedTuple):
    """Consecutive images of a stream, on the device."""

    rows: Tensor  # int64 [B] on the CPU, which examples of the set they are
    images: Tensor  # [B, C, H, W], with the transform of evaluation
    views: Tensor  # [V, C, H, W], to adapt to: the images themselves, or random views of the one image


@dataclass(frozen=True)
class Stream:
    """The batches of one set, the same each time: order and views depend on (seed, example) alone.

    Without `views`, a last batch of one image joins the one before it, because one image has no batch statistics. With
    them a batch is one image and its views.
    """

    plain: Loader
    views: Loader | None
    seed: int

    @property
    def steps(self) -> int:
        """Batches of one pass."""
        return self.plain.steps(skip_single=self.views is None) or 1

    def batches(self, done: int = 0) -> Iterator[StreamBatch]:
        """Batches to adapt to, without the first ones that are `done`."""
        if self.views is None:
            return self.batches_without_views(done)
        plain = self.plain.shuffled(self.seed, 0, skip_single=False, done=done)
        views = self.views.shuffled(self.seed, 0, skip_single=False, done=done)  # the order is that of `plain`
        return (StreamBatch(a.labels.cpu(), a.images, b.images) for a, b in zip(plain, views, strict=True))

    def batches_without_views(self, done: int = 0) -> Iterator[StreamBatch]:
        """The same batches, each image its only view: for predictions without adaptation."""
        if done >= self.steps:  # a single last image has joined the batch before it
            return iter(())
        plain = self.plain.shuffled(self.seed, 0, skip_single=False, done=done)
        batches = (StreamBatch(batch.labels.cpu(), batch.images, batch.images) for batch in plain)
        return join_single_image(batches) if self.views is None else batches


def stream_of(
    data: ImageSet, data_config: DataConfig, machine: Machine, config: Adapt, log: Log, cache: Cache | None
) -> Stream:
    """The stream of a set. Its loaders have positions in the set in the place of labels: no label gets in.

    Raises RequestError for a set of one image where the statistics of a batch are asked for.
    """
    if config.method == "tent" and len(data) == 1:
        raise RequestError(f"{data.spec} is one image, which has no statistics of a batch.", "--method memo")
    unlabelled = replace(data, labels=np.arange(len(data)))

    def loader(transform: Transform, batch_size: int) -> Loader:
        return Loader(
            unlabelled, transform, batch_size=batch_size, workers=machine.workers, device=machine.device, cache=cache,
            log=log,
        )  # fmt: skip

    if config.method == "tent":
        return Stream(loader(evaluation(data_config), config.batch_size), None, config.seed)
    augmented = views_of(augmentation(data_config, config.augment, config.crop_scale), config.augmentations)
    return Stream(loader(evaluation(data_config), 1), loader(augmented, 1), config.seed)


def join_single_image(batches: Iterator[StreamBatch]) -> Iterator[StreamBatch]:
    """The same batches, a last one of a single image joined to the one before it."""
    last: StreamBatch | None = None
    for batch in batches:
        if last is None:
            last = batch
        elif len(batch.rows) > 1:
            yield last
            last = batch
        else:
            images = torch.cat([last.images, batch.images])
            last = StreamBatch(torch.cat([last.rows, batch.rows]), images, images)
    if last is not None:
        yield last


@dataclass(frozen=True)
class Views(Transform):
    """`count` random views of every image: `draw` stacks them vertically, `normalise` separates them again."""

    count: int = field(kw_only=True)

    def normalise(self, batch: Tensor) -> Tensor:
        """uint8 [B, count H, W, 3] to float32 [B count, 3, H, W]."""
        B, height, W, C = batch.shape
        return super().normalise(batch.reshape(B * self.count, height // self.count, W, C))


def views_of(transform: Transform, count: int) -> Views:
    """`count` independent draws of a transform."""
    H, W = transform.size
    draw, numbers = partial(stacked_views, transform.draw, count), count * transform.numbers
    return Views(**{**vars(transform), "size": (count * H, W), "numbers": numbers, "draw": draw, "count": count})


def stacked_views(draw: Any, count: int, pixels: np.ndarray, u: np.ndarray) -> np.ndarray:
    """uint8 [count H, W, 3]; u: float64 [count numbers]."""
    return np.concatenate([draw(pixels, numbers) for numbers in u.reshape(count, -1)])
