"""Loader: batches of one set, the same whatever number of processes makes them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ftcli.data.task import TaskSet
from ftcli.data.transforms import Transform
from ftcli.errors import FtcliError
from ftcli.seeds import mix

Batch = tuple[Tensor, Tensor]  # images [B, C, H, W] float32, labels [B] int64


@dataclass(frozen=True)
class Plan:
    """One batch to make: the indices of its examples, and where their random numbers come from."""

    indices: list[int]
    seed: int
    epoch: int


class Loader:
    """Batches of exactly `batch_size` examples, the last one of what is left.

    Args:
        transform: picture to float32 [C, H, W].
        workers: processes beside this one; 0 makes the batches here. They live as long as the loader.
    """

    def __init__(self, data: TaskSet, transform: Transform, *, batch_size: int, workers: int = 0) -> None:
        self.n, self.batch_size = len(data), batch_size
        self._plans = _Plans()
        # A plan carries seed and epoch to the processes, so that they can live on from epoch to epoch without a state
        # of their own. The generator keeps DataLoader from drawing its base seed from the global one.
        self._batches = DataLoader(
            _Examples(data, transform),
            batch_size=None,
            sampler=self._plans,
            num_workers=workers,
            persistent_workers=workers > 0,
            collate_fn=_as_it_is,
            generator=torch.Generator(),
        )

    def ordered(self) -> Iterator[Batch]:
        """Every example once, in the set's order."""
        return self._run(torch.arange(self.n), seed=0, epoch=0)

    def shuffled(self, seed: int, epoch: int, *, skip_single: bool) -> Iterator[Batch]:
        """Every example once, in an order and with an augmentation that depend on (seed, epoch, example) only.

        skip_single: leave out a last batch of one example, of which BatchNorm cannot compute a variance.
        """
        generator = torch.Generator().manual_seed(mix("order", seed, epoch))
        order = torch.randperm(self.n, generator=generator)
        if skip_single and self.n % self.batch_size == 1:
            order = order[:-1]
        return self._run(order, seed, epoch)

    def steps(self, *, skip_single: bool) -> int:
        """Batches of one epoch."""
        whole, left = divmod(self.n, self.batch_size)
        return whole + (left > (1 if skip_single else 0))

    def _run(self, order: Tensor, seed: int, epoch: int) -> Iterator[Batch]:
        self._plans.batches = [Plan(part.tolist(), seed, epoch) for part in order.split(self.batch_size)]
        for batch in self._batches:
            if isinstance(batch, FtcliError):
                raise batch
            yield batch


class _Plans(Sampler[Plan]):
    """The batches of the epoch about to begin."""

    def __init__(self) -> None:
        self.batches: list[Plan] = []

    def __iter__(self) -> Iterator[Plan]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class _Examples(Dataset[Batch | FtcliError]):
    """Makes whole batches from plans. An error is handed back as it is: DataLoader would wrap it in a traceback."""

    def __init__(self, data: TaskSet, transform: Transform) -> None:
        self.data, self.transform = data, transform
        self.labels = torch.from_numpy(data.labels)

    def __getitem__(self, plan: Plan) -> Batch | FtcliError:
        try:
            images = torch.stack([self._example(index, plan) for index in plan.indices])
        except FtcliError as error:
            return error
        return images, self.labels[plan.indices]

    def _example(self, index: int, plan: Plan) -> Tensor:
        """One tensor [C, H, W]; transforms draw from torch's CPU generator, which is given back as it was."""
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed, which would seed the accelerators as well.
            torch.default_generator.manual_seed(mix("augmentation", plan.seed, plan.epoch, index))
            return self.transform(self.data.images.image(index))


def _as_it_is(batch: Any) -> Any:
    return batch
