"""A set as a stream: its images in an order drawn by a seed, without their labels, in pieces to learn from."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ftcli.cache import Cache
from ftcli.config.adapting import Adapt
from ftcli.data.images import ImageSet
from ftcli.data.loaders import Loader
from ftcli.data.transforms import Transform, augmentation, evaluation
from ftcli.engine.device import Machine
from ftcli.errors import RequestError
from ftcli.log import Log


class Piece(NamedTuple):
    """Consecutive images of a stream, on the device."""

    rows: Tensor  # int64 [B] on the CPU, which examples of the set they are
    images: Tensor  # [B, C, H, W], as evaluation sees them
    views: Tensor  # [V, C, H, W], what is learned from: the images themselves, or random views of the one image


@dataclass(frozen=True)
class Stream:
    """The pieces of one set, the same each time: order and views depend on (seed, example) alone.

    Without `views` a piece is a batch; a last batch of one image goes with the one before it, because the statistics of
    a batch say nothing about one image. With them a piece is one image and its views.
    """

    plain: Loader
    views: Loader | None
    seed: int

    @property
    def n(self) -> int:
        return self.plain.n

    @property
    def steps(self) -> int:
        """Pieces of one pass."""
        return self.plain.steps(skip_single=self.views is None) or 1

    def pieces(self, done: int = 0) -> Iterator[Piece]:
        """What is learned from, without the first pieces that are `done`."""
        if self.views is None:
            return self.without_views(done)
        plain = self.plain.shuffled(self.seed, 0, skip_single=False, done=done)
        views = self.views.shuffled(self.seed, 0, skip_single=False, done=done)  # an order knows nothing of transforms
        return (Piece(one.labels.cpu(), one.images, many.images) for one, many in zip(plain, views, strict=True))

    def without_views(self, done: int = 0) -> Iterator[Piece]:
        """The same pieces, each image its only view: for answers that learn nothing."""
        if done >= self.steps:  # a last image alone has gone with the piece before it
            return iter(())
        plain = self.plain.shuffled(self.seed, 0, skip_single=False, done=done)
        pieces = (Piece(batch.labels.cpu(), batch.images, batch.images) for batch in plain)
        return whole_batches(pieces) if self.views is None else pieces


def stream_of(
    data: ImageSet, data_config: dict[str, Any], machine: Machine, config: Adapt, log: Log, cache: Cache | None
) -> Stream:
    """The stream of a set. Where the loaders have labels, it has positions in the set: no label gets in.

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
    augmented = views_of(augmentation(data_config, config.augment), config.augmentations)
    return Stream(loader(evaluation(data_config), 1), loader(augmented, 1), config.seed)


def whole_batches(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """The same batches, a last one of a single image joined to the one before it."""
    held: Piece | None = None
    for piece in pieces:
        if held is None:
            held = piece
        elif len(piece.rows) > 1:
            yield held
            held = piece
        else:
            images = torch.cat([held.images, piece.images])
            held = Piece(torch.cat([held.rows, piece.rows]), images, images)
    if held is not None:
        yield held


@dataclass(frozen=True)
class Views(Transform):
    """Several random views of every picture: `draw` puts them one below the other, `normalise` takes them apart."""

    count: int = field(kw_only=True)

    def normalise(self, batch: Tensor) -> Tensor:
        """uint8 [B, count H, W, 3] to float32 [B count, 3, H, W]."""
        B, high, W, C = batch.shape
        return super().normalise(batch.reshape(B * self.count, high // self.count, W, C))


def views_of(one: Transform, count: int) -> Views:
    """`count` independent draws of a transform."""
    H, W = one.size
    several = {"size": (count * H, W), "numbers": count * one.numbers, "draw": partial(drawn, one.draw, count)}
    return Views(**{**vars(one), **several, "count": count})


def drawn(draw: Any, count: int, pixels: np.ndarray, u: np.ndarray) -> np.ndarray:
    """uint8 [count H, W, 3]; u: float64 [count numbers]."""
    return np.concatenate([draw(pixels, numbers) for numbers in u.reshape(count, -1)])
