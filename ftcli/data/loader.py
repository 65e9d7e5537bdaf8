"""Loader: batches of one set, the same whatever number of processes makes them or shares them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ftcli.cache.cache import Cache
from ftcli.data.images import ImageSet
from ftcli.data.pixel_cache import CachedPixels, PartialPixels, Pixels, open_pixels
from ftcli.data.read_ahead import windows_of
from ftcli.data.threads import map_in_order
from ftcli.data.transforms import Transform
from ftcli.data.workers import Workers
from ftcli.log import Log
from ftcli.seeds import derive_seed

CPU = torch.device("cpu")


class Mixed(NamedTuple):
    """What was mixed into the images of a batch, each of which is weight · x + (1 - weight) · x' (mixup)."""

    weight: float  # of the image whose label stands in `labels`
    labels: Tensor  # int64 [b], of the images x'


class Batch(NamedTuple):
    """One process's share of a batch, on the device."""

    images: Tensor  # float32 [b, C, H, W], channels-last in memory
    labels: Tensor  # int64 [b]
    whole: Tensor  # int64 [B], labels of the whole batch, over all processes
    counted: bool  # False: a stand-in where there are fewer examples than processes; its loss has weight 0
    mixed: Mixed | None = None
    rows: Tensor | None = None  # int64 [b] on the CPU, which of the set's examples the images x are


@dataclass(frozen=True)
class Share:
    """One batch as positions of an epoch's order, and this process's share of it."""

    whole: slice
    own: slice
    counted: bool = True


class Mixup(NamedTuple):
    """Which images of an epoch are mixed, and how."""

    weights: list[float]  # of each batch
    partners: Tensor  # int64 [N], for each position of the epoch's order the position that is mixed into it


class Job(NamedTuple):
    """One batch to make: which examples, and the random numbers of each."""

    indices: Tensor  # int64 [b]
    numbers: np.ndarray  # float64 [b, numbers], in [0, 1)


class Loader:
    """Batches of exactly `batch_size` examples, the last one of what is left.

    Args:
        batch_size: over all processes.
        workers: processes that make batches; 0 makes them here. They live as long as the loader.
        shard: (rank, number) of the processes that share the work.
        cache: where decoded pixels are kept; None decodes an image each time.

    Raises:
        RequestError: the set is to be shuffled by blocks that do not fit into the transform's size.
    """

    def __init__(
        self,
        data: ImageSet,
        transform: Transform,
        *,
        batch_size: int,
        workers: int = 0,
        device: torch.device = CPU,
        shard: tuple[int, int] = (0, 1),
        cache: Cache | None = None,
        log: Log | None = None,
    ) -> None:
        self.n, self.batch_size = len(data), batch_size
        self.data, self.workers, self.device = data, workers, device
        self.transform = transform.shuffled(data.shuffle)
        self.rank, self.world = shard
        self.cache, self._log = cache, log or Log()
        self._labels = torch.from_numpy(data.labels)

    def uncached(self, data: ImageSet) -> "Loader":
        """A loader of another set that is like this one, but keeps no decoded pixels."""
        return Loader(
            data, self.transform, batch_size=self.batch_size, workers=self.workers, device=self.device,
            shard=(self.rank, self.world), log=self._log,
        )  # fmt: skip

    def ordered(self, order: Tensor | None = None) -> Iterator[Batch]:
        """Every example once, in the set's order, or in `order`, int64 [N]; of W processes, number r makes batches r,
        r + W, … whole.
        """
        order = torch.arange(self.n) if order is None else order
        batches = self._batches(self.n)[self.rank :: self.world]
        return self._run(order, self._numbers(0, 0)[order.numpy()], [Share(batch, batch) for batch in batches])

    def shuffled(
        self, seed: int, epoch: int, *, skip_single: bool, balanced: bool = False, done: int = 0,
        mixup: float | None = None,
    ) -> Iterator[Batch]:  # fmt: skip
        """Every example once, in an order and with an augmentation that depend on (seed, epoch, example) only.

        Process r makes share r of each batch. Where a batch has fewer examples than there are processes, a process
        without one makes the batch's first, not counted.

        Args:
            skip_single: leave out a last batch of which some process would have one example or none: BatchNorm cannot
                compute the variance of one.
            done: batches at the beginning that are not made, because they have been used.
            balanced: N draws with replacement instead, every class that has examples equally likely, each draw with
                an augmentation of its own.
            mixup: α; a batch's images are mixed with those of a permutation of the whole batch (Zhang et al. 2018),
                drawn with the weight, from Beta(α, α), from (seed, epoch, number of the batch) only.
        """
        numbers = self._numbers(seed, epoch)
        if balanced:
            order = self._balanced(seed, epoch)
        else:
            order = torch.randperm(self.n, generator=torch.Generator().manual_seed(derive_seed("order", seed, epoch)))
            numbers = numbers[order.numpy()]
        shares = self._shares[done : self.steps(skip_single=skip_single)]
        if mixup is None:
            return self._run(order, numbers, shares)
        return self._run_mixed(order, numbers, shares, self._mixup(mixup, seed, epoch))

    def steps(self, *, skip_single: bool) -> int:
        """Batches of one epoch, over all processes."""
        whole, left = divmod(self.n, self.batch_size)
        return whole + (left >= 2 * self.world if skip_single else left > 0)

    def _batches(self, n: int) -> list[slice]:
        return [slice(start, min(start + self.batch_size, n)) for start in range(0, n, self.batch_size)]

    @cached_property
    def _shares(self) -> list[Share]:
        return [self._share(batch) for batch in self._batches(self.n)]

    def _share(self, batch: slice) -> Share:
        """This process's share of a batch, as equal in size to the others' as can be."""
        size, longer = divmod(batch.stop - batch.start, self.world)
        start = batch.start + self.rank * size + min(self.rank, longer)
        own = slice(start, start + size + (self.rank < longer))
        if own.start == own.stop:
            return Share(batch, slice(batch.start, batch.start + 1), counted=False)
        return Share(batch, own)

    def _numbers(self, seed: int, epoch: int) -> np.ndarray:
        """Uniform random numbers of every example, float64 [N, numbers]; row i is the same for any N."""
        generator = np.random.Generator(np.random.PCG64(derive_seed("augmentation", seed, epoch)))
        return generator.random((self.n, self.transform.numbers))

    def _balanced(self, seed: int, epoch: int) -> Tensor:
        """int64 [N]: for each draw a class that has examples, and one of its examples, both uniformly."""
        labels = self.data.labels
        counts = np.bincount(labels)
        present = np.flatnonzero(counts)
        by_class = np.argsort(labels, kind="stable")  # examples, class after class
        starts = np.cumsum(counts) - counts
        generator = np.random.Generator(np.random.PCG64(derive_seed("balanced order", seed, epoch)))
        drawn = present[generator.integers(len(present), size=self.n)]
        return torch.from_numpy(by_class[starts[drawn] + generator.integers(counts[drawn])])

    def _mixup(self, alpha: float, seed: int, epoch: int) -> Mixup:
        weights, partners = [], []
        for step, batch in enumerate(self._batches(self.n)):
            generator = np.random.Generator(np.random.PCG64(derive_seed("mixup", seed, epoch, step)))
            weights.append(float(generator.beta(alpha, alpha)))
            partners.append(batch.start + generator.permutation(batch.stop - batch.start))
        return Mixup(weights, torch.from_numpy(np.concatenate(partners)))

    def _run(self, order: Tensor, numbers: np.ndarray, shares: list[Share]) -> Iterator[Batch]:
        """The batches of an epoch: `order` int64 [N], `numbers` float64 [N, numbers] for each position in it."""
        labels = self._labels[order].to(self.device)  # all at once: a small copy at every step would make a GPU wait
        batches = self._made([Job(order[share.own], numbers[share.own]) for share in shares])
        for share, pixels in zip(shares, batches, strict=True):
            yield Batch(
                self._send(pixels), labels[share.own], labels[share.whole], share.counted, rows=order[share.own]
            )

    def _run_mixed(self, order: Tensor, numbers: np.ndarray, shares: list[Share], mixup: Mixup) -> Iterator[Batch]:
        """As `_run`, every image mixed with its partner, which may be in another process's share: with several
        processes, each makes the partners of its own images too.
        """
        labels, partners = self._labels[order].to(self.device), mixup.partners.to(self.device)
        if alone := self.world == 1:
            batches = self._made([Job(order[share.own], numbers[share.own]) for share in shares])
        else:
            rows = [torch.cat([torch.arange(s.own.start, s.own.stop), mixup.partners[s.own]]) for s in shares]
            batches = self._made([Job(order[both], numbers[both.numpy()]) for both in rows])
        for share, pixels in zip(shares, batches, strict=True):
            images, b, those = self._send(pixels), share.own.stop - share.own.start, partners[share.own]
            others = images[those - share.own.start] if alone else images[b:]
            weight = mixup.weights[share.whole.start // self.batch_size]
            images = images[:b].mul(weight).add_(others, alpha=1 - weight)
            mixed = Mixed(weight, labels[those])
            yield Batch(images, labels[share.own], labels[share.whole], share.counted, mixed, order[share.own])

    def _made(self, jobs: list[Job]) -> Iterator[Tensor]:
        """uint8 [b, H, W, 3] on the CPU for each job."""
        if isinstance(self._maker.pixels, PartialPixels):
            return self._fetched(self._maker.pixels, jobs)
        if self.workers:
            return self._processes.batches(jobs)
        if self.device.type == "cuda":  # one batch is made while the device works on the one before
            return map_in_order(self._maker.make, jobs, threads=1, ahead=1)
        return map(self._maker.make, jobs)

    def _fetched(self, pixels: PartialPixels, jobs: list[Job]) -> Iterator[Tensor]:
        """As `_made`, of images behind a URL: by threads of this process, which wait for a server."""
        windows = windows_of(pixels, [job.indices.tolist() for job in jobs])
        makers = (BatchMaker(window, self.transform, self._maker.pin) for window in windows)

        def make(task: tuple[Job, BatchMaker]) -> Tensor:
            job, maker = task
            return maker.make(job)

        return map_in_order(make, zip(jobs, makers, strict=True), threads=1, ahead=1)

    def _send(self, pixels: Tensor) -> Tensor:
        """Pixels to the images a model takes; on a GPU in a stream of its own, while the model works."""
        if self.device.type != "cuda":
            return self.transform.normalise(pixels.to(self.device))
        current = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._stream):
            images = self.transform.normalise(pixels.to(self.device, non_blocking=True))
        current.wait_stream(self._stream)
        images.record_stream(current)  # its memory is not given away before the model has read it
        return images

    @cached_property
    def _stream(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self.device)

    @cached_property
    def _maker(self) -> "BatchMaker":
        pixels = open_pixels(self.data, self.transform, self.cache, self._log)
        return BatchMaker(pixels, self.transform, pin=self.device.type == "cuda" and not self.workers)

    @cached_property
    def _processes(self) -> Workers[Job]:
        height, width = self.transform.size
        largest = max(self.batch_size, 2 * -(-self.batch_size // self.world) * (self.world > 1))  # with mixup
        size = largest * height * width * 3
        return Workers(self._maker.make, self.workers, size, self.device.type == "cuda", self._log)


class BatchMaker:
    """Makes whole batches. pin: in memory that a GPU can read by itself."""

    def __init__(self, pixels: Pixels, transform: Transform, pin: bool) -> None:
        self.pixels, self.transform, self.pin = pixels, transform, pin

    def make(self, job: Job) -> Tensor:
        """uint8 [b, H, W, 3]."""
        batch = torch.empty((len(job.indices), *self.transform.size, 3), dtype=torch.uint8, pin_memory=self.pin)
        if isinstance(self.pixels, CachedPixels) and not self.transform.numbers:
            return torch.index_select(self.pixels.tensor, 0, job.indices, out=batch)
        rows = batch.numpy()
        for row, (index, numbers) in enumerate(zip(job.indices.tolist(), job.numbers, strict=True)):
            rows[row] = self.transform.draw(self.pixels[index], numbers)
        return batch
