"""What a method works in: the task, its images on their way into the model, the machine, and the cache."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ftcli.cache import Cache
from ftcli.config.shared import Running
from ftcli.config.training import Training
from ftcli.data.images import ImageSet
from ftcli.data.loaders import Loader
from ftcli.data.task import Task
from ftcli.data.transforms import Transform, augmentation, evaluation
from ftcli.engine.device import Machine
from ftcli.engine.features.feature_cache import Shelf
from ftcli.engine.resume.checkpointer import Checkpointer
from ftcli.log import Log


@dataclass(frozen=True)
class Experiment:
    """A task with its loaders. `plain` is the training set as evaluation sees it, `train` the augmented one; `cache`
    keeps features, `shelf` what this command has of them at hand."""

    task: Task
    machine: Machine
    sets: dict[str, Loader]
    train: Loader | None = None
    plain: Loader | None = None
    cache: Cache | None = None
    shelf: Shelf = field(default_factory=Shelf)
    checkpointer: Checkpointer | None = None  # where the states of runs are kept

    @property
    def num_classes(self) -> int:
        return len(self.task.classes)

    def class_weights(self, config: Training) -> Tensor | None:
        """The weight of each class in the loss [K]: N / (K' n_k) for the K' classes that have examples, else 0."""
        if config.class_weights == "none":
            return None
        assert self.task.train is not None
        counts = torch.bincount(torch.from_numpy(self.task.train.labels), minlength=self.num_classes)
        weights = counts.sum() / (torch.count_nonzero(counts) * counts)
        return torch.where(counts > 0, weights, 0.0).float()


def experiment_of(
    task: Task, data_config: dict, machine: Machine, config: Running, log: Log, cache: Cache | None = None
) -> Experiment:
    """Loaders for every set of the task, with the transforms of the model's own data configuration."""

    def loader(data: ImageSet, transform: Transform) -> Loader:
        return Loader(
            data, transform, batch_size=config.batch_size, workers=machine.workers, device=machine.device,
            shard=(machine.rank, machine.processes), cache=cache, log=log,
        )  # fmt: skip

    kept = None if config.import_ else cache  # of features: imported code may compute others next time
    plain = evaluation(data_config)
    sets = {name: loader(data, plain) for name, data in task.sets().items()}
    if task.train is None:
        return Experiment(task, machine, sets, cache=kept)
    unchanged = loader(task.train, plain)
    if not isinstance(config, Training):
        return Experiment(task, machine, sets, plain=unchanged, cache=kept)
    return Experiment(
        task, machine, sets, loader(task.train, augmentation(data_config, config.augment)), unchanged, kept
    )
